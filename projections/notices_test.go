package projections_test

import (
	"context"
	"slices"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// subscriptions are those that destinations have.
var subscriptions = rapid.SampledFrom([][]domain.WebhookEvent{
	nil,
	{domain.OnCompanyQualified, domain.OnDispatchFailed, domain.OnDestinationDisabled},
	{domain.OnDispatchFailed},
	{domain.OnDestinationDisabled, domain.OnDispatchFailed},
	{domain.OnDestinationRecovered},
})

// subscribed reports whether the target is told of such events.
func (t *target) subscribed(event domain.WebhookEvent) bool {
	if len(t.Events) == 0 {
		return event == domain.OnCompanyQualified
	}
	return slices.Contains(t.Events, event)
}

// owe adds a dispatch to a target.
func (l *ledger) owe(t *target, event domain.WebhookEvent, id domain.DispatchID) *dispatch {
	l.numbers[t.ID]++
	d := &dispatch{target: t, event: event, sequence: l.numbers[t.ID], status: domain.Pending, due: true}
	l.dispatches[id] = d
	return d
}

// notify adds the dispatches that tell of an operational event.
func (l *ledger) notify(rec eventstore.Record, event domain.WebhookEvent, about domain.DestinationID) {
	var of domain.OrganisationID
	for _, t := range l.targets {
		if t.ID == about && !t.removed {
			of = l.deliveries[t.delivery].Organisation
		}
	}
	for _, t := range l.targets {
		if !t.removed && l.deliveries[t.delivery].Organisation == of && t.subscribed(event) {
			l.owe(t, event, domain.NoticeIDFor(int64(rec.Position), t.ID))
		}
	}
}

// notice enters among the dispatches to be attempted the one that the last event may owe to a destination.
func (h *history) notice(t *rapid.T) {
	dst := rapid.SampledFrom(h.destinations).Draw(t, "told")
	i := slices.IndexFunc(h.deliveries, func(d domain.Delivery) bool { return d.Destinations[dst].Type == domain.Webhook })
	if i < 0 || h.deliveries[i].Deleted {
		return
	}
	head, err := h.store.Head(context.Background())
	require.NoError(t, err)
	id := domain.NoticeIDFor(int64(head), dst)
	if _, known := h.targets[id]; known {
		return
	}
	h.dispatches, h.targets[id] = append(h.dispatches, id), dst
	h.owed[id] = domain.RecordAttempt{Attempt: domain.Attempt{
		Dispatch: id, Event: domain.OnDispatchFailed, Delivery: h.deliveries[i].ID, Destination: dst,
	}}
}
