package replay

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/jobs"
	"github.com/openprospect/delivery-ledger/projections"
)

// Config adjusts a runner.
type Config struct {
	Pool  *pgxpool.Pool     // Required.
	Store *eventstore.Store // Required.
	Log   *slog.Logger      // Required.

	// Batch is how many dispatches are asked for in one go, at most. Default 500.
	Batch int

	// Window is how many of a delivery's dispatches wait in the lane of the replayed, at most,
	// while there are more to be asked for. Default 2,000.
	Window int

	// Poll is how late a runner notices, at worst, what it was not told of: that there is a job, or
	// that the process which worked before it is gone. Default 1 s.
	Poll time.Duration
}

// A Runner carries out jobs. Any number of processes may have one; one of them works.
type Runner struct {
	cfg   Config
	views *projections.Views
	asked eventstore.Position // of the last batch
}

// New returns a runner. It fails when cfg lacks what is required.
func New(cfg Config) (*Runner, error) {
	if cfg.Pool == nil || cfg.Store == nil || cfg.Log == nil {
		return nil, errors.New("replays need a pool, a store and a log")
	}
	cfg.Batch = cmp.Or(cfg.Batch, 500)
	cfg.Window = cmp.Or(cfg.Window, 2000)
	return &Runner{cfg: cfg, views: projections.NewViews(cfg.Pool)}, nil
}

// lock is the advisory lock of the process that works.
const lock = 7_310_575_174_993_603_432

// Run carries out jobs until ctx is done, and returns nil then: what was not committed by that time
// is done by whoever runs next. It goes on through a loss of the database. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	return jobs.Run(ctx, jobs.Config[domain.ReplayID]{
		Pool: r.cfg.Pool, Log: r.cfg.Log, Actor: "replayer", Lock: lock, Poll: r.cfg.Poll,
		Started: r.cfg.Store.Mark(projections.Replays().Name), Moved: r.cfg.Store.Mark(projections.Dispatches().Name),
		Running: r.views.RunningReplays, Step: r.step,
	})
}

// step has the next batch of a job attempted, and notes the job's place, or its end.
func (r *Runner) step(ctx context.Context, id domain.ReplayID) (jobs.Meeting, error) {
	known, err := eventstore.Load[domain.Replay, domain.Event](ctx, r.cfg.Store, domain.ReplayStream(id))
	if err != nil || known.State.Status != domain.ReplayRunning {
		return jobs.Nothing, err // the read model will show that it has ended
	}
	job := known.State
	if job.UpTo <= job.After { // the filter's times leave nothing
		return jobs.Progress, r.note(ctx, known, domain.EndReplay{ID: id})
	}
	if job.Backfill {
		return r.fill(ctx, known)
	}
	room, err := r.room(ctx, job)
	if err != nil || room == 0 {
		return jobs.Waiting, err
	}
	filter, err := r.filter(ctx, job)
	if err != nil {
		return jobs.Nothing, err
	}
	found, err := r.views.EndedAfter(ctx, filter, job.Place, room)
	switch {
	case err != nil:
		return jobs.Nothing, err
	case len(found) == 0:
		return jobs.Progress, r.note(ctx, known, domain.EndReplay{ID: id})
	}
	if done, err := r.ask(ctx, job, found); err != nil || !done {
		return jobs.Progress, err
	}
	return jobs.Progress, r.note(ctx, known, domain.AdvanceReplay{ID: id, Place: found[len(found)-1].Place()})
}

// filter returns which dispatches a job is about.
func (r *Runner) filter(ctx context.Context, job domain.Replay) (projections.DispatchFilter, error) {
	filter := projections.DispatchFilter{
		Delivery: job.Delivery, Status: job.Filter.Status, Destination: job.Filter.Destination,
		After: eventstore.Position(job.After), UpTo: eventstore.Position(job.UpTo), EndedSince: job.Filter.EndedSince,
	}
	if job.Filter.Company == "" {
		return filter, nil
	}
	company, err := eventstore.Load[domain.HandOver, domain.Event](ctx, r.cfg.Store, domain.HandOverStream(job.Delivery, job.Filter.Company))
	filter.HandOver = company.State.ID // it had one when the job was started
	return filter, err
}

// room returns how many dispatches may be asked for now: none while the read models do not show all that the job was
// started on, and what was asked for last.
func (r *Runner) room(ctx context.Context, job domain.Replay) (int, error) {
	shown, err := r.cfg.Store.Cursor(ctx, projections.Dispatches().Name)
	if err != nil || shown < max(r.asked, eventstore.Position(job.UpTo)) {
		return 0, err
	}
	shown, err = r.cfg.Store.Cursor(ctx, projections.Companies().Name)
	if err != nil || shown < eventstore.Position(job.UpTo) {
		return 0, err
	}
	waiting, err := r.views.Replaying(ctx, job.Delivery, r.cfg.Window)
	return min(r.cfg.Batch, r.cfg.Window-waiting), err
}

// ask asks for dispatches to be retried, and reports whether it is done with them. It is not when
// their delivery changed meanwhile. What is owed by now, or has lost its destination, is passed over.
func (r *Runner) ask(ctx context.Context, job domain.Replay, found []projections.Ended) (bool, error) {
	stream := domain.DeliveryStream(job.Delivery)
	delivery, err := eventstore.Load[domain.Delivery, domain.Event](ctx, r.cfg.Store, stream)
	if err != nil {
		return false, err
	}
	plans := make([]eventstore.Plan[domain.Dispatch, domain.Event], len(found))
	for i, d := range found {
		plans[i] = eventstore.Plan[domain.Dispatch, domain.Event]{
			Command: domain.RetryDispatch{Dispatch: d.ID, Destination: d.Destination, Delivery: delivery.State, Replay: job.ID},
			Guard:   eventstore.Guard{Stream: stream, Version: delivery.Version},
			ID:      eventstore.NewAppendID([]byte(job.ID), domain.DispatchStream(d.ID), 0),
		}
	}
	done := true
	for _, o := range eventstore.ExecuteEach(ctx, r.cfg.Store, plans) {
		if _, conflict := errors.AsType[*eventstore.ConflictError](o.Err); conflict {
			done = false
		} else if o.Err != nil && domain.KindOf(o.Err) != domain.Conflict {
			return false, o.Err
		}
		r.asked = max(r.asked, o.Commit.Position)
	}
	return done, nil
}

// note records what became of a job.
func (r *Runner) note(ctx context.Context, known eventstore.Known[domain.Replay], cmd eventstore.Command[domain.Replay, domain.Event]) error {
	plan := eventstore.Plan[domain.Replay, domain.Event]{Command: cmd, Known: known}
	return eventstore.ExecuteEach(ctx, r.cfg.Store, []eventstore.Plan[domain.Replay, domain.Event]{plan})[0].Err
}
