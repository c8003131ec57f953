package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
)

// ScrubCopies drops what was erased from tables of companies that nobody keeps up to date: those that [RebuildInto] made, and those that an
// interrupted rebuild left. The events say what it was, and are all that count of what is given. It waits for rebuilds into a schema to end
// before it looks there, for a short time; then it fails with [ErrRebuilding].
func ScrubCopies(ctx context.Context, pool *pgxpool.Pool, decoder Decoder, events []domain.Event) error {
	p := Companies()
	entries := make([]Entry, len(events))
	for i, event := range events {
		entries[i].Event = event
	}
	if err := p.complete(ctx, pool, decoder, entries); err != nil {
		return err
	}
	copies, err := copiesOf(ctx, pool, p.Tables[0])
	if err != nil {
		return err
	}
	for _, schema := range copies {
		what := "into " + schema
		if schema == shadow {
			what = p.Name
		}
		err := p.scrubIn(ctx, pool, schema, what, entries)
		if errors.Is(err, ErrRebuilding) && schema == shadow { // it comes to what was erased by itself
			continue
		}
		if err != nil {
			return fmt.Errorf("scrub companies in %s: %w", schema, err)
		}
	}
	return nil
}

// copiesOf returns the schemas that have a copy of a table.
func copiesOf(ctx context.Context, pool *pgxpool.Pool, table string) ([]string, error) {
	const query = `
		SELECT n.nspname::text
		FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relname = $1 AND c.relkind = 'r' AND (
			n.nspname = $2
			OR obj_description(to_regclass(format('%I.as_of', n.nspname)), 'pg_class') = $3
		)
		ORDER BY 1`
	rows, _ := pool.Query(ctx, query, table, shadow, recordOf) // CollectRows reports the error
	schemas, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for copies of %s: %w", table, err)
	}
	return schemas, nil
}

// scrubIn drops what was erased from the table in a schema, while no rebuild of what is at work.
func (p Projection) scrubIn(ctx context.Context, pool *pgxpool.Pool, schema, what string, entries []Entry) error {
	r := newRebuild(p, nil, nil)
	if err := r.begin(ctx, pool, what); err != nil {
		return err
	}
	defer r.end(ctx)
	err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		if err := lookIn(ctx, tx, schema); err != nil {
			return err
		}
		var batch pgx.Batch
		if scrub(&batch, entries); batch.Len() == 0 {
			return nil
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return err
	}
	return vacuum(ctx, r.conn, pgx.Identifier{schema, p.Tables[0]})
}

// Vacuum has Postgres drop what tables held before their rows were changed.
func Vacuum(ctx context.Context, pool *pgxpool.Pool, tables ...string) error {
	for _, table := range tables {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return fmt.Errorf("vacuum %s: %w", table, err)
		}
		err = vacuum(ctx, conn.Conn(), pgx.Identifier{table})
		conn.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// vacuum vacuums a table.
func vacuum(ctx context.Context, conn *pgx.Conn, table pgx.Identifier) error {
	if _, err := conn.Exec(ctx, `VACUUM `+table.Sanitize()); err != nil {
		return fmt.Errorf("vacuum %s: %w", table.Sanitize(), err)
	}
	return nil
}
