package export

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// logPage is how many positions are read by one statement.
const logPage = 5000

// A Span says which events are wanted.
type Span struct {
	After, Until eventstore.Position   // after the one, up to the other
	Organisation domain.OrganisationID // "": of all
}

// WriteLog writes the events of a span, of which all must have been recorded, and returns how many there were. Progress
// is called after each page.
func WriteLog(ctx context.Context, q eventstore.Querier, w *Writer, span Span, progress func(at eventstore.Position)) (rows int64, err error) {
	t := Log()
	where, args := `t.position BETWEEN $1 AND $2`, []any{nil, nil}
	if span.Organisation != "" {
		where, args = where+` AND `+t.of+` = $3`, append(args, span.Organisation)
	}
	query := t.query(where)
	for at := span.After; at < span.Until; {
		args[0], args[1] = at+1, min(at+logPage, span.Until)
		if err := t.each(ctx, q, query, args, func(r row) error { rows++; return w.write(r) }); err != nil {
			return rows, err
		}
		at = min(at+logPage, span.Until)
		progress(at)
	}
	return rows, nil
}

// progressEvery is how many rows of a read model are written between two calls of progress.
const progressEvery = 1000

// WriteTable writes the rows of a read model's table as of one instant, those of one organisation when it is given, and
// returns how many there were, and the position up to which they show the log. A rebuild waits for it to end. Progress is
// called now and then, with an estimate of how many rows the table has.
func WriteTable(ctx context.Context, pool *pgxpool.Pool, w *Writer, t Table, org domain.OrganisationID, progress func(done, total int64)) (rows int64, at eventstore.Position, err error) {
	const state = `
		SELECT coalesce((SELECT position FROM cursors WHERE name = $1), 0), (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = $2::regclass)`
	where, args := `true`, []any(nil)
	if org != "" {
		where, args = t.of+` = $1`, []any{org}
	}
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, pool, options, func(tx pgx.Tx) error {
		// Before there is a snapshot: a table that took its place after that would look empty.
		if _, err := tx.Exec(ctx, `LOCK TABLE `+t.Name+` IN ACCESS SHARE MODE`); err != nil {
			return fmt.Errorf("hold %s: %w", t.Name, err)
		}
		var total int64
		if err := tx.QueryRow(ctx, state, t.follower, t.Name).Scan(&at, &total); err != nil {
			return fmt.Errorf("read state of %s: %w", t.Name, err)
		}
		return t.each(ctx, tx, t.query(where), args, func(r row) error {
			if rows++; rows%progressEvery == 0 {
				progress(rows, max(rows, total))
			}
			return w.write(r)
		})
	})
	return rows, at, err
}
