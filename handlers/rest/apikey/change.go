package apikey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Change says what becomes of a key. What is nil or false stays as it is.
type Change struct {
	Name *string

	// Tier replaces the key's limit too: LimitPerHour is what a key of the tier Enterprise
	// then has, nil for any number.
	Tier         *Tier
	LimitPerHour *int64

	ExpiresAt    *time.Time
	NeverExpires bool // whatever ExpiresAt says
}

// Change changes a key that is not revoked and returns it as it is then; and false when there
// is none. It takes effect within a second.
func (k *Keys) Change(ctx context.Context, id string, c Change) (Key, bool, error) {
	const query = `
		UPDATE api_keys
		SET name = coalesce($2, name),
			tier = coalesce($3, tier),
			limit_per_hour = CASE WHEN $3::text IS NULL THEN limit_per_hour ELSE $4 END,
			expires_at = CASE WHEN $5 THEN NULL ELSE coalesce($6, expires_at) END
		WHERE id = $1 AND revoked_at IS NULL
		RETURNING ` + columns
	if c.Tier != nil {
		if err := c.Tier.check(c.LimitPerHour); err != nil {
			return Key{}, false, fmt.Errorf("change key %s: %w", id, err)
		}
	}
	rows, _ := k.pool.Query(ctx, query, id, c.Name, c.Tier, c.LimitPerHour, c.NeverExpires, c.ExpiresAt) // oneKey reports the error
	key, ok, err := oneKey(rows)
	if err != nil {
		return key, false, fmt.Errorf("change key %s: %w", id, err)
	}
	k.found.clear()
	return key, ok, nil
}

// Revoke ends a key and reports whether it had not been revoked before. It takes effect within
// a second.
func (k *Keys) Revoke(ctx context.Context, id string) (bool, error) {
	const query = `UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL`
	tag, err := k.pool.Exec(ctx, query, id)
	if err != nil {
		return false, fmt.Errorf("revoke key %s: %w", id, err)
	}
	k.found.clear()
	return tag.RowsAffected() > 0, nil
}

// oneKey returns the key in rows, and false when there is none.
func oneKey(rows pgx.Rows) (Key, bool, error) {
	key, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Key])
	if errors.Is(err, pgx.ErrNoRows) {
		return key, false, nil
	}
	return key, err == nil, err
}
