package projections

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// rebuildPage is how many positions a rebuild applies at a time.
const rebuildPage = 5000

// Rebuild empties the projection's tables and builds them again from the log, up to the head
// that it has at the call, all in one transaction: readers see the old rows until the end,
// and a failure leaves them. Followers of the projection wait meanwhile.
func Rebuild(ctx context.Context, pool *pgxpool.Pool, registry *eventstore.Registry, p Projection) error {
	const (
		lock = `
			INSERT INTO cursors (name, version) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET version = excluded.version`
		move = `UPDATE cursors SET position = $2 WHERE name = $1`
		head = `SELECT position FROM log_head`
	)
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lock, p.Name, p.Version); err != nil {
			return err
		}
		for _, table := range p.Tables {
			if _, err := tx.Exec(ctx, `DELETE FROM `+pgx.Identifier{table}.Sanitize()); err != nil {
				return err
			}
		}
		var end eventstore.Position
		if err := tx.QueryRow(ctx, head).Scan(&end); err != nil {
			return err
		}
		for at := eventstore.Position(0); at < end; at += rebuildPage {
			if err := p.ApplyRange(ctx, tx, registry, at+1, min(at+rebuildPage, end)); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, move, p.Name, end)
		return err
	})
	if err != nil {
		return fmt.Errorf("rebuild %s: %w", p.Name, err)
	}
	return nil
}
