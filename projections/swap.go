package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// Waits for readers. While the tables are waited for, later readers wait behind that; so it is short, and tried
// again and again instead. It also ends long before Postgres looks for deadlocks, in which a reader might lose.
const (
	readersWait   = `SET LOCAL lock_timeout = '100ms'`
	firstSwapWait = 200 * time.Millisecond
	lastSwapWait  = 5 * time.Second
)

// errAltered is why a rebuild ends when somebody altered the live tables.
var errAltered = errors.New("the tables were altered meanwhile: run it again")

// takePlace has the shadow tables take the place of the live ones. While somebody reads these for long it tries
// again, and lets the follower and the other readers go on in between.
func (r *rebuild) takePlace(ctx context.Context) error {
	for wait := firstSwapWait; ; wait = min(2*wait, lastSwapWait) {
		err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error { return r.swap(ctx, tx) })
		if !isLockTimeout(err) {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := r.build(ctx); err != nil {
			return err
		}
	}
}

// swap holds the follower's cursor, applies the rest of the log, and swaps the tables.
func (r *rebuild) swap(ctx context.Context, tx pgx.Tx) error {
	const hold = `
		INSERT INTO cursors (name, version) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET version = excluded.version`
	if _, err := tx.Exec(ctx, hold, r.Name, r.Version); err != nil {
		return fmt.Errorf("hold cursor: %w", err)
	}
	end, err := head(ctx, tx)
	if err != nil {
		return err
	}
	for at := r.at; at < end; {
		page := r.readPage(ctx, tx, r.decoder, at, end)
		if page.err != nil {
			return page.err
		}
		if err := r.sendIn(ctx, tx, shadow, page.statements); err != nil {
			return err
		}
		if err := lookIn(ctx, tx, r.live); err != nil {
			return err
		}
		at = page.last
	}
	if err := r.exchange(ctx, tx); err != nil {
		return err
	}
	return r.conclude(ctx, tx, end)
}

// exchange drops the live tables and moves the shadow tables to where they were.
func (r *rebuild) exchange(ctx context.Context, tx pgx.Tx) error {
	old, built := make([]string, len(r.Tables)), make([]string, len(r.Tables))
	for i, table := range r.Tables {
		old[i], built[i] = pgx.Identifier{r.live, table}.Sanitize(), pgx.Identifier{shadow, table}.Sanitize()
	}
	all := strings.Join(old, ", ")
	if err := executeAll(ctx, tx, []string{readersWait, `LOCK TABLE ` + all + ` IN ACCESS EXCLUSIVE MODE`}, "hold tables"); err != nil {
		return err
	}
	made, err := shapeOf(ctx, tx, shadow, r.Tables)
	if err != nil {
		return err
	}
	live, err := shapeOf(ctx, tx, r.live, r.Tables)
	switch {
	case err != nil:
		return err
	case !live.equal(made):
		return errAltered
	}
	statements := []string{`DROP TABLE ` + all}
	for _, table := range built {
		statements = append(statements, `ALTER TABLE `+table+` SET SCHEMA `+pgx.Identifier{r.live}.Sanitize())
	}
	return executeAll(ctx, tx, statements, "swap tables")
}

// conclude moves the cursor to where the new tables are, tells who waits for it, and ends the rebuild.
func (r *rebuild) conclude(ctx context.Context, tx pgx.Tx, end eventstore.Position) error {
	const (
		move = `UPDATE cursors SET position = $2 WHERE name = $1`
		done = `DELETE FROM rebuilds WHERE name = $1`
		tell = `SELECT pg_notify($1, $2 || ' ' || $3::bigint)`
	)
	var batch pgx.Batch
	batch.Queue(move, r.Name, end)
	batch.Queue(done, r.Name)
	batch.Queue(tell, eventstore.Channel, r.Name, end)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("move cursor: %w", err)
	}
	return nil
}
