package webhooks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A presence shows others that a worker lives: by an advisory lock that is its own, of a session that ends with the
// process. A process that is suspended keeps it. The worker claims only while it has the lock, and takes it
// again at once when the session is lost.
type presence struct {
	pool   *pgxpool.Pool
	worker uuid.UUID
	held   atomic.Bool
}

// Timing of presences.
const (
	presenceAgain = 100 * time.Millisecond // from the loss of a session to the next
	presencePing  = 2 * time.Second        // between looks whether the session is alive
	presenceWait  = 10 * time.Second       // within which it must answer
	presenceLook  = time.Second            // between looks whether others are gone

	// absentLooks is how many looks in a row must find a worker gone before its leases end. A worker
	// whose session was closed, or whose database was restarted, is back by then.
	absentLooks = 4
)

// errAbsent is why a worker claims nothing.
var errAbsent = errors.New("the worker has no session yet that shows that it lives")

// presenceLock is the lock of a worker. That shares it with nobody but itself: a session of its own that the database has
// not found out to be dead does not keep it out. Who looks whether it is gone tries to have it alone.
const presenceLock = `hashtextextended('ledger worker ' || worker, 0)`

// keep holds the lock until ctx is done, on one session after the other, and tells changed when it has it.
func (p *presence) keep(ctx context.Context, changed func()) {
	for ctx.Err() == nil {
		_ = p.hold(ctx, changed) // what is wrong with the database, claims tell
		pause(ctx, presenceAgain, nil, nil)
	}
}

// hold holds the lock until the session is lost.
func (p *presence) hold(ctx context.Context, changed func()) error {
	const lock = `SELECT pg_advisory_lock_shared(` + presenceLock + `) FROM (VALUES ($1::text)) AS w(worker)`
	conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, lock, p.worker.String()); err != nil {
		return fmt.Errorf("take lock: %w", err)
	}
	p.held.Store(true)
	defer p.held.Store(false)
	changed()
	for {
		quiet, cancel := context.WithTimeout(ctx, presencePing)
		_, err := conn.WaitForNotification(quiet) // there is none: it returns when the session ends
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
		alive, cancel := context.WithTimeout(ctx, presenceWait)
		err = conn.Ping(alive)
		cancel()
		if err != nil {
			return err
		}
	}
}

// end ends the leases of workers that were found gone in as many looks in a row as it takes. absent are the looks
// so far, by worker.
func (l *leases) end(ctx context.Context, absent map[uuid.UUID]int) error {
	const (
		gone = `
		SELECT worker
		FROM (SELECT DISTINCT worker FROM leases WHERE ends_at > now() AND worker <> $1) AS w
		WHERE pg_try_advisory_xact_lock(` + presenceLock + `)`
		end = `
		UPDATE leases SET ends_at = now()
		WHERE worker = $1 AND ends_at > now() AND pg_try_advisory_xact_lock(` + presenceLock + `)`
	)
	rows, _ := l.pool.Query(ctx, gone, l.worker) // CollectRows reports the error
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("look for workers that are gone: %w", err)
	}
	before := maps.Clone(absent)
	clear(absent)
	for _, w := range found {
		if absent[w] = before[w] + 1; absent[w] < absentLooks {
			continue
		}
		if _, err := l.pool.Exec(ctx, end, w); err != nil {
			return fmt.Errorf("end leases of worker %s: %w", w, err)
		}
	}
	return nil
}
