package shred

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Destroy destroys the keys of subjects under some of an organisation's keys, by number, all or none. Where the key that
// seals is among these, the next one begins. What was destroyed before stays so. That nobody can open it any more is certain
// after [Keys.Settled].
func (k *Keys) Destroy(ctx context.Context, organisation string, subjects map[int64][][]string) error {
	const (
		hold = `
			SELECT organisation_id, number, sealed, cleared_to
			FROM subject_keys
			WHERE organisation_id = $1 AND number = ANY ($2)
			ORDER BY number
			FOR UPDATE`
		update = `UPDATE subject_keys SET sealed = $3 WHERE organisation_id = $1 AND number = $2`
		last   = `SELECT max(number) FROM subject_keys WHERE organisation_id = $1`
	)
	numbers := slices.Sorted(maps.Keys(subjects))
	err := pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		if slices.Contains(numbers, 0) {
			if err := k.insert(ctx, tx, sealedRow{Organisation: organisation}); err != nil {
				return err
			}
		}
		rows, _ := tx.Query(ctx, hold, organisation, numbers) // CollectRows reports the error
		held, err := pgx.CollectRows(rows, pgx.RowToStructByName[sealedRow])
		if err != nil {
			return err
		}
		for _, row := range held {
			key, err := k.open(row)
			if err != nil {
				return err
			}
			left, changed := key.tree.withoutEach(subjects[row.Number])
			if !changed {
				continue
			}
			if _, err := tx.Exec(ctx, update, organisation, row.Number, k.sealer.Seal(row.id(), left.bytes())); err != nil {
				return err
			}
		}
		var newest int64
		if err := tx.QueryRow(ctx, last, organisation).Scan(&newest); err != nil || newest == 0 || !slices.Contains(numbers, newest) {
			return err
		}
		return k.insert(ctx, tx, sealedRow{Organisation: organisation, Number: newest + 1})
	})
	if err != nil {
		return fmt.Errorf("destroy keys of %s: %w", organisation, err)
	}
	return nil
}

// DestroyBefore destroys all of an organisation's keys that sealed nothing after a time, and has all events in the clear up to a
// position count as erased. It returns the numbers of the keys that it destroyed, in order.
func (k *Keys) DestroyBefore(ctx context.Context, organisation string, t time.Time, position int64) ([]int64, error) {
	const (
		destroy = `
			UPDATE subject_keys
			SET sealed = NULL
			WHERE organisation_id = $1 AND number > 0 AND sealed IS NOT NULL AND begun_at <= $2
			RETURNING number`
		clear = `UPDATE subject_keys SET cleared_to = greatest(cleared_to, $2) WHERE organisation_id = $1 AND number = 0`
	)
	var numbers []int64
	err := pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, destroy, organisation, t.Add(-k.opts.Renewal-late)) // CollectRows reports the error
		var err error
		if numbers, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return err
		}
		if err := k.insert(ctx, tx, sealedRow{Organisation: organisation}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, clear, organisation, position)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("destroy old keys of %s: %w", organisation, err)
	}
	slices.Sort(numbers)
	return numbers, nil
}

// late is how long after its time what was sealed under a key is recorded at the latest: it waits for a database that
// is away.
const late = time.Hour

// insert inserts a whole key, unless it is there.
func (k *Keys) insert(ctx context.Context, q querier, row sealedRow) error {
	const query = `INSERT INTO subject_keys (organisation_id, number, sealed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	_, err := q.Exec(ctx, query, row.Organisation, row.Number, k.sealer.Seal(row.id(), newTree().bytes()))
	return err
}
