package rest

import (
	"context"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// StartReplay starts a job that has many dispatches attempted again, or counts them.
func (s *Server) StartReplay(ctx context.Context, r StartReplayRequestObject) (StartReplayResponseObject, error) {
	body := value(r.Body)
	delivery, err := s.current(ctx, domain.DeliveryID(r.DeliveryID))
	if err != nil {
		return nil, err
	}
	if !delivery.State.Exists(organisation(ctx)) {
		return nil, domain.Errorf(domain.NotFound, "DELIVERY_NOT_FOUND", "there is no delivery %s", r.DeliveryID)
	}
	start := domain.StartReplay{ID: seed(ctx).ReplayID(), Delivery: delivery.State, Filter: domain.ReplayFilter{
		Since: body.Since, Until: body.Until, Status: domain.DispatchStatus(value(body.Status)), Destination: domain.DestinationID(value(body.Destination)),
		Company: domain.CompanyID(value(body.CompanyID)), EndedSince: body.EndedSince,
	}}
	if start.HandOver, err = s.handOver(ctx, delivery.State.ID, start.Filter.Company); err != nil {
		return nil, err
	}
	if err := start.Filter.Check(start.Delivery, start.HandOver); err != nil {
		return nil, err
	}
	if err := s.find(ctx, &start); err != nil {
		return nil, err
	}
	if value(body.DryRun) {
		return StartReplay200JSONResponse{Body: ReplayCount{DryRun: true, Count: start.Count}}, nil
	}
	o, err := eventstore.Execute(ctx, s.cfg.Store, start)
	if err != nil {
		return nil, err
	}
	return StartReplay202JSONResponse{Body: showReplay(s.job(ctx, o, start.Count)), Headers: StartReplay202ResponseHeaders{
		Location: replaysPath(r.DeliveryID) + "/" + string(start.ID), LedgerPosition: position(o.Commit),
	}}, nil
}

// handOver returns what is known of a company under a delivery, nothing of one that is not named or cannot be.
func (s *Server) handOver(ctx context.Context, delivery domain.DeliveryID, company domain.CompanyID) (domain.HandOver, error) {
	if company == "" || !isText(string(company)) {
		return domain.HandOver{}, nil
	}
	known, err := eventstore.Load[domain.HandOver, domain.Event](ctx, s.cfg.Store, domain.HandOverStream(delivery, company))
	return known.State, err
}

// find enters in a job which positions its filter comes to, as far as the log goes now, and how many
// dispatches there are.
func (s *Server) find(ctx context.Context, start *domain.StartReplay) error {
	head, err := s.cfg.Store.Head(ctx)
	if err != nil {
		return err
	}
	filter := projections.DispatchFilter{
		Delivery: start.Delivery.ID, Status: start.Filter.Status, Destination: start.Filter.Destination, UpTo: head,
		EndedSince: start.Filter.EndedSince, HandOver: start.HandOver.ID,
	}
	empty, err := s.between(ctx, &filter, start.Filter.Since, start.Filter.Until)
	if err != nil {
		return err
	}
	filter.UpTo = min(filter.UpTo, head)
	start.After, start.UpTo = int64(filter.After), int64(filter.UpTo)
	if empty {
		return nil
	}
	s.settleOn(ctx, projections.Dispatches(), eventstore.Commit{Position: filter.UpTo}) // what is late is counted less, and replayed all the same
	start.Count, err = s.cfg.Views.CountEnded(ctx, filter)
	return err
}

// ListReplays shows a page of a delivery's replays.
func (s *Server) ListReplays(ctx context.Context, r ListReplaysRequestObject) (ListReplaysResponseObject, error) {
	id := domain.DeliveryID(r.DeliveryID)
	p, err := newListing(ctx, r.Params.Limit, r.Params.Offset, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Views.Owned(ctx, organisation(ctx), id); err != nil {
		return nil, err
	}
	list, err := s.cfg.Views.Replays(ctx, id, p.Page)
	if err != nil {
		return nil, err
	}
	items := make([]Replay, len(list.Items))
	for i, replay := range list.Items {
		items[i] = showReplay(replay)
	}
	cursor, link := p.next(list.More, lastKey(list, func(r projections.Replay) string { return string(r.ID) }))
	return ListReplays200JSONResponse{
		Body:    ReplayPage{Items: items, Total: list.Total, Limit: p.Limit, Offset: p.Offset, HasMore: list.More, NextCursor: cursor},
		Headers: ListReplays200ResponseHeaders{Link: link},
	}, nil
}

// ReadReplay shows how far a replay has come.
func (s *Server) ReadReplay(ctx context.Context, r ReadReplayRequestObject) (ReadReplayResponseObject, error) {
	id := domain.DeliveryID(r.DeliveryID)
	if err := s.cfg.Views.Owned(ctx, organisation(ctx), id); err != nil {
		return nil, err
	}
	replay, err := s.cfg.Views.Replay(ctx, id, domain.ReplayID(r.ReplayID))
	if err != nil {
		return nil, err
	}
	return ReadReplay200JSONResponse{Body: showReplay(replay)}, nil
}

// CancelReplay ends a replay early.
func (s *Server) CancelReplay(ctx context.Context, r CancelReplayRequestObject) (CancelReplayResponseObject, error) {
	cmd := domain.CancelReplay{ID: domain.ReplayID(r.ReplayID), Delivery: domain.DeliveryID(r.DeliveryID)}
	if err := s.cfg.Views.Owned(ctx, organisation(ctx), cmd.Delivery); err != nil {
		return nil, err
	}
	o, err := eventstore.Execute(ctx, s.cfg.Store, cmd)
	if err != nil {
		return nil, err
	}
	s.settleOn(ctx, projections.Replays(), o.Commit)
	replay, err := s.cfg.Views.Replay(ctx, cmd.Delivery, cmd.ID)
	if err != nil {
		return nil, err
	}
	if replay.Version < o.Version && o.Commit.Position > 0 {
		replay.Status, replay.Version, replay.EndedAt = o.State.Status, o.Version, new(o.Commit.RecordedAt.UTC())
	}
	return CancelReplay200JSONResponse{Body: showReplay(replay), Headers: CancelReplay200ResponseHeaders{LedgerPosition: position(o.Commit)}}, nil
}

// job returns a job that o started as the read model shows it; where that is late, what it would show. Count is how many it
// found.
func (s *Server) job(ctx context.Context, o eventstore.Outcome[domain.Replay], count int64) projections.Replay {
	s.settleOn(ctx, projections.Replays(), o.Commit)
	if shown, err := s.cfg.Views.Replay(ctx, o.State.Delivery, o.State.ID); err == nil {
		return shown
	}
	return projections.Replay{
		ID: o.State.ID, Delivery: o.State.Delivery, Status: o.State.Status, Backfill: o.State.Backfill, Filter: o.State.Filter, Count: count,
		Version: o.Version, StartedAt: o.Commit.RecordedAt,
	}
}

// utc returns a time in UTC, nil when it is nil.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

// showReplay returns a replay as the API shows it.
func showReplay(r projections.Replay) Replay {
	kind := ReplayKindReplay
	if r.Backfill {
		kind = ReplayKindBackfill
	}
	return Replay{
		ID: string(r.ID), DeliveryID: string(r.Delivery), Kind: kind, Status: ReplayStatus(r.Status), Count: r.Count, Replayed: r.Replayed,
		Filter: ReplayFilter{
			Since: utc(r.Filter.Since), Until: utc(r.Filter.Until), Status: optional(ReplayFilterStatus(r.Filter.Status)),
			Destination: optional(string(r.Filter.Destination)), CompanyID: optional(string(r.Filter.Company)), EndedSince: utc(r.Filter.EndedSince),
		},
		StartedAt: r.StartedAt.UTC(), EndedAt: utc(r.EndedAt),
	}
}
