package apikey

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
)

// Prefixes of keys.
const (
	livePrefix = "lnc_live_"
	testPrefix = "lnc_test_"
)

// ErrUnknown is returned for a key that is malformed, unknown, expired or revoked.
var ErrUnknown = errors.New("there is no such active key")

// Keys keeps organisations and their keys in a database. It is safe for concurrent use.
type Keys struct {
	pool    *pgxpool.Pool
	now     func() time.Time
	found   cache
	windows windows
}

// New returns the keys in pool's database.
func New(pool *pgxpool.Pool) *Keys { return NewWithClock(pool, time.Now) }

// NewWithClock returns the keys in pool's database, and now tells the time: by it keys expire,
// answers of the database grow old, and windows end.
func NewWithClock(pool *pgxpool.Pool, now func() time.Time) *Keys { return &Keys{pool: pool, now: now} }

// An Organisation owns deliveries and keys.
type Organisation struct {
	ID            domain.OrganisationID `db:"id"`
	Name          string                `db:"name"`
	RetentionDays *int                  `db:"retention_days"` // for which what is personal is kept; nil: for ever
	CreatedAt     time.Time             `db:"created_at"`
}

const organisationColumns = `id, name, retention_days, created_at`

// CreateOrganisation adds an organisation. Names need not be unique.
func (k *Keys) CreateOrganisation(ctx context.Context, name string) (Organisation, error) {
	return k.AddOrganisation(ctx, domain.NewOrganisationID(), name)
}

// AddOrganisation adds an organisation of that ID, or, when it was added before, returns it as
// it is.
func (k *Keys) AddOrganisation(ctx context.Context, id domain.OrganisationID, name string) (Organisation, error) {
	const query = `
		INSERT INTO organisations (id, name)
		VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET name = organisations.name
		RETURNING ` + organisationColumns
	if strings.TrimSpace(name) == "" {
		return Organisation{}, errors.New("create organisation: a name is required")
	}
	rows, _ := k.pool.Query(ctx, query, id, name) // CollectExactlyOneRow reports the error
	o, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Organisation])
	if err != nil {
		return o, fmt.Errorf("create organisation %q: %w", name, err)
	}
	return o, nil
}

// Organisation returns the organisation of that ID or, failing that, the oldest of that
// name; and false when there is none.
func (k *Keys) Organisation(ctx context.Context, nameOrID string) (Organisation, bool, error) {
	const query = `
		SELECT ` + organisationColumns + `
		FROM organisations
		WHERE id = $1 OR name = $1
		ORDER BY (id = $1) DESC, id
		LIMIT 1`
	rows, _ := k.pool.Query(ctx, query, nameOrID) // one reports the error
	o, ok, err := one[Organisation](rows)
	if err != nil {
		return o, false, fmt.Errorf("find organisation %q: %w", nameOrID, err)
	}
	return o, ok, nil
}

// A Key says who a caller is. The text of the key is no part of it.
type Key struct {
	ID           string                `db:"id"`
	Organisation domain.OrganisationID `db:"organisation_id"`
	Name         string                `db:"name"`
	Hint         string                `db:"hint"` // its first and last characters
	Scopes       []Scope               `db:"scopes"`
	Tier         Tier                  `db:"tier"`
	LimitPerHour *int64                `db:"limit_per_hour"` // of its own; see Limit
	CreatedAt    time.Time             `db:"created_at"`
	ExpiresAt    *time.Time            `db:"expires_at"`
	RevokedAt    *time.Time            `db:"revoked_at"`
}

// Active reports whether the key is good at that time.
func (k Key) Active(now time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt))
}

const columns = `id, organisation_id, name, hint, scopes, tier, limit_per_hour, created_at, expires_at, revoked_at`

