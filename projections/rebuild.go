package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// rebuildPage is how many positions a rebuild applies at a time.
const rebuildPage = 5000

// ErrRebuilding is returned by Rebuild when another one of the same projection is at work.
var ErrRebuilding = errors.New("another rebuild of it is at work")

// Rebuild builds the projection's tables anew from the log, in the schema shadow and a page at a time, and
// has them take the place of those that are read once they show all that those do. Readers and the
// projection's follower go on meanwhile; at the end the follower waits for one short page. Progress, if
// given, is called after each.
//
// Until the new tables take their place, in one transaction, nothing that is read has changed, whatever
// becomes of the rebuild. One that was interrupted leaves its tables in shadow, and the next of the same
// version goes on where it ended, unless the live tables were altered meanwhile. Two at a time exclude each
// other, by [ErrRebuilding].
//
// The new tables have the columns, defaults, constraints, indexes, storage parameters, comments, owner and
// table privileges of the old ones, under the same names. They are other tables to Postgres: triggers go
// with the old ones, and a view of somebody's on these makes the rebuild fail.
func Rebuild(ctx context.Context, pool *pgxpool.Pool, decoder Decoder, p Projection, progress ...func(done, total eventstore.Position)) error {
	return newRebuild(p, decoder, progress).run(ctx, pool)
}

// Renew rebuilds the projection, as Rebuild does, if its tables are of an older version than p; it does so
// before p is followed or read. Any number of processes may call it at once: one rebuilds, the others wait for
// that. Tables of a newer version are left: another build has come, whose followers keep them.
func Renew(ctx context.Context, pool *pgxpool.Pool, decoder Decoder, p Projection, progress ...func(done, total eventstore.Position)) error {
	for {
		r := newRebuild(p, decoder, progress)
		r.ifOlder = true
		err := r.run(ctx, pool)
		if !errors.Is(err, ErrRebuilding) {
			return err
		}
	}
}

// A rebuild is one at work. All that it writes is written on one connection: a process that lost the lock of that
// cannot go on beside the next.
type rebuild struct {
	Projection
	decoder  Decoder
	pool     *pgxpool.Pool // to read the log from
	conn     *pgx.Conn
	progress []func(done, total eventstore.Position)
	ifOlder  bool // only if the live tables are of an older version

	schema string              // in which the tables are built
	note   string              // statement that notes how far they are, by name and position
	live   string              // schema of the tables that are read
	at     eventstore.Position // last one applied to those that are built
}

// newRebuild returns one that builds the tables in the schema shadow.
func newRebuild(p Projection, decoder Decoder, progress []func(done, total eventstore.Position)) *rebuild {
	const note = `UPDATE rebuilds SET position = $2 WHERE name = $1`
	return &rebuild{Projection: p, decoder: decoder, progress: progress, schema: shadow, note: note}
}

// run takes all steps, unless there is no need.
func (r *rebuild) run(ctx context.Context, pool *pgxpool.Pool) error {
	if needed, err := r.needed(ctx, pool); err != nil || !needed {
		return err
	}
	if err := r.begin(ctx, pool, r.Name); err != nil {
		return fmt.Errorf("rebuild %s: %w", r.Name, err)
	}
	defer r.end(ctx)
	if needed, err := r.needed(ctx, r.conn); err != nil || !needed { // any more
		return err
	}
	for _, step := range []func(context.Context) error{r.prepare, r.build, r.index, r.vacuum, r.build, r.takePlace} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("rebuild %s: %w", r.Name, err)
		}
	}
	return nil
}

// needed reports whether the projection is to be rebuilt. One that was never followed is built by its follower.
func (r *rebuild) needed(ctx context.Context, q eventstore.Querier) (bool, error) {
	const query = `SELECT EXISTS (SELECT FROM cursors WHERE name = $1 AND version < $2)`
	if !r.ifOlder {
		return true, nil
	}
	rows, _ := q.Query(ctx, query, r.Name, r.Version) // CollectExactlyOneRow reports the error
	older, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	if err != nil {
		return false, fmt.Errorf("read version of %s: %w", r.Name, err)
	}
	return older, nil
}

// begin takes a connection, and keeps other rebuilds of what away. Unless it fails, end must follow.
func (r *rebuild) begin(ctx context.Context, pool *pgxpool.Pool, what string) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	r.pool, r.conn = pool, conn.Hijack()
	if err := r.exclude(ctx, what); err != nil {
		r.end(ctx)
		return err
	}
	return nil
}

// end closes the connection, which lets the next one begin.
func (r *rebuild) end(ctx context.Context) { _ = r.conn.Close(context.WithoutCancel(ctx)) }

