package shred

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// rekeyBatch is how many keys are resealed at a time.
const rekeyBatch = 500

// Rekey seals every key anew that the sealer would seal otherwise by now, and returns how many those were. It tells progress of
// each batch. What was done stays done: it may be stopped at any time and called again, by several at once, while keys are used,
// begun and destroyed. It fails at the first key that the sealer does not open, and leaves that as it is.
func (k *Keys) Rekey(ctx context.Context, progress func(done, total int64)) (int64, error) {
	const (
		count = `SELECT count(*) FROM subject_keys WHERE substring(sealed FROM 1 FOR length($1::bytea)) <> $1`
		query = `
			SELECT organisation_id, number, sealed, cleared_to
			FROM subject_keys
			WHERE substring(sealed FROM 1 FOR length($1::bytea)) <> $1 AND (organisation_id, number) > ($2, $3)
			ORDER BY organisation_id, number
			LIMIT $4`
	)
	var total, done int64
	mark := k.sealer.Mark()
	if err := k.pool.QueryRow(ctx, count, mark).Scan(&total); err != nil {
		return 0, fmt.Errorf("count keys of subjects: %w", err)
	}
	for last := (sealedRow{Number: -1}); ; {
		rows, _ := k.pool.Query(ctx, query, mark, last.Organisation, last.Number, rekeyBatch) // CollectRows reports the error
		batch, err := pgx.CollectRows(rows, pgx.RowToStructByName[sealedRow])
		if err != nil {
			return done, fmt.Errorf("read keys of subjects: %w", err)
		}
		if len(batch) == 0 {
			return done, nil
		}
		n, err := k.reseal(ctx, batch)
		if err != nil {
			return done, err
		}
		last = batch[len(batch)-1]
		done += n
		progress(done, max(total, done))
	}
}

// reseal seals keys anew, all or none, but for those of which something was destroyed meanwhile: they were sealed anew by
// that. It returns how many it did.
func (k *Keys) reseal(ctx context.Context, rows []sealedRow) (int64, error) {
	const query = `
		UPDATE subject_keys k
		SET sealed = n.sealed
		FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[]) AS n(organisation_id, number, old, sealed)
		WHERE k.organisation_id = n.organisation_id AND k.number = n.number AND k.sealed = n.old`
	organisations, numbers := make([]string, len(rows)), make([]int64, len(rows))
	old, sealed := make([][]byte, len(rows)), make([][]byte, len(rows))
	for i, row := range rows {
		plain, err := k.sealer.Unseal(row.id(), row.Sealed)
		if err != nil {
			return 0, fmt.Errorf("open key %d of %s: %w", row.Number, row.Organisation, err)
		}
		organisations[i], numbers[i], old[i], sealed[i] = row.Organisation, row.Number, row.Sealed, k.sealer.Seal(row.id(), plain)
	}
	tag, err := k.pool.Exec(ctx, query, organisations, numbers, old, sealed)
	if err != nil {
		return 0, fmt.Errorf("reseal keys of subjects: %w", err)
	}
	return tag.RowsAffected(), nil
}

// A Share says how many keys something is sealed by.
type Share struct {
	Mark []byte `db:"mark"` // of the sealer's key
	Keys int64  `db:"keys"`
}

// Shares returns by which of the sealer's keys those of subjects are sealed, also by those that it does not have.
func (k *Keys) Shares(ctx context.Context) ([]Share, error) {
	const query = `
		SELECT substring(sealed FROM 1 FOR length($1::bytea)) AS mark, count(*) AS keys
		FROM subject_keys
		WHERE sealed IS NOT NULL
		GROUP BY 1
		ORDER BY 1`
	rows, _ := k.pool.Query(ctx, query, k.sealer.Mark()) // CollectRows reports the error
	shares, err := pgx.CollectRows(rows, pgx.RowToStructByName[Share])
	if err != nil {
		return nil, fmt.Errorf("count keys of subjects: %w", err)
	}
	return shares, nil
}
