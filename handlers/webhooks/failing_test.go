package webhooks_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/projections"
)

// types returns the types of a delivery's events from the given place on.
func (b *bundle) types(t *testing.T, d domain.Delivery, from int) (types []string) {
	t.Helper()
	records, err := b.store.ReadStream(t.Context(), domain.DeliveryStream(d.ID))
	require.NoError(t, err)
	for _, rec := range records[from:] {
		types = append(types, rec.Type)
	}
	return types
}

// reason returns why a destination is disabled, "" if it is not.
func (b *bundle) reason(t *testing.T, d domain.Delivery, id domain.DestinationID) string {
	t.Helper()
	known, err := eventstore.Load[domain.Delivery, domain.Event](t.Context(), b.store, domain.DeliveryStream(d.ID))
	require.NoError(t, err)
	return known.State.Destinations[id].DisabledReason
}

// outcome records what came of an attempt at a destination by somebody else: of the last one, if it failed.
func (b *bundle) outcome(t *testing.T, d domain.Delivery, dst domain.DestinationID, fault string) {
	t.Helper()
	execute(t, b, domain.RecordAttempt{
		Attempt: domain.Attempt{Dispatch: domain.DispatchIDFor(domain.NewHandOverID(), dst), Delivery: d.ID, Destination: dst, Number: 1}, Error: fault,
	})
}

func TestDestinationThatFailsForTooLongIsDisabledOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries, b.cfg.Tolerance = domain.RetrySchedule{time.Millisecond}, domain.Tolerance{Dispatches: 3, Time: time.Millisecond}
	bad, good := newReceiver(t, always(http.StatusInternalServerError)), newReceiver(t, ok)
	fails, takes := destination(bad.URL), destination(good.URL)
	d := b.delivery(t, fails, takes)
	for range 2 {
		b.another(t).work(t)
	}
	b.qualify(t, d, names(2)...)
	b.awaitCounts(t, d, projections.Counts{domain.Failed: 2, domain.Delivered: 2})
	require.NoError(t, webhooks.Judge(t.Context(), b.cfg))
	require.Empty(t, b.reason(t, d, fails.ID))
	b.qualify(t, d, "comp_last")
	require.Eventually(t, func() bool { return b.reason(t, d, fails.ID) != "" }, patience, 10*time.Millisecond)
	require.Regexp(t, `^3 dispatches in a row failed for good, over \d+ s$`, b.reason(t, d, fails.ID))

	b.qualify(t, d, "comp_held")
	b.awaitCounts(t, d, projections.Counts{domain.Failed: 3, domain.Delivered: 4, domain.Held: 1})
	require.Equal(t, []string{"destination.disabled"}, b.types(t, d, 3), "by one of two processes, and only the one that fails")
	execute(t, b, domain.EnableDestination{Delivery: d.ID, Organisation: org, Destination: fails.ID})
	b.awaitCounts(t, d, projections.Counts{domain.Failed: 4, domain.Delivered: 4})
	require.Equal(t, []string{"destination.disabled", "destination.enabled"}, b.types(t, d, 3), "counted anew")
}

// judge brings the read model of dispatches to the head of the log, lets f happen, and judges.
func (b *bundle) judge(t *testing.T, f func()) {
	t.Helper()
	require.NoError(t, projections.Rebuild(t.Context(), b.pool, b.store.Registry(), projections.Dispatches()))
	f()
	require.NoError(t, webhooks.Judge(t.Context(), b.cfg))
}

func TestDestinationIsNotDisabledByWhatIsTolerated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Tolerance = domain.Tolerance{Dispatches: 3, Time: time.Hour}
	dst := destination("https://one.example")
	d := b.delivery(t, dst)
	for range 3 {
		b.outcome(t, d, dst.ID, "it failed")
	}
	b.judge(t, func() {})
	require.Empty(t, b.types(t, d, 2), "it has not failed for long")

	b.cfg.Tolerance = domain.Tolerance{Dispatches: 4, Time: time.Nanosecond}
	b.judge(t, func() {})
	b.outcome(t, d, dst.ID, "")
	for range 3 {
		b.outcome(t, d, dst.ID, "it failed")
	}
	b.judge(t, func() {})
	require.Empty(t, b.types(t, d, 2), "not so often in a row")

	b.outcome(t, d, dst.ID, "it failed")
	b.cfg.Tolerance.Dispatches = -1
	b.judge(t, func() {})
	require.Empty(t, b.types(t, d, 2), "nothing is too often")
	b.cfg.Tolerance.Dispatches = 4
	b.judge(t, func() {})
	require.Equal(t, []string{"destination.disabled"}, b.types(t, d, 2))
}

func TestDestinationThatHasJustRecoveredIsNotDisabled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Tolerance = domain.Tolerance{Dispatches: 3, Time: time.Nanosecond}
	dst := destination("https://one.example")
	d := b.delivery(t, dst)
	fail := func() {
		for range 3 {
			b.outcome(t, d, dst.ID, "it failed")
		}
	}
	fail()
	b.judge(t, func() { b.outcome(t, d, dst.ID, "") }) // which the read model does not show yet
	require.Empty(t, b.types(t, d, 2))
	fail()
	b.judge(t, func() {
		b.change(t, d, dst.ID, func(dst *domain.Destination) { dst.URL = "https://two.example" })
	})
	require.Equal(t, []string{"destination.changed"}, b.types(t, d, 2))
	fail()
	b.judge(t, func() { require.NoError(t, webhooks.Judge(t.Context(), b.cfg)) })
	require.Equal(t, []string{"destination.changed", "destination.disabled"}, b.types(t, d, 2), "once, also by two")

	b.judge(t, func() {
		execute(t, b, domain.EnableDestination{Delivery: d.ID, Organisation: org, Destination: dst.ID})
	})
	require.Equal(t, []string{"destination.enabled"}, b.types(t, d, 4), "what was known before that does not count")
}

func TestDestinationThatTakesAWebhookAfterAllIsEnabledAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Tolerance = domain.Tolerance{Dispatches: 3, Time: time.Millisecond}
	b.cfg.Retries = domain.RetrySchedule{}
	var requests atomic.Int64
	gate := newGate()
	r := newReceiver(t, func(w http.ResponseWriter, _ int) {
		if requests.Add(1) == 1 {
			gate.pass()
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	dst := destination(r.URL)
	dst.TimeoutSeconds = 60
	d := b.delivery(t, dst)
	b.work(t)
	defer gate.open()
	b.qualify(t, d, "comp_slow")
	r.await(t, 1)
	for range 3 {
		b.outcome(t, d, dst.ID, "it failed")
	}
	require.Eventually(t, func() bool { return b.reason(t, d, dst.ID) != "" }, patience, 10*time.Millisecond)
	gate.open()
	require.Eventually(t, func() bool { return b.reason(t, d, dst.ID) == "" }, patience, 10*time.Millisecond)

	execute(t, b, domain.DisableDestination{Delivery: d.ID, Destination: dst.ID, Reason: "it answered 410 Gone"})
	b.outcome(t, d, dst.ID, "")
	b.settle(t)
	require.NoError(t, webhooks.Judge(t.Context(), b.cfg))
	require.Equal(t, []string{"destination.disabled", "destination.enabled", "destination.disabled"}, b.types(t, d, 2), "who wants no more gets no more")
}
