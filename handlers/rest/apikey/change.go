package apikey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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

	// If is asked about the key as it is, which nobody changes meanwhile. When it returns an
	// error nothing changes, and the error is in that of Change. Nil: no condition.
	If func(Key) error
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
	var key Key
	var ok bool
	err := k.changing(ctx, id, c.If, func(tx pgx.Tx) (err error) {
		rows, _ := tx.Query(ctx, query, id, c.Name, c.Tier, c.LimitPerHour, c.NeverExpires, c.ExpiresAt) // one reports the error
		key, ok, err = one[Key](rows)
		return err
	})
	if err != nil {
		return key, false, fmt.Errorf("change key %s: %w", id, err)
	}
	return key, ok, nil
}

// Revoke ends a key and reports whether it had not been revoked before. It takes effect within
// a second.
func (k *Keys) Revoke(ctx context.Context, id string) (bool, error) { return k.RevokeIf(ctx, id, nil) }

// RevokeIf is Revoke on a condition, which is like [Change].If.
func (k *Keys) RevokeIf(ctx context.Context, id string, condition func(Key) error) (bool, error) {
	const query = `UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL`
	var tag pgconn.CommandTag
	err := k.changing(ctx, id, condition, func(tx pgx.Tx) (err error) {
		tag, err = tx.Exec(ctx, query, id)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("revoke key %s: %w", id, err)
	}
	return tag.RowsAffected() > 0, nil
}

// changing calls change, in a transaction, if the key is as the condition wants it, or is
// revoked, or absent.
func (k *Keys) changing(ctx context.Context, id string, condition func(Key) error, change func(pgx.Tx) error) error {
	const query = `SELECT ` + columns + ` FROM api_keys WHERE id = $1 AND revoked_at IS NULL FOR UPDATE`
	err := pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		if condition != nil {
			rows, _ := tx.Query(ctx, query, id) // one reports the error
			switch key, ok, err := one[Key](rows); {
			case err != nil:
				return err
			case ok:
				if err := condition(key); err != nil {
					return err
				}
			}
		}
		return change(tx)
	})
	k.found.clear()
	return err
}

// one returns what is in rows, and false when there is nothing.
func one[T any](rows pgx.Rows) (T, bool, error) {
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
	if errors.Is(err, pgx.ErrNoRows) {
		return v, false, nil
	}
	return v, err == nil, err
}
