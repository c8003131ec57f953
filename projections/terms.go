package projections

import (
	"context"
	"math"
	"slices"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// terms are what the log says of a delivery's webhook destinations: since when each is told of
// companies, and what holds their dispatches.
type terms struct {
	spans    []span
	paused   bool
	disabled map[domain.DestinationID]bool
}

// A span is a part of the log in which a destination was told of companies.
type span struct {
	destination domain.DestinationID
	after       eventstore.Position // exclusive, as
	before      eventstore.Position // is this; endless: until now
	removed     eventstore.Position // of the destination; endless: it was not
}

// endless is after all positions.
const endless = eventstore.Position(math.MaxInt64)

// readTerms returns the terms of a delivery as of a position.
func readTerms(ctx context.Context, store *eventstore.Store, id domain.DeliveryID, as eventstore.Position) (terms, error) {
	t := terms{disabled: map[domain.DestinationID]bool{}}
	records, err := store.ReadStream(ctx, domain.DeliveryStream(id))
	if err != nil {
		return t, err
	}
	for _, rec := range records {
		if rec.Position > as {
			break
		}
		event, err := store.Registry().Decode(rec)
		if err != nil {
			return t, err
		}
		t.apply(rec.Position, event)
	}
	return t, nil
}

// apply enters an event of the delivery.
func (t *terms) apply(at eventstore.Position, event eventstore.Event) {
	switch e := event.(type) {
	case domain.DeliveryCreated:
		t.paused = e.Status == domain.Paused
	case domain.DeliveryPaused:
		t.paused = true
	case domain.DeliveryResumed:
		t.paused = false
	case domain.DeliveryDeleted:
		t.remove(at, func(span) bool { return true })
	case domain.DestinationAdded:
		t.set(at, e.Destination)
	case domain.DestinationChanged:
		t.set(at, e.Destination)
		t.disabled[e.Destination.ID] = false
	case domain.DestinationDisabled:
		t.disabled[e.Destination] = true
	case domain.DestinationEnabled:
		t.disabled[e.Destination] = false
	case domain.DestinationRemoved:
		t.remove(at, func(s span) bool { return s.destination == e.Destination })
	}
}

// set begins or ends a span, should the destination's settings do so.
func (t *terms) set(at eventstore.Position, d domain.Destination) {
	told := d.TakesCompanies()
	open := slices.IndexFunc(t.spans, func(s span) bool { return s.destination == d.ID && s.before == endless })
	switch {
	case told && open < 0:
		t.spans = append(t.spans, span{destination: d.ID, after: at, before: endless, removed: endless})
	case !told && open >= 0:
		t.spans[open].before = at
	}
}

// remove ends spans with their destinations.
func (t *terms) remove(at eventstore.Position, which func(span) bool) {
	for i, s := range t.spans {
		if which(s) && s.removed == endless {
			t.spans[i].before, t.spans[i].removed = min(s.before, at), at
		}
	}
}

// holds reports whether what is owed to a destination waits for somebody to let it go.
func (t *terms) holds(id domain.DestinationID) bool { return t.paused || t.disabled[id] }
