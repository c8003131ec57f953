package vault

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// rekeyBatch is how many secrets are resealed at a time.
const rekeyBatch = 500

// sealedRow is a secret as it lies in the database.
type sealedRow struct {
	ID     string `db:"id"`
	Sealed []byte `db:"sealed"`
}

// Rekey seals every secret with the vault's first key that was sealed with another one, and
// returns how many those were. It tells progress of each batch. What was done stays done: it may
// be stopped at any time and called again, by several at once, while others put and open
// secrets. It fails at the first secret that none of the vault's keys opens, and leaves that as it is.
func (v *Vault) Rekey(ctx context.Context, progress func(done, total int64)) (int64, error) {
	const (
		count = `SELECT count(*) FROM secrets WHERE substring(sealed FROM 1 FOR 4) <> $1`
		query = `
			SELECT id, sealed
			FROM secrets
			WHERE substring(sealed FROM 1 FOR 4) <> $1 AND id > $2
			ORDER BY id
			LIMIT $3`
	)
	var total, done int64
	if err := v.pool.QueryRow(ctx, count, v.key.id[:]).Scan(&total); err != nil {
		return 0, fmt.Errorf("count secrets: %w", err)
	}
	for last := ""; ; {
		rows, _ := v.pool.Query(ctx, query, v.key.id[:], last, rekeyBatch) // CollectRows reports the error
		batch, err := pgx.CollectRows(rows, pgx.RowToStructByName[sealedRow])
		if err != nil {
			return done, fmt.Errorf("read secrets: %w", err)
		}
		if len(batch) == 0 {
			return done, nil
		}
		n, err := v.reseal(ctx, batch)
		if err != nil {
			return done, err
		}
		last = batch[len(batch)-1].ID
		done += n
		progress(done, max(total, done))
	}
}

// reseal seals secrets anew, all or none, but for those that changed or went meanwhile. It returns
// how many it did.
func (v *Vault) reseal(ctx context.Context, rows []sealedRow) (int64, error) {
	const query = `
		UPDATE secrets s
		SET sealed = n.sealed
		FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS n(id, old, sealed)
		WHERE s.id = n.id AND s.sealed = n.old`
	ids, old, sealed := make([]string, len(rows)), make([][]byte, len(rows)), make([][]byte, len(rows))
	for i, row := range rows {
		plain, err := v.Unseal(row.ID, row.Sealed)
		if err != nil {
			return 0, fmt.Errorf("open secret %s: %w", row.ID, err)
		}
		ids[i], old[i], sealed[i] = row.ID, row.Sealed, v.Seal(row.ID, plain)
	}
	tag, err := v.pool.Exec(ctx, query, ids, old, sealed)
	if err != nil {
		return 0, fmt.Errorf("reseal secrets: %w", err)
	}
	return tag.RowsAffected(), nil
}

// A Share says how many secrets a key has sealed.
type Share struct {
	Key     string `db:"key"` // its ID
	Secrets int64  `db:"secrets"`
}

// Shares returns which keys the secrets are sealed with, also those that the vault does not have.
func (v *Vault) Shares(ctx context.Context) ([]Share, error) {
	const query = `
		SELECT encode(substring(sealed FROM 1 FOR 4), 'hex') AS key, count(*) AS secrets
		FROM secrets
		GROUP BY 1
		ORDER BY 1`
	rows, _ := v.pool.Query(ctx, query) // CollectRows reports the error
	shares, err := pgx.CollectRows(rows, pgx.RowToStructByName[Share])
	if err != nil {
		return nil, fmt.Errorf("count secrets by key: %w", err)
	}
	return shares, nil
}
