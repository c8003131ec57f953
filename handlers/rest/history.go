package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// ListEvents shows a page of a delivery's audit trail.
func (s *Server) ListEvents(ctx context.Context, r ListEventsRequestObject) (ListEventsResponseObject, error) {
	q := r.Params
	trail := projections.Trail{Delivery: domain.DeliveryID(r.DeliveryID), Type: value(q.Type), Since: q.Since, Until: q.Until}
	p, err := newListing(ctx, q.Limit, q.Offset, q.Cursor)
	wrong, err := faultsIn(err)
	if err != nil {
		return nil, err
	}
	var faults []domain.Fault
	if !slices.ContainsFunc(domain.Events(), func(e domain.Event) bool { return trail.Type == "" || e.EventType() == trail.Type }) {
		faults = append(faults, domain.Fault{Field: "type", Error: "is no type of event", Provided: said("type", trail.Type)})
	}
	if err := invalid(append(faults, wrong...)); err != nil {
		return nil, err
	}
	if err := s.cfg.Views.Owned(ctx, organisation(ctx), trail.Delivery); err != nil {
		return nil, err
	}
	page := projections.TrailPage{Limit: p.Limit, Offset: p.Offset}
	if p.After != "" {
		page.Before, _ = strconv.ParseInt(p.After, 10, 64) // as it was written
	}
	events, err := s.cfg.Views.Events(ctx, trail, page)
	if err != nil {
		return nil, err
	}
	items := make([]Event, len(events.Items))
	for i, e := range events.Items {
		if items[i], err = s.showEvent(ctx, e); err != nil {
			return nil, err
		}
	}
	more := events.More && len(items) > 0
	cursor, link := p.next(more, lastKey(events, func(e projections.AuditEvent) string { return strconv.FormatInt(e.Number, 10) }))
	return ListEvents200JSONResponse{
		Body: EventPage{
			Items: items, Total: events.Total, Limit: p.Limit, Offset: p.Offset, HasMore: events.More, NextCursor: cursor,
		},
		Headers: ListEvents200ResponseHeaders{Link: link},
	}, nil
}

// showEvent returns an event as the API shows it.
func (s *Server) showEvent(ctx context.Context, e projections.AuditEvent) (Event, error) {
	var fields map[string]json.RawMessage
	var metadata eventstore.Metadata
	if err := json.Unmarshal(e.Data, &fields); err != nil {
		return Event{}, fmt.Errorf("show event %d: %w", e.Position, err)
	}
	if err := json.Unmarshal(e.Metadata, &metadata); err != nil {
		return Event{}, fmt.Errorf("show metadata of event %d: %w", e.Position, err)
	}
	switch e.Type {
	case domain.CompanyQualified{}.EventType(), domain.CompanyDisqualified{}.EventType():
		for _, name := range []string{"company", "prospects", "attributes", "key"} { // whose reading needs other scopes
			delete(fields, name) // undecoded: a number in it may be too large for that
		}
	case domain.AttemptSucceeded{}.EventType(), domain.AttemptFailed{}.EventType():
		if err := s.showAnswer(ctx, e, fields); err != nil {
			return Event{}, err
		}
	}
	data := make(map[string]any, len(fields))
	for name, raw := range fields {
		var field any
		if err := json.Unmarshal(raw, &field); err != nil {
			return Event{}, fmt.Errorf("show %s of event %d: %w", name, e.Position, err)
		}
		data[name] = field
	}
	withoutSecrets(data)
	return Event{
		Position: int64(e.Position), RecordedAt: e.RecordedAt.UTC(), Type: e.Type, SchemaVersion: int(e.Schema), Data: data,
		Actor: optional(metadata.Actor), RequestID: optional(metadata.Request),
	}, nil
}

// showAnswer enters what a receiver answered, in the clear, in the fields of an attempt, or nothing when that was erased.
func (s *Server) showAnswer(ctx context.Context, e projections.AuditEvent, fields map[string]json.RawMessage) error {
	event, err := s.cfg.Store.Registry().Decode(eventstore.Record{Position: e.Position, Type: e.Type, SchemaVersion: e.Schema, Data: e.Data})
	if err != nil {
		return err
	}
	opened, err := s.cfg.Keyring.Open(ctx, e.Position, ownedBy(organisation(ctx), event.(domain.Event)))
	if err != nil {
		return err
	}
	body := ""
	switch a := opened.(type) {
	case domain.AttemptSucceeded:
		body = a.ResponseBody
	case domain.AttemptFailed:
		body = a.ResponseBody
	}
	delete(fields, "response_body")
	delete(fields, "key")
	if body != "" {
		if fields["response_body"], err = json.Marshal(body); err != nil {
			return fmt.Errorf("show answer of event %d: %w", e.Position, err)
		}
	}
	return nil
}

// withoutSecrets removes the names of secrets from an event's data.
func withoutSecrets(data map[string]any) {
	for name, v := range data {
		switch v := v.(type) {
		case map[string]any:
			withoutSecrets(v)
		case string:
			if strings.HasSuffix(name, "_secret") {
				delete(data, name)
			}
		}
	}
}
