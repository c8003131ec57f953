package webhooks_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// watcher returns a destination at url that is told of events.
func watcher(url string, events ...domain.WebhookEvent) domain.Destination {
	d := destination(url)
	d.Events = events
	return d
}

// notices are the webhooks that a receiver got, by what they tell of, from the first of each.
func notices(r *receiver) map[string]received {
	got := map[string]received{}
	for _, one := range r.all() {
		var event string
		if _, err := fmt.Sscanf(one.body, `{"event":%q`, &event); err == nil && got[event].body == "" {
			got[event] = one
		}
	}
	return got
}

func TestDestinationIsToldOfFailuresAllOverItsOrganisation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries, b.cfg.Tolerance = domain.RetrySchedule{time.Millisecond}, domain.Tolerance{Dispatches: 1, Time: time.Nanosecond}
	bad, watching, foreign := newReceiver(t, always(http.StatusInternalServerError)), newReceiver(t, sometimes()), newReceiver(t, ok)
	fails := destination(bad.URL)
	d := b.delivery(t, fails)
	watch := watcher(watching.URL, domain.OnDispatchFailed, domain.OnDestinationDisabled)
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	watch.SigningSecret = b.secret(t, secret)
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	w := b.delivery(t, watch, destination(foreign.URL))
	o := b.deliveryOf(t, "org_other", watcher(foreign.URL, domain.OnDispatchFailed, domain.OnDestinationDisabled))
	b.prove(t, w)
	for range 2 {
		b.another(t).work(t)
	}

	handOver := b.qualify(t, d, "comp_1")[0]
	b.awaitCounts(t, w, projections.Counts{domain.Delivered: 2})
	require.Empty(t, b.counts(t, o), "of another organisation")
	got := notices(watching)
	require.Len(t, got, 2)
	failed, disabled := got["dispatch.failed"], got["destination.disabled"]
	require.Regexp(t, fmt.Sprintf(`^{"event":"dispatch.failed","timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ","data":{"dispatch_id":%q,"delivery_id":%q,`+
		`"delivery_configuration_id":%q,"destination_id":%q,"attempts":2,"reason":"the destination answered 500[^"]*"}}$`,
		domain.DispatchIDFor(handOver, fails.ID), handOver, d.ID, fails.ID), failed.body)
	known, err := eventstore.Load[domain.Delivery, domain.Event](t.Context(), b.store, domain.DeliveryStream(d.ID))
	require.NoError(t, err)
	reason := known.State.Destinations[fails.ID].DisabledReason
	require.Contains(t, reason, "1 dispatches in a row failed for good, over ")
	require.Regexp(t, fmt.Sprintf(`"data":{"delivery_configuration_id":%q,"destination_id":%q,`+
		`"reason":%q,"failed_dispatches":1,"failing_since":"[^"]+"}}$`, d.ID, fails.ID, reason), disabled.body)
	require.Equal(t, "1", failed.header.Get("Ledger-Sequence"))
	require.Equal(t, "2", disabled.header.Get("Ledger-Sequence"))
	for _, one := range watching.all() {
		require.NoError(t, verifier.Verify([]byte(one.body), one.header))
		require.Equal(t, got[b.noticed(t, one.id())].body, one.body, "the same on every attempt")
	}

	b.qualify(t, w, "comp_2")
	b.awaitCounts(t, w, projections.Counts{domain.Delivered: 3})
	require.Len(t, notices(foreign), 1, "the delivery's company went to the other destination alone")
	require.Len(t, notices(watching), 2)
}

// noticed returns what a dispatch told of.
func (b *bundle) noticed(t *testing.T, id domain.DispatchID) string {
	t.Helper()
	events := b.events(t, id, 1)
	switch e := events[len(events)-1].(type) {
	case domain.AttemptSucceeded:
		return string(e.Event)
	case domain.AttemptFailed:
		return string(e.Event)
	}
	require.Fail(t, "no attempt", "%v", events)
	return ""
}

func TestNobodyIsToldOfANoticeThatFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries, b.cfg.Tolerance = domain.RetrySchedule{time.Millisecond}, domain.Tolerance{Dispatches: -1}
	bad := newReceiver(t, always(http.StatusInternalServerError))
	d := b.delivery(t, destination(bad.URL))
	w := b.delivery(t, watcher(bad.URL, domain.OnDispatchFailed), watcher(bad.URL, domain.OnDispatchFailed))
	b.work(t)
	b.qualify(t, d, names(2)...)
	b.awaitCounts(t, w, projections.Counts{domain.Failed: 4})
	b.settle(t)
	require.Equal(t, projections.Counts{domain.Failed: 4}, b.counts(t, w), "each of two destinations, of each of two companies")
}

func TestNoticeOfItselfIsHeldForADisabledDestination(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, func(w http.ResponseWriter, nth int) {
		w.WriteHeader(map[bool]int{true: http.StatusOK, false: http.StatusGone}[nth > 1])
	})
	dst := watcher(r.URL, domain.OnCompanyQualified, domain.OnDestinationDisabled)
	d := b.delivery(t, dst)
	b.work(t)
	b.qualify(t, d, "comp_1")
	b.awaitCounts(t, d, projections.Counts{domain.Failed: 1, domain.Held: 1})
	require.Len(t, r.all(), 1)
	execute(t, b, domain.EnableDestination{Delivery: d.ID, Organisation: org, Destination: dst.ID})
	require.Eventually(t, func() bool { return notices(r)["destination.disabled"].body != "" }, patience, 10*time.Millisecond)
	require.Contains(t, notices(r)["destination.disabled"].body, `"reason":"it answered 410 Gone","failed_dispatches":0}}`)
}
