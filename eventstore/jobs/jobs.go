package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// Config says what jobs of one kind are, and how they are carried out. All but Poll is required.
type Config[ID ~string] struct {
	Pool *pgxpool.Pool
	Log  *slog.Logger

	// Actor is who records what is done, and names the kind of jobs in the log.
	Actor string

	// Lock is the advisory lock of the process that works. Each kind has its own.
	Lock int64

	// Poll is how late a process notices, at worst, what it was not told of: that there is a job, or
	// that the process which worked before it is gone. Default 1 s.
	Poll time.Duration

	// Started rises when there may be a job, and Moved when one that waits may go on.
	Started, Moved *eventstore.Watermark

	// Running returns up to limit jobs that have not ended, oldest first. It may be late.
	Running func(ctx context.Context, limit int) ([]ID, error)

	// Step does a bounded part of a job. It is called for one job at a time, again and again while there is
	// progress, and from the beginning of a part when that was interrupted. One that fails is tried again
	// after Poll, and hinders no other.
	Step func(ctx context.Context, id ID) (Meeting, error)
}

// A Meeting says what a look at jobs met.
type Meeting int

// The meetings. Of several, the last here counts.
const (
	Nothing  Meeting = iota // to do here
	Waiting                 // for what Moved tells of
	Progress                // was made
)

// Bounds of a look.
const (
	most = 100 // jobs that are worked on in turn

	// unlocking bounds how long giving back the lock may take.
	unlocking = 2 * time.Second
)

// Run carries out jobs until ctx is done, and returns nil then: what was not committed by that time
// is done by whoever runs next. It goes on through a loss of the database.
func Run[ID ~string](ctx context.Context, cfg Config[ID]) error {
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	failing := false // the last look did
	for ctx.Err() == nil {
		_, started := cfg.Started.Next()
		_, moved := cfg.Moved.Next()
		met, err := work(ctx, cfg)
		if ctx.Err() == nil && failing != (err != nil) {
			failing = err != nil
			report(ctx, cfg.Log, cfg.Actor, err)
		}
		switch {
		case err != nil:
			wait(ctx, cfg.Poll, nil)
		case met == Nothing:
			wait(ctx, cfg.Poll, started)
		case met == Waiting:
			wait(ctx, cfg.Poll, moved)
		}
	}
	return nil
}

// wait waits until d has passed, there is news, or ctx is done.
func wait(ctx context.Context, d time.Duration, news <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-news:
	case <-ctx.Done():
	}
}

// report logs that work begins to fail or, without an error, that it goes on.
func report(ctx context.Context, log *slog.Logger, actor string, err error) {
	if err != nil {
		log.LogAttrs(ctx, slog.LevelError, "work on jobs fails", slog.String("actor", actor), slog.Any("error", err))
		return
	}
	log.LogAttrs(ctx, slog.LevelInfo, "work on jobs goes on", slog.String("actor", actor))
}

// work does the next part of each job, unless another process works.
func work[ID ~string](ctx context.Context, cfg Config[ID]) (Meeting, error) {
	const (
		try     = `SELECT pg_try_advisory_lock($1)`
		release = `SELECT pg_advisory_unlock($1)`
	)
	running, err := cfg.Running(ctx, most)
	if err != nil || len(running) == 0 {
		return Nothing, err
	}
	conn, err := cfg.Pool.Acquire(ctx)
	if err != nil {
		return Nothing, fmt.Errorf("connect for jobs: %w", err)
	}
	defer conn.Release()
	var ours bool
	if err := conn.QueryRow(ctx, try, cfg.Lock).Scan(&ours); err != nil {
		return Nothing, fmt.Errorf("lock jobs: %w", err)
	}
	if !ours {
		return Nothing, nil
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlocking)
		defer cancel()
		if _, err := conn.Exec(ctx, release, cfg.Lock); err != nil {
			_ = conn.Conn().Close(ctx) // the lock goes with it
		}
	}()
	return steps(eventstore.WithMetadata(ctx, eventstore.Metadata{Actor: cfg.Actor}), cfg, running)
}

// steps does the next part of each of those jobs, as long as there is a database.
func steps[ID ~string](ctx context.Context, cfg Config[ID], running []ID) (met Meeting, err error) {
	for _, id := range running {
		one, failed := cfg.Step(ctx, id)
		met = max(met, one)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("work on %s: %w", id, failed))
		}
		if ctx.Err() != nil || failed != nil && eventstore.IsUnavailable(failed) {
			break
		}
	}
	return met, err
}
