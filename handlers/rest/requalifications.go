package rest

import (
	"context"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// mostTried is how many disqualifications a dry run looks at. They are judged while the caller waits.
const mostTried = 10_000

// StartRequalification starts a job that judges recorded companies again, or counts what would come of it.
func (s *Server) StartRequalification(ctx context.Context, r StartRequalificationRequestObject) (StartRequalificationResponseObject, error) {
	body := value(r.Body)
	delivery, err := s.current(ctx, domain.DeliveryID(r.DeliveryID))
	if err != nil {
		return nil, err
	}
	if !delivery.State.Exists(organisation(ctx)) {
		return nil, domain.Errorf(domain.NotFound, "DELIVERY_NOT_FOUND", "there is no delivery %s", r.DeliveryID)
	}
	start := domain.StartRequalification{
		ID: seed(ctx).RequalificationID(), Delivery: delivery.State, Filter: domain.RequalificationFilter{Since: body.Since, Until: body.Until},
	}
	if _, err := start.Decide(domain.Requalification{}, s.now()); err != nil { // before anything is looked for
		return nil, err
	}
	among, err := s.disqualified(ctx, &start)
	if err != nil {
		return nil, err
	}
	if value(body.DryRun) {
		return s.tryRequalification(ctx, start, among)
	}
	o, err := eventstore.Execute(ctx, s.cfg.Store, start)
	if err != nil {
		return nil, err
	}
	return StartRequalification202JSONResponse{
		Body: showRequalification(s.requalification(ctx, start, o)),
		Headers: StartRequalification202ResponseHeaders{
			Location: requalificationsPath(r.DeliveryID) + "/" + string(start.ID), LedgerPosition: position(o.Commit),
		},
	}, nil
}

// disqualified returns what a job would look at, as far as the log goes now, and enters in it how much
// that is.
func (s *Server) disqualified(ctx context.Context, start *domain.StartRequalification) (projections.Disqualifications, error) {
	head, err := s.cfg.Store.Head(ctx)
	if err != nil {
		return projections.Disqualifications{}, err
	}
	among := projections.Disqualifications{Delivery: start.Delivery.ID, Filter: start.Filter, UpTo: head}
	s.settleOn(ctx, projections.History(), eventstore.Commit{Position: head}) // what is late is counted less, and judged all the same
	start.UpTo = int64(head)
	start.Count, err = s.cfg.Views.CountDisqualifications(ctx, among)
	return among, err
}

// tryRequalification answers a dry run.
func (s *Server) tryRequalification(
	ctx context.Context, start domain.StartRequalification, among projections.Disqualifications,
) (StartRequalificationResponseObject, error) {
	p, err := s.anew.Count(ctx, start.Delivery, among, mostTried, s.now())
	if err != nil {
		return nil, err
	}
	return StartRequalification200JSONResponse{Body: RequalificationCount{
		DryRun: true, ProfileVersion: start.Delivery.Profile.Version, Count: start.Count,
		Seen: p.Seen, Evaluated: p.Evaluated(), Qualified: p.Qualified, Disqualified: p.Disqualified, Excluded: p.Excluded,
	}}, nil
}

// ListRequalifications shows a page of a delivery's requalifications.
func (s *Server) ListRequalifications(ctx context.Context, r ListRequalificationsRequestObject) (ListRequalificationsResponseObject, error) {
	id := domain.DeliveryID(r.DeliveryID)
	p, err := newListing(ctx, r.Params.Limit, r.Params.Offset, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Views.Owned(ctx, organisation(ctx), id); err != nil {
		return nil, err
	}
	list, err := s.cfg.Views.Requalifications(ctx, id, p.Page)
	if err != nil {
		return nil, err
	}
	items := make([]Requalification, len(list.Items))
	for i, job := range list.Items {
		items[i] = showRequalification(job)
	}
	cursor, link := p.next(list.More, lastKey(list, func(r projections.Requalification) string { return string(r.ID) }))
	return ListRequalifications200JSONResponse{
		Body:    RequalificationPage{Items: items, Total: list.Total, Limit: p.Limit, Offset: p.Offset, HasMore: list.More, NextCursor: cursor},
		Headers: ListRequalifications200ResponseHeaders{Link: link},
	}, nil
}

// ReadRequalification shows how far a requalification has come.
func (s *Server) ReadRequalification(ctx context.Context, r ReadRequalificationRequestObject) (ReadRequalificationResponseObject, error) {
	id := domain.DeliveryID(r.DeliveryID)
	if err := s.cfg.Views.Owned(ctx, organisation(ctx), id); err != nil {
		return nil, err
	}
	job, err := s.cfg.Views.Requalification(ctx, id, domain.RequalificationID(r.RequalificationID))
	if err != nil {
		return nil, err
	}
	return ReadRequalification200JSONResponse{Body: showRequalification(job)}, nil
}

// CancelRequalification ends a requalification early.
func (s *Server) CancelRequalification(ctx context.Context, r CancelRequalificationRequestObject) (CancelRequalificationResponseObject, error) {
	cmd := domain.CancelRequalification{ID: domain.RequalificationID(r.RequalificationID), Delivery: domain.DeliveryID(r.DeliveryID)}
	if err := s.cfg.Views.Owned(ctx, organisation(ctx), cmd.Delivery); err != nil {
		return nil, err
	}
	o, err := eventstore.Execute(ctx, s.cfg.Store, cmd)
	if err != nil {
		return nil, err
	}
	s.settleOn(ctx, projections.Requalifications(), o.Commit)
	job, err := s.cfg.Views.Requalification(ctx, cmd.Delivery, cmd.ID)
	if err != nil {
		return nil, err
	}
	if job.Version < o.Version && o.Commit.Position > 0 {
		job.Status, job.Progress, job.Version, job.EndedAt = o.State.Status, o.State.Progress, o.Version, new(o.Commit.RecordedAt.UTC())
	}
	return CancelRequalification200JSONResponse{
		Body: showRequalification(job), Headers: CancelRequalification200ResponseHeaders{LedgerPosition: position(o.Commit)},
	}, nil
}

// requalification returns a job as the read model shows it after o; where that is late, what it would show.
func (s *Server) requalification(
	ctx context.Context, start domain.StartRequalification, o eventstore.Outcome[domain.Requalification],
) projections.Requalification {
	s.settleOn(ctx, projections.Requalifications(), o.Commit)
	if shown, err := s.cfg.Views.Requalification(ctx, start.Delivery.ID, start.ID); err == nil {
		return shown
	}
	return projections.Requalification{
		ID: start.ID, Delivery: start.Delivery.ID, Status: o.State.Status, Filter: o.State.Filter, Profile: o.State.Profile, Count: start.Count,
		Progress: o.State.Progress, Version: o.Version, StartedAt: o.Commit.RecordedAt,
	}
}

// showRequalification returns a requalification as the API shows it.
func showRequalification(r projections.Requalification) Requalification {
	p := r.Progress
	return Requalification{
		ID: string(r.ID), DeliveryID: string(r.Delivery), Status: RequalificationStatus(r.Status),
		Obstacle: optional(RequalificationObstacle(r.Obstacle)), Filter: RequalificationFilter{Since: utc(r.Filter.Since), Until: utc(r.Filter.Until)},
		ProfileVersion: r.Profile, Count: r.Count, Seen: p.Seen, Evaluated: p.Evaluated(), Qualified: p.Qualified,
		Disqualified: p.Disqualified, Excluded: p.Excluded, StartedAt: r.StartedAt.UTC(), EndedAt: utc(r.EndedAt),
	}
}
