package webhooks_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestDestinationThatKeepsFailingIsProbedUntilItRecovers(t *testing.T) {
	t.Parallel()
	const companies = 60
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	var healed atomic.Bool
	r := newReceiver(t, func(w http.ResponseWriter, _ int) {
		if !healed.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	b.qualify(t, d, names(companies)...)
	r.await(t, domain.BreakerOpens+2) // two of which may have been under way when it opened
	require.Eventually(t, func() bool {
		health, err := b.views.Health(t.Context(), dst.ID)
		return err == nil && health.Breaker != domain.BreakerClosed && health.Failures >= domain.BreakerOpens
	}, patience, 10*time.Millisecond)
	healed.Store(true)
	r.await(t, companies)

	var failed int64
	require.Eventually(t, func() bool {
		counts := b.counts(t, d)
		failed = counts[domain.Retrying]
		return counts[domain.Delivered]+failed == companies
	}, patience, 10*time.Millisecond)
	require.Less(t, failed, int64(companies/2), "it was left alone as long as it failed")
	longest := time.Duration(0)
	for i, got := range r.all()[1:] {
		longest = max(longest, got.at.Sub(r.all()[i].at))
	}
	require.Greater(t, longest, 800*time.Millisecond, "the wait before the first probe")
	health, err := b.views.Health(t.Context(), dst.ID)
	require.NoError(t, err)
	require.Equal(t, projections.Health{Breaker: domain.BreakerClosed, Counts: health.Counts, OldestDue: health.OldestDue}, health)
}

func TestProbesOfABreakerAreMadeOneAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate := newGate()
	r := newReceiver(t, gate.holds)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.prove(t, d)
	b.fail(t, d, dst.ID, domain.BreakerOpens)
	for range 2 {
		b.another(t).work(t)
	}
	defer gate.open()
	b.qualify(t, d, names(20)...)
	r.await(t, 1)
	witness(t, b)
	require.Len(t, r.all(), 1)
	gate.open()
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 20})
}

// fail records that n attempts at a destination of d came to nothing.
func (b *bundle) fail(t *testing.T, d domain.Delivery, dst domain.DestinationID, n int) {
	t.Helper()
	for range n {
		execute(t, b, domain.RecordAttempt{
			Attempt: domain.Attempt{Dispatch: domain.DispatchIDFor(domain.NewHandOverID(), dst), Delivery: d.ID, Destination: dst, Number: 1},
			Error:   "no answer", Retries: domain.DefaultRetries,
		})
	}
}
