package replay

import (
	"context"
	"errors"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/jobs"
	"github.com/openprospect/delivery-ledger/projections"
)

// fill makes the next batch of a back-fill owed, and notes the job's place, or its end.
func (r *Runner) fill(ctx context.Context, known eventstore.Known[domain.Replay]) (jobs.Meeting, error) {
	job := known.State
	delivery, err := eventstore.Load[domain.Delivery, domain.Event](ctx, r.cfg.Store, domain.DeliveryStream(job.Delivery))
	if err != nil {
		return jobs.Nothing, err
	}
	if !delivery.State.Backfills(job.Filter.Destination) {
		return jobs.Progress, r.note(ctx, known, domain.EndReplay{ID: job.ID})
	}
	room, err := r.room(ctx, job)
	if err != nil || room == 0 {
		return jobs.Waiting, err
	}
	wanted := projections.Backfill{
		Delivery: job.Delivery, Destination: job.Filter.Destination, After: eventstore.Position(job.After), UpTo: eventstore.Position(job.UpTo),
	}
	found, seen, err := r.views.UnowedAfter(ctx, wanted, eventstore.Position(job.Place.Position), room)
	switch {
	case err != nil:
		return jobs.Nothing, err
	case seen == 0:
		return jobs.Progress, r.note(ctx, known, domain.EndReplay{ID: job.ID})
	}
	if done, err := r.owe(ctx, job, delivery, found); err != nil || !done {
		return jobs.Progress, err
	}
	return jobs.Progress, r.note(ctx, known, domain.AdvanceReplay{ID: job.ID, Place: domain.ReplayPlace{Position: int64(seen)}})
}

// owe makes hand-overs owed to the job's destination, and reports whether it is done with them. It is not when
// the delivery changed meanwhile. What another job made owed is passed over.
func (r *Runner) owe(ctx context.Context, job domain.Replay, delivery eventstore.Known[domain.Delivery], found []projections.Unowed) (bool, error) {
	plans := make([]eventstore.Plan[domain.Dispatch, domain.Event], len(found))
	for i, h := range found {
		plans[i] = eventstore.Plan[domain.Dispatch, domain.Event]{
			Command: domain.BackfillDispatch{
				Dispatch: h.Dispatch, Destination: job.Filter.Destination, HandOver: h.HandOver, Position: int64(h.Position),
				Delivery: delivery.State, Replay: job.ID,
			},
			Guard: eventstore.Guard{Stream: domain.DeliveryStream(job.Delivery), Version: delivery.Version},
			ID:    eventstore.NewAppendID([]byte(job.ID), domain.DispatchStream(h.Dispatch), 0),
		}
	}
	done := true
	for _, o := range eventstore.ExecuteEach(ctx, r.cfg.Store, plans) {
		if _, conflict := errors.AsType[*eventstore.ConflictError](o.Err); conflict {
			done = false
		} else if o.Err != nil {
			return false, o.Err
		}
		r.asked = max(r.asked, o.Commit.Position)
	}
	return done, nil
}
