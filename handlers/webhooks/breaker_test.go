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
	const companies, probes = 60, 2
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	var requests atomic.Int64
	r := newReceiver(t, func(w http.ResponseWriter, _ int) {
		if requests.Add(1) <= probes {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.fail(t, d, dst.ID, domain.BreakerOpens)
	var opened time.Time
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT max(recorded_at) FROM events`).Scan(&opened))
	b.work(t)
	b.qualify(t, d, names(companies)...)
	got := r.await(t, companies)
	for _, probe := range got[:probes+1] {
		require.Greater(t, probe.at.Sub(opened), 800*time.Millisecond, "the wait before a probe")
		opened = probe.at
	}
	b.awaitCounts(t, d, projections.Counts{domain.Retrying: probes, domain.Delivered: companies - probes})
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
