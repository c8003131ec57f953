package requalify

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
	"github.com/openprospect/delivery-ledger/projections/personal"
)

// Config adjusts a runner.
type Config struct {
	Pool  *pgxpool.Pool     // Required.
	Store *eventstore.Store // Required.
	Log   *slog.Logger      // Required.

	// Keyring opens what was recorded of companies. Default: only what is in the clear can be opened.
	Keyring *personal.Keyring

	// Batch is how many disqualifications are looked at in one go, at most. Default 100.
	Batch int

	// Poll is how late a runner notices, at worst, what it was not told of: that there is a job, or
	// that the process which worked before it is gone. Default 1 s.
	Poll time.Duration
}

// A Runner carries out jobs. Any number of processes may have one; one of them works.
type Runner struct {
	cfg   Config
	views *projections.Views
	judge *Judge
}

// New returns a runner. It fails when cfg lacks what is required.
func New(cfg Config) (*Runner, error) {
	if cfg.Pool == nil || cfg.Store == nil || cfg.Log == nil {
		return nil, errors.New("requalifications need a pool, a store and a log")
	}
	cfg.Batch = cmp.Or(cfg.Batch, batch)
	views := projections.NewViews(cfg.Pool)
	return &Runner{cfg: cfg, views: views, judge: NewJudge(cfg.Store, views, cfg.Keyring)}, nil
}

// lock is the advisory lock of the process that works.
const lock = 7_310_575_174_993_603_433

// Run carries out jobs until ctx is done, and returns nil then: what was not committed by that time
// is done by whoever runs next. It goes on through a loss of the database. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	return jobs.Run(ctx, jobs.Config[domain.RequalificationID]{
		Pool: r.cfg.Pool, Log: r.cfg.Log, Actor: "requalifier", Lock: lock, Poll: r.cfg.Poll,
		Started: r.cfg.Store.Mark(projections.Requalifications().Name), Moved: r.cfg.Store.Mark(projections.History().Name),
		Running: r.views.RunningRequalifications, Step: r.step,
	})
}

// step judges the next batch of a job, and notes what came of it, or the job's end.
func (r *Runner) step(ctx context.Context, id domain.RequalificationID) (jobs.Meeting, error) {
	known, err := eventstore.Load[domain.Requalification, domain.Event](ctx, r.cfg.Store, domain.RequalificationStream(id))
	if err != nil || known.State.Status != domain.RequalificationRunning {
		return jobs.Nothing, err // the read model will show that it has ended
	}
	job := known.State
	shown, err := r.cfg.Store.Cursor(ctx, projections.History().Name)
	if err != nil || shown < eventstore.Position(job.UpTo) {
		return jobs.Waiting, err
	}
	delivery, err := eventstore.Load[domain.Delivery, domain.Event](ctx, r.cfg.Store, domain.DeliveryStream(job.Delivery))
	if err != nil {
		return jobs.Nothing, err
	}
	if obstacle := job.Obstacle(delivery.State); obstacle != "" {
		return jobs.Progress, r.note(ctx, known, domain.EndRequalification{ID: id, Obstacle: obstacle})
	}
	among := projections.Disqualifications{Delivery: job.Delivery, Filter: job.Filter, UpTo: eventstore.Position(job.UpTo)}
	found, err := r.views.DisqualifiedAfter(ctx, among, job.Progress.Number, r.cfg.Batch)
	switch {
	case err != nil:
		return jobs.Nothing, err
	case len(found) == 0:
		return jobs.Progress, r.note(ctx, known, domain.EndRequalification{ID: id})
	}
	progress, done, err := r.judgeEach(ctx, job, delivery, found)
	if err != nil || !done {
		return jobs.Progress, err
	}
	return jobs.Progress, r.note(ctx, known, domain.AdvanceRequalification{ID: id, Progress: progress})
}

// judgeEach judges those found and returns the progress after it. It reports whether it is done with
// them: it is not when the delivery changed meanwhile.
func (r *Runner) judgeEach(
	ctx context.Context, job domain.Requalification, delivery eventstore.Known[domain.Delivery], found []projections.Disqualified,
) (progress domain.RequalificationProgress, done bool, err error) {
	plans, err := r.judge.plans(ctx, domain.RequalifyCompany{Requalification: job.ID, Delivery: delivery.State}, found)
	if err != nil {
		return progress, false, err
	}
	for i := range plans {
		stream := plans[i].Command.Stream()
		plans[i].Guard = eventstore.Guard{Stream: domain.DeliveryStream(job.Delivery), Version: delivery.Version}
		plans[i].ID = eventstore.NewAppendID([]byte(job.ID), stream, 0)
	}
	progress, done = job.Progress, true
	for _, o := range eventstore.ExecuteEach(ctx, r.cfg.Store, plans) {
		_, conflict := errors.AsType[*eventstore.ConflictError](o.Err)
		switch {
		case conflict:
			done = false
		case o.Err != nil:
			return progress, false, o.Err
		case o.State.ID == "" || o.Commit.Position > 0: // else it was handed over otherwise
			progress = progress.With(o.State)
		}
	}
	progress.Seen, progress.Number = progress.Seen+int64(len(found)), found[len(found)-1].Number
	return progress, done, nil
}

// note records what became of a job.
func (r *Runner) note(ctx context.Context, known eventstore.Known[domain.Requalification], cmd eventstore.Command[domain.Requalification, domain.Event]) error {
	plan := eventstore.Plan[domain.Requalification, domain.Event]{Command: cmd, Known: known}
	return eventstore.ExecuteEach(ctx, r.cfg.Store, []eventstore.Plan[domain.Requalification, domain.Event]{plan})[0].Err
}