// exclude keeps other rebuilds of what away until the connection ends, which it also does when
// the process is suspended. For one that is just ending it waits.
func (r *rebuild) exclude(ctx context.Context, what string) error {
	const (
		limits = `
			SELECT current_schema(), set_config('idle_session_timeout', '1min', false), set_config('lock_timeout', '2s', false),
				set_config('work_mem', '64MB', false) -- or a page of companies would be sorted on the disk`
		lock   = `SELECT pg_advisory_lock(hashtextextended('ledger rebuild ' || $1, 0))`
		forget = `RESET lock_timeout`
	)
	if err := r.conn.QueryRow(ctx, limits).Scan(&r.live, nil, nil, nil); err != nil {
		return fmt.Errorf("limit session: %w", err)
	}
	switch _, err := r.conn.Exec(ctx, lock, what); {
	case isLockTimeout(err):
		return ErrRebuilding
	case err != nil:
		return fmt.Errorf("take lock: %w", err)
	}
	if _, err := r.conn.Exec(ctx, forget); err != nil {
		return fmt.Errorf("limit session: %w", err)
	}
	return nil
}

// prepare finds the shadow tables that an interrupted rebuild left, or makes them.
func (r *rebuild) prepare(ctx context.Context) error {
	const (
		resume = `
			SELECT r.position
			FROM rebuilds r, log_head h
			WHERE r.name = $1 AND r.version = $2 AND r.position <= h.position`
		begin = `
			INSERT INTO rebuilds (name, version) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET version = excluded.version, position = 0, started_at = now()`
	)
	return pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		live, err := shapeOf(ctx, tx, r.live, r.Tables)
		if err != nil {
			return err
		}
		left, err := shapeOf(ctx, tx, shadow, r.Tables)
		if err != nil {
			return err
		}
		if err := lookIn(ctx, tx, r.live); err != nil {
			return err
		}
		if live.begun(left, r.Late) && live.sameRights(left) {
			err := tx.QueryRow(ctx, resume, r.Name, r.Version).Scan(&r.at)
			if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
		}
		if _, err := tx.Exec(ctx, begin, r.Name, r.Version); err != nil {
			return err
		}
		early, _ := live.split(r.Late)
		if err := early.makeIn(ctx, tx, shadow); err != nil {
			return err
		}
		return executeAll(ctx, tx, live.rights, "give rights on tables")
	})
}

// build applies the log to the shadow tables, up to the head that it has when all else is applied.
func (r *rebuild) build(ctx context.Context) error {
	for {
		end, err := head(ctx, r.conn)
		if err != nil || r.at >= end {
			return err
		}
		if err := r.buildTo(ctx, end); err != nil {
			return err
		}
	}
}

// buildTo applies what follows in the log up to end.
func (r *rebuild) buildTo(ctx context.Context, end eventstore.Position) error {
	pages, stop := r.ahead(ctx, r.pool, r.decoder, r.at, end)
	defer stop()
	for page := range pages {
		if page.err != nil {
			return page.err
		}
		if err := r.buildPage(ctx, page); err != nil {
			return err
		}
		for _, tell := range r.progress {
			tell(r.at, end)
		}
	}
	return ctx.Err()
}

// buildPage applies the next page of the log, and notes that it has. The commit need not wait for
// the disk: should the database crash, both are gone.
func (r *rebuild) buildPage(ctx context.Context, page readPage) error {
	const hurry = `SET LOCAL synchronous_commit = off`
	err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, hurry); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, r.note, r.Name, page.last); err != nil {
			return fmt.Errorf("note position: %w", err)
		}
		return r.sendIn(ctx, tx, r.schema, page.statements)
	})
	if err == nil {
		r.at = page.last
	}
	return err
}

// index makes the late indexes that the live tables have and those that are built have not.
func (r *rebuild) index(ctx context.Context) error {
	const room = `SET LOCAL maintenance_work_mem = '256MB'`
	return pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		live, err := shapeOf(ctx, tx, r.live, r.Tables)
		if err != nil {
			return err
		}
		made, err := shapeOf(ctx, tx, r.schema, r.Tables)
		if err != nil {
			return err
		}
		_, late := live.split(r.Late)
		missing := slices.DeleteFunc(late, func(statement string) bool { return slices.Contains(made.statements, statement) })
		return executeAll(ctx, tx, append([]string{room}, missing...), "make indexes")
	})
}

// vacuum has Postgres know the tables that were built as well as the old ones: without statistics, the first readers'
// statements would be planned for empty tables.
func (r *rebuild) vacuum(ctx context.Context) error {
	for _, table := range r.Tables {
		if _, err := r.conn.Exec(ctx, `VACUUM (ANALYZE) `+pgx.Identifier{r.schema, table}.Sanitize()); err != nil {
			return fmt.Errorf("vacuum %s: %w", table, err)
		}
	}
	return nil
}

// head returns the last position of the log.
func head(ctx context.Context, q eventstore.Querier) (eventstore.Position, error) {
	const query = `SELECT position FROM log_head`
	rows, _ := q.Query(ctx, query) // CollectExactlyOneRow reports the error
	at, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[eventstore.Position])
	if err != nil {
		return 0, fmt.Errorf("read head of log: %w", err)
	}
	return at, nil
}

// isLockTimeout reports whether err is that somebody else held a lock for too long.
func isLockTimeout(err error) bool {
	const lockNotAvailable = "55P03"
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == lockNotAvailable
}
