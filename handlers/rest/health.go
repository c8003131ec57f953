package rest

import (
	"context"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

// ReadDestinationHealth shows how a destination has answered of late, and what is owed to it.
func (s *Server) ReadDestinationHealth(ctx context.Context, r ReadDestinationHealthRequestObject) (ReadDestinationHealthResponseObject, error) {
	id := domain.DeliveryID(r.DeliveryID)
	if _, err := s.cfg.Views.Delivery(ctx, organisation(ctx), id); err != nil {
		return nil, err
	}
	d, err := s.cfg.Views.Destination(ctx, id, domain.DestinationID(r.DestinationID))
	if err != nil {
		return nil, err
	}
	h, err := s.cfg.Views.Health(ctx, d.ID)
	if domain.KindOf(err) == domain.NotFound { // it is pulled, or so new that nothing was owed to it
		h, err = projections.Health{Breaker: domain.BreakerClosed}, nil
	}
	if err != nil {
		return nil, err
	}
	return ReadDestinationHealth200JSONResponse{Body: showHealth(d, h)}, nil
}

// showHealth returns the health of a destination as the API shows it.
func showHealth(d projections.Destination, h projections.Health) DestinationHealth {
	return DestinationHealth{
		DestinationID: string(d.ID), Status: showDestination(d).Status, Breaker: DestinationHealthBreaker(h.Breaker),
		ConsecutiveFailures: h.Failures, FailingSince: utc(h.FailingSince), NextProbeAt: utc(h.ProbeAt),
		ExhaustedDispatches: h.Exhausted, OldestDueAt: utc(h.OldestDue),
		Counts: showCounts(h.Counts),
	}
}

// showCounts returns numbers of dispatches as the API shows them.
func showCounts(n projections.Counts) Counts {
	return Counts{
		Pending: n[domain.Pending], Retrying: n[domain.Retrying], Held: n[domain.Held],
		Delivered: n[domain.Delivered], Failed: n[domain.Failed], Cancelled: n[domain.Cancelled],
	}
}
