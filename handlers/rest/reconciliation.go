package rest

import (
	"context"
	"errors"
	"fmt"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

// maxReconciled is how many companies are compared at once: some seconds' work.
const maxReconciled = 100_000

// ReconcileDelivery compares what a delivery handed over with what became of it.
func (s *Server) ReconcileDelivery(ctx context.Context, r ReconcileDeliveryRequestObject) (ReconcileDeliveryResponseObject, error) {
	id := domain.DeliveryID(r.DeliveryID)
	if err := s.cfg.Views.Owned(ctx, organisation(ctx), id); err != nil {
		return nil, err
	}
	found, err := s.cfg.Views.Reconcile(ctx, s.cfg.Store, projections.Handed{
		Delivery: id, Since: r.Params.Since, Until: r.Params.Until, Most: maxReconciled,
	})
	switch {
	case errors.Is(err, projections.ErrTooMany):
		return nil, invalid([]domain.Fault{{Field: "since", Error: fmt.Sprintf("must, with until, leave at most %d companies to compare", maxReconciled)}})
	case err != nil:
		return nil, err
	}
	return ReconcileDelivery200JSONResponse{Body: showReconciliation(found)}, nil
}

// showReconciliation returns r as the API shows it.
func showReconciliation(r projections.Reconciliation) Reconciliation {
	shown := Reconciliation{
		Position: int64(r.Position), Balanced: r.Balanced(), HandedOver: r.HandedOver, Feed: r.Feed,
		Destinations: make([]DestinationSums, len(r.Destinations)), Differences: make([]Difference, len(r.Differences)),
	}
	for i, d := range r.Destinations {
		shown.Destinations[i] = DestinationSums{DestinationID: string(d.Destination), Owed: d.Owed, Counts: showCounts(d.Counts)}
	}
	for i, d := range r.Differences {
		ids := make([]string, len(d.HandOvers))
		for i, id := range d.HandOvers {
			ids[i] = string(id)
		}
		shown.Differences[i] = Difference{
			DestinationID: optional(string(d.Destination)), Logged: optional(d.Logged), Shown: optional(d.Shown), Count: d.Count, DeliveryIds: ids,
		}
	}
	return shown
}
