package rest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// ListEvents shows a page of a delivery's audit trail.
func (s *Server) ListEvents(ctx context.Context, r ListEventsRequestObject) (ListEventsResponseObject, error) {
	q := r.Params
	trail := projections.Trail{Delivery: domain.DeliveryID(r.DeliveryID), Type: value(q.Type), Since: q.Since, Until: q.Until}
	list := historyList{
		path: deliveryPath(r.DeliveryID) + "/events", name: "events " + r.DeliveryID, limit: value(q.Limit), offset: value(q.Offset),
		query: historyQuery(q.Since, q.Until, "type", trail.Type),
	}
	var faults []domain.Fault
	if !slices.ContainsFunc(domain.Events(), func(e domain.Event) bool { return trail.Type == "" || e.EventType() == trail.Type }) {
		faults = append(faults, domain.Fault{Field: "type", Error: "is no type of event", Provided: said("type", trail.Type)})
	}
	last, wrong := list.after(q.Cursor)
	if err := invalid(append(faults, wrong...)); err != nil {
		return nil, err
	}
	if err := s.cfg.Views.Owned(ctx, organisation(ctx), trail.Delivery); err != nil {
		return nil, err
	}
	page := projections.TrailPage{Limit: list.limit, Offset: list.offset}
	if last != "" {
		page.Before, _ = strconv.ParseInt(last, 10, 64) // as it was written
	}
	events, err := s.cfg.Views.Events(ctx, trail, page)
	if err != nil {
		return nil, err
	}
	items := make([]Event, len(events.Items))
	for i, e := range events.Items {
		if items[i], err = showEvent(e); err != nil {
			return nil, err
		}
	}
	body := EventPage{Items: items, Total: events.Total, Limit: list.limit, Offset: list.offset, HasMore: events.More}
	if events.More && len(items) > 0 {
		body.NextCursor = new(list.cursor(strconv.FormatInt(events.Items[len(items)-1].Number, 10)))
	}
	return ListEvents200JSONResponse{Body: body, Headers: ListEvents200ResponseHeaders{Link: list.link(body.NextCursor)}}, nil
}

// showEvent returns an event as the API shows it.
func showEvent(e projections.AuditEvent) (Event, error) {
	var data map[string]any
	var metadata eventstore.Metadata
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return Event{}, fmt.Errorf("show event %d: %w", e.Position, err)
	}
	if err := json.Unmarshal(e.Metadata, &metadata); err != nil {
		return Event{}, fmt.Errorf("show metadata of event %d: %w", e.Position, err)
	}
	if e.Type == (domain.CompanyQualified{}).EventType() { // whose reading needs other scopes
		delete(data, "company")
		delete(data, "prospects")
	}
	withoutSecrets(data)
	return Event{
		Position: int64(e.Position), RecordedAt: e.RecordedAt.UTC(), Type: e.Type, Data: data,
		Actor: optional(metadata.Actor), RequestID: optional(metadata.Request),
	}, nil
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

// A historyList is a list whose pages are bound together by cursors.
type historyList struct {
	path, name string
	query      url.Values // its filters
	limit      int
	offset     int64
}

// historyQuery returns the filters of a list, given in pairs of name and value.
func historyQuery(since, until *time.Time, pairs ...string) url.Values {
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	if since != nil {
		query.Set("since", since.Format(time.RFC3339Nano))
	}
	if until != nil {
		query.Set("until", until.Format(time.RFC3339Nano))
	}
	return query
}

// tag tells lists, and what they are filtered by, apart.
func (l historyList) tag() []byte {
	sum := sha256.Sum256([]byte(l.name + "?" + l.query.Encode()))
	return append([]byte{cursorVersion}, sum[:8]...)
}

// cursor returns the cursor that goes on after the item named last.
func (l historyList) cursor(last string) string { return newListCursor(l.tag(), last) }

// after returns the name of the last item that was read; see readListCursor.
func (l historyList) after(cursor *string) (last string, faults []domain.Fault) {
	return readListCursor(l.tag(), cursor, l.offset)
}

// link returns the Link header's value that leads to the next page, nil when there is none.
func (l historyList) link(cursor *string) *string {
	if cursor == nil {
		return nil
	}
	l.query.Set("cursor", *cursor)
	l.query.Set("limit", strconv.Itoa(l.limit))
	return linkTo(l.path, l.query)
}
