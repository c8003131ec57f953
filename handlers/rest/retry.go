package rest

import (
	"context"
	"errors"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// RetryDispatch has a dispatch attempted again soon.
func (s *Server) RetryDispatch(ctx context.Context, r RetryDispatchRequestObject) (RetryDispatchResponseObject, error) {
	d, err := s.dispatch(ctx, s.cfg.Views, domain.DispatchID(r.DispatchID))
	if err != nil {
		return nil, err
	}
	o, err := s.retry(ctx, d)
	if err != nil {
		return nil, err
	}
	return RetryDispatch200JSONResponse{Body: showDispatch(s.retried(ctx, d, o)), Headers: RetryDispatch200ResponseHeaders{LedgerPosition: position(o.Commit)}}, nil
}

// retry executes the command. It is decided again when its delivery changes meanwhile: what is owed
// to a destination ends with that, whoever was first.
func (s *Server) retry(ctx context.Context, d projections.Dispatch) (o eventstore.Outcome[domain.Dispatch], err error) {
	const tries = 10
	for range tries {
		delivery, err := s.current(ctx, d.Delivery)
		if err != nil {
			return o, err
		}
		stream := domain.DispatchStream(d.ID)
		plan := eventstore.Plan[domain.Dispatch, domain.Event]{
			Command: domain.RetryDispatch{Dispatch: d.ID, Destination: d.Destination, Delivery: delivery.State},
			Guard:   eventstore.Guard{Stream: domain.DeliveryStream(d.Delivery), Version: delivery.Version},
		}
		if seed := seed(ctx); seed != nil { // the same however often it is decided
			plan.ID = eventstore.NewAppendID(seed.Secret, stream, 0)
		} else if plan.Known, err = eventstore.Load[domain.Dispatch, domain.Event](ctx, s.cfg.Store, stream); err != nil {
			return o, err
		}
		o = eventstore.ExecuteEach(ctx, s.cfg.Store, []eventstore.Plan[domain.Dispatch, domain.Event]{plan})[0]
		if c, ok := errors.AsType[*eventstore.ConflictError](o.Err); !ok || c.Stream != plan.Guard.Stream {
			break
		}
	}
	return o, o.Err
}

// current returns a delivery as it stands, whoever changed it.
func (s *Server) current(ctx context.Context, id domain.DeliveryID) (eventstore.Known[domain.Delivery], error) {
	stream := domain.DeliveryStream(id)
	s.deliveries.Forget(stream)
	return s.deliveries.Load(ctx, stream)
}

// retried returns d as the read model shows it after o; where that is late, what it would show.
func (s *Server) retried(ctx context.Context, d projections.Dispatch, o eventstore.Outcome[domain.Dispatch]) projections.Dispatch {
	s.settleOn(ctx, projections.Dispatches(), o.Commit)
	if shown, err := s.cfg.Views.Dispatch(ctx, d.ID); err == nil && shown.Version >= o.Version {
		return shown
	}
	if o.Commit.Position > 0 {
		d.Status, d.Attempts, d.SettledAt, d.Version = o.State.Status, o.State.Attempts, nil, o.Version
		d.Due = new(o.Commit.RecordedAt.UTC())
	}
	return d
}
