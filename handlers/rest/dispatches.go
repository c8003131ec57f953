package rest

import (
	"context"
	"maps"
	"math"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// ListDispatches shows a page of a delivery's dispatches, as they are or as they were.
func (s *Server) ListDispatches(ctx context.Context, r ListDispatchesRequestObject) (ListDispatchesResponseObject, error) {
	q := r.Params
	if q.SequenceAfter != nil || q.SequenceUntil != nil {
		return s.listSequence(ctx, r)
	}
	filter := projections.DispatchFilter{
		Delivery: domain.DeliveryID(r.DeliveryID), Status: domain.DispatchStatus(value(q.Status)), Destination: domain.DestinationID(value(q.Destination)),
	}
	p, views, err := s.pastListing(ctx, q.Limit, q.Offset, q.Cursor, q.AsOf)
	if err != nil {
		return nil, err
	}
	if err := views.Owned(ctx, organisation(ctx), filter.Delivery); err != nil {
		return nil, err
	}
	empty, err := s.between(ctx, &filter, q.Since, q.Until)
	if err != nil {
		return nil, err
	}
	if past, ok := views.(*projections.Past); ok && filter.Status != "" && !empty {
		return s.listDispatchesHaving(ctx, p, past, filter)
	}
	var found projections.List[projections.Dispatch]
	if !empty {
		page := projections.DispatchPage{After: domain.DispatchID(p.After), Limit: p.Limit, Offset: p.Offset}
		if found, err = views.DispatchesOf(ctx, filter, page); err != nil {
			return nil, err
		}
	}
	return showDispatches(p, found, lastKey(found, func(d projections.Dispatch) string { return string(d.ID) })), nil
}

// listDispatchesHaving shows a page of the dispatches that had a status.
func (s *Server) listDispatchesHaving(
	ctx context.Context, p listing, past *projections.Past, filter projections.DispatchFilter,
) (ListDispatchesResponseObject, error) {
	from := projections.PastPlace{Skip: p.Offset}
	if p.After != "" {
		if err := from.UnmarshalText([]byte(p.After)); err != nil {
			return nil, invalid([]domain.Fault{{Field: "cursor", Error: "is no cursor of this list with these filters"}})
		}
	}
	found, next, err := past.DispatchesHaving(ctx, filter, from, p.Limit)
	if err != nil {
		return nil, err
	}
	return showDispatches(p, found, next.String()), nil
}

// showDispatches returns a page of dispatches as the API shows it. The cursor holds the key that the list goes on after.
func showDispatches(p listing, found projections.List[projections.Dispatch], key string) ListDispatches200JSONResponse {
	items := make([]Dispatch, len(found.Items))
	for i, d := range found.Items {
		items[i] = showDispatch(d)
	}
	cursor, link := p.next(found.More, key)
	return ListDispatches200JSONResponse{
		Body: DispatchPage{
			Items: items, Total: found.Total, TotalIsLeast: optional(found.Least), Limit: p.Limit, Offset: p.Offset, HasMore: found.More,
			NextCursor: cursor,
		},
		Headers: ListDispatches200ResponseHeaders{Link: link},
	}
}

// between bounds a filter by times, and reports whether nothing can lie between them.
func (s *Server) between(ctx context.Context, filter *projections.DispatchFilter, since, until *time.Time) (empty bool, err error) {
	if since != nil {
		if filter.After, err = s.cfg.Store.PositionAt(ctx, since.Add(-1).Truncate(time.Microsecond)); err != nil {
			return false, err
		}
	}
	if until == nil {
		return false, nil
	}
	filter.UpTo, err = s.cfg.Store.PositionAt(ctx, until.Add(-1).Truncate(time.Microsecond))
	return filter.UpTo <= filter.After, err
}

// ReadDispatch shows a dispatch with its attempts, as it is or as it was.
func (s *Server) ReadDispatch(ctx context.Context, r ReadDispatchRequestObject) (ReadDispatchResponseObject, error) {
	id := domain.DispatchID(r.DispatchID)
	at, err := s.moment(ctx, r.Params.AsOf)
	if err != nil {
		return nil, err
	}
	views, err := s.viewsAt(ctx, at, projections.Dispatches())
	if err != nil {
		return nil, err
	}
	d, err := s.dispatch(ctx, views, id)
	if err != nil {
		return nil, err
	}
	last := eventstore.Position(math.MaxInt64)
	if at != nil {
		last = *at
	}
	streams, err := s.cfg.Store.ReadStreamsAsOf(ctx, last, []string{domain.DispatchStream(id)})
	if err != nil {
		return nil, err
	}
	made, asked, err := s.attempts(ctx, streams[domain.DispatchStream(id)])
	if err != nil {
		return nil, err
	}
	payload, err := s.payload(ctx, d)
	if err != nil {
		return nil, err
	}
	b := showDispatch(d)
	return ReadDispatch200JSONResponse{Body: DispatchDetail{
		ID: b.ID, Event: b.Event, Sequence: b.Sequence, Status: b.Status, AttemptCount: b.AttemptCount, DueAt: b.DueAt, SettledAt: b.SettledAt,
		DestinationID: b.DestinationID, DeliveryID: b.DeliveryID, DeliveryConfigurationID: b.DeliveryConfigurationID, Attempts: made, Retries: asked,
		Payload: payload,
	}}, nil
}

// dispatch returns the caller's dispatch of that ID, or a NotFound error.
func (s *Server) dispatch(ctx context.Context, views views, id domain.DispatchID) (projections.Dispatch, error) {
	d, err := views.Dispatch(ctx, id)
	if err != nil {
		return d, err
	}
	if err := views.Owned(ctx, organisation(ctx), d.Delivery); domain.KindOf(err) == domain.NotFound {
		return d, domain.Errorf(domain.NotFound, "DISPATCH_NOT_FOUND", "there is no dispatch %s", id)
	} else if err != nil {
		return d, err
	}
	return d, nil
}

// attempts returns those that a dispatch's records tell of, and the retries that were asked for, as
// the API shows them.
func (s *Server) attempts(ctx context.Context, records []eventstore.Record) ([]DispatchAttempt, []DispatchRetry, error) {
	made, asked := []DispatchAttempt{}, []DispatchRetry{}
	for _, rec := range records {
		event, err := s.cfg.Store.Registry().Decode(rec)
		if err != nil {
			return nil, nil, err
		}
		opened, err := s.cfg.Keyring.Open(ctx, rec.Position, ownedBy(organisation(ctx), event.(domain.Event)))
		if err != nil {
			return nil, nil, err
		}
		switch e := opened.(type) {
		case domain.AttemptSucceeded:
			made = append(made, showAttempt(e.Attempt, "", nil))
		case domain.AttemptFailed:
			made = append(made, showAttempt(e.Attempt, e.Error, e.Due))
		case domain.DispatchRetried:
			asked = append(asked, DispatchRetry{RequestedAt: rec.RecordedAt.UTC(), AttemptCount: e.Attempts, ReplayID: optional(string(e.Replay))})
		}
	}
	return made, asked, nil
}

// ownedBy returns an event about org's dispatch, which says so also where it was recorded before that was told.
func ownedBy(org domain.OrganisationID, event domain.Event) domain.Event {
	switch e := event.(type) {
	case domain.AttemptSucceeded:
		e.Organisation = org
		return e
	case domain.AttemptFailed:
		e.Organisation = org
		return e
	}
	return event
}

// showAttempt returns an attempt as the API shows it.
func showAttempt(a domain.Attempt, fault string, next *time.Time) DispatchAttempt {
	return DispatchAttempt{
		Attempt: a.Number, StartedAt: a.StartedAt.UTC(), DurationMs: float64(a.Microseconds) / 1000, Status: optional(a.Status),
		RequestHeaders: texts(a.RequestHeaders), ResponseHeaders: texts(a.ResponseHeaders),
		ResponseBody: optional(a.ResponseBody), Error: optional(fault), NextAttemptAt: next,
	}
}

// texts returns a copy of m, empty rather than nil.
func texts(m map[string]string) map[string]string {
	kept := make(map[string]string, len(m))
	maps.Copy(kept, m)
	return kept
}

// showDispatch returns a dispatch as the API shows it.
func showDispatch(d projections.Dispatch) Dispatch {
	return Dispatch{
		ID: string(d.ID), Sequence: d.Sequence, Status: DispatchStatus(d.Status), AttemptCount: d.Attempts, DueAt: utc(d.Due), SettledAt: utc(d.SettledAt),
		Event: WebhookEventName(d.Event), DestinationID: string(d.Destination), DeliveryID: optional(string(d.HandOver)), DeliveryConfigurationID: string(d.Delivery),
	}
}