// NewKey says which key to create.
type NewKey struct {
	// Organisation is whom the key acts for. It must exist. Required.
	Organisation domain.OrganisationID

	// Name tells people what the key is for.
	Name string

	// Scopes are what the key may do. Each must be known.
	Scopes []Scope

	// Tier says how many requests an hour the key has. Default: [Enterprise].
	Tier Tier

	// LimitPerHour is how many requests an hour a key of the tier Enterprise has. Nil: any
	// number. Other tiers have theirs.
	LimitPerHour *int64

	// ExpiresAt is when the key ends. Nil: never.
	ExpiresAt *time.Time

	// Test makes an lnc_test_ key instead of an lnc_live_ one.
	Test bool

	// Text fixes the key, for development: it must begin like a key. If it is a key of
	// the organisation's already, that one gets the values given here and is active again.
	Text string

	// Seed is what the key's ID and text are made from. If it made a key before, that one is
	// returned as it is, whatever became of it since. Nil: both are fresh.
	Seed *domain.Seed
}

// Create adds a key and returns it with its text, which cannot be had later.
func (k *Keys) Create(ctx context.Context, n NewKey) (Key, string, error) {
	for _, s := range n.Scopes {
		if !s.Known() {
			return Key{}, "", fmt.Errorf("create key: there is no scope %q", s)
		}
	}
	n.Tier = cmp.Or(n.Tier, Enterprise)
	if err := n.Tier.check(n.LimitPerHour); err != nil {
		return Key{}, "", fmt.Errorf("create key: %w", err)
	}
	text := cmp.Or(n.Text, newText(n.Seed, n.Test))
	if !wellFormed(text) {
		return Key{}, "", fmt.Errorf("create key: a key begins with %s or %s and goes on", livePrefix, testPrefix)
	}
	key, err := k.add(ctx, n, text)
	if err != nil {
		return key, "", fmt.Errorf("create key: %w", err)
	}
	k.found.forget(sha256.Sum256([]byte(text)))
	return key, text, nil
}

// add adds the key of that text, or returns the one that n says it is.
func (k *Keys) add(ctx context.Context, n NewKey, text string) (Key, error) {
	const (
		insert = `
			INSERT INTO api_keys (id, organisation_id, name, hash, hint, scopes, tier, limit_per_hour, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
		renew = `
			ON CONFLICT (hash) DO UPDATE
			SET name = excluded.name, scopes = excluded.scopes, tier = excluded.tier, limit_per_hour = excluded.limit_per_hour,
				expires_at = excluded.expires_at, revoked_at = NULL
			WHERE api_keys.organisation_id = excluded.organisation_id`
		keep      = ` ON CONFLICT DO NOTHING`
		returning = ` RETURNING ` + columns
	)
	query := insert + keep + returning
	if n.Text != "" {
		query = insert + renew + returning
	}
	id, sum := n.Seed.KeyID(), sha256.Sum256([]byte(text))
	scopes := append([]Scope{}, n.Scopes...) // never null
	rows, _ := k.pool.Query(ctx, query,      // one reports the error
		id, n.Organisation, n.Name, sum[:], hint(text), scopes, n.Tier, n.LimitPerHour, n.ExpiresAt)
	key, ok, err := one[Key](rows)
	const noParent = "23503"
	pgErr, refused := errors.AsType[*pgconn.PgError](err)
	switch {
	case refused && pgErr.Code == noParent:
		return key, fmt.Errorf("there is no organisation %s", n.Organisation)
	case err != nil || ok:
		return key, err
	case n.Text != "":
		return key, errors.New("it belongs to another organisation")
	}
	key, _, err = k.Key(ctx, id) // its seed made it before
	return key, err
}

// newText returns a fresh key, or that of seed.
func newText(seed *domain.Seed, test bool) string {
	prefix := livePrefix
	if test {
		prefix = testPrefix
	}
	b := make([]byte, 32)
	if seed != nil {
		b = seed.Bytes(prefix)
	} else {
		_, _ = rand.Read(b) // never fails
	}
	return prefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// wellFormed reports whether text could be a key. Its length is nobody's business.
func wellFormed(text string) bool {
	for _, prefix := range []string{livePrefix, testPrefix} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			return rest != ""
		}
	}
	return false
}

// hint returns what people tell keys apart by.
func hint(text string) string {
	const shown = 4
	if len(text) < len(livePrefix)+4*shown {
		return text[:len(livePrefix)] + "…"
	}
	return text[:len(livePrefix)+shown] + "…" + text[len(text)-shown:]
}
