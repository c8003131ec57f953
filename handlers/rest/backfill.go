package rest

import (
	"context"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// StartBackfill starts a job that makes companies owed to a destination that they were never owed to, or counts them.
func (s *Server) StartBackfill(ctx context.Context, r StartBackfillRequestObject) (StartBackfillResponseObject, error) {
	body := value(r.Body)
	delivery, err := s.current(ctx, domain.DeliveryID(r.DeliveryID))
	if err != nil {
		return nil, err
	}
	start := domain.StartBackfill{
		ID: seed(ctx).ReplayID(), Delivery: delivery.State, Organisation: organisation(ctx), Destination: domain.DestinationID(r.DestinationID),
		Since: utc(body.Since), Until: utc(body.Until),
	}
	if start.Delivery.ID == "" {
		start.Delivery.ID = domain.DeliveryID(r.DeliveryID) // to be named
	}
	if err := start.Check(); err != nil { // before anything is looked for
		return nil, err
	}
	if err := s.findUnowed(ctx, &start); err != nil {
		return nil, err
	}
	if value(body.DryRun) {
		return StartBackfill200JSONResponse{Body: ReplayCount{DryRun: true, Count: start.Count}}, nil
	}
	o, err := eventstore.Execute(ctx, s.cfg.Store, start)
	if err != nil {
		return nil, err
	}
	return StartBackfill202JSONResponse{Body: showReplay(s.job(ctx, o, start.Count)), Headers: StartBackfill202ResponseHeaders{
		Location: replaysPath(r.DeliveryID) + "/" + string(start.ID), LedgerPosition: position(o.Commit),
	}}, nil
}

// findUnowed enters in a job which positions its times come to, as far as the log goes now, and how many hand-overs there are.
func (s *Server) findUnowed(ctx context.Context, start *domain.StartBackfill) error {
	head, err := s.cfg.Store.Head(ctx)
	if err != nil {
		return err
	}
	filter := projections.DispatchFilter{UpTo: head}
	empty, err := s.between(ctx, &filter, start.Since, start.Until)
	if err != nil {
		return err
	}
	filter.UpTo = min(filter.UpTo, head)
	start.After, start.UpTo = int64(filter.After), int64(filter.UpTo)
	if empty {
		return nil
	}
	for _, p := range []projections.Projection{projections.Companies(), projections.Dispatches()} {
		s.settleOn(ctx, p, eventstore.Commit{Position: filter.UpTo}) // what is late is counted wrongly, and seen to all the same
	}
	start.Count, err = s.cfg.Views.CountUnowed(ctx, projections.Backfill{
		Delivery: start.Delivery.ID, Destination: start.Destination, After: filter.After, UpTo: filter.UpTo,
	})
	return err
}
