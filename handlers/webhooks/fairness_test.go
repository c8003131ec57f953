package webhooks_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestHungDestinationKeepsToItsShareAndHindersNoOther(t *testing.T) {
	t.Parallel()
	for name, workers := range map[string]int{"one process": 1, "two processes": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const share, limit = 16, 5
			b := setup(t)
			b.cfg.Share, b.cfg.Workers = share, 64
			hung, limited := newGate(), newGate()
			hanging, slow, healthy := newReceiver(t, hung.holds), newReceiver(t, limited.holds), newReceiver(t, ok)
			uncapped, capped := destination(hanging.URL), destination(slow.URL)
			uncapped.TimeoutSeconds, capped.TimeoutSeconds = 60, 60
			capped.MaxInFlight = limit
			bad := b.delivery(t, uncapped, capped)
			b.prove(t, bad)
			good := b.delivery(t, destination(healthy.URL))
			for range workers {
				b.another(t).work(t)
			}
			defer limited.open()
			defer hung.open()

			b.qualify(t, bad, names(300)...)
			hanging.await(t, share)
			slow.await(t, limit)
			b.qualify(t, good, names(200)...)
			healthy.await(t, 200)
			b.awaitCounts(t, good, projections.Counts{domain.Delivered: 200})
			require.Equal(t, share, hung.peak())
			require.Equal(t, limit, limited.peak())
			require.Len(t, hanging.all(), share)
			require.Len(t, slow.all(), limit)
		})
	}
}

func TestShareIsNeverExceededWhileRequestsComeAndGo(t *testing.T) {
	t.Parallel()
	const share, companies = 8, 200
	b := setup(t)
	b.cfg.Share = share
	var open, most atomic.Int64
	answer := sometimes()
	r := newReceiver(t, func(w http.ResponseWriter, nth int) {
		n := open.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-time.After(2 * time.Millisecond) // the receiver's work
		open.Add(-1)
		answer(w, nth)
	})
	d := b.delivery(t, destination(r.URL))
	b.prove(t, d)
	for range 2 {
		b.another(t).work(t)
	}
	b.qualify(t, d, names(companies)...)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	require.LessOrEqual(t, most.Load(), int64(share))
	require.Len(t, r.all(), companies+companies/3)
}

func TestRateLimitHoldsOverAllProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limited, free := newReceiver(t, ok), newReceiver(t, ok)
	dst := destination(limited.URL)
	dst.RateLimit = 10
	d := b.delivery(t, dst, destination(free.URL))
	for range 3 {
		b.another(t).work(t)
	}
	began := time.Now()
	b.qualify(t, d, names(20)...)
	last := slices.MaxFunc(free.await(t, 20), func(x, y received) int { return x.at.Compare(y.at) })
	got := limited.await(t, 20)
	require.Greater(t, got[19].at.Sub(began), 1500*time.Millisecond, "20 at 10 a second, of which 3 may come at once")
	require.True(t, got[19].at.After(last.at), "only the one that asks for it is held back")
}

func TestOrganisationLeavesWorkersToTheNext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Workers = 12
	gate := newGate()
	hanging, healthy := newReceiver(t, gate.holds), newReceiver(t, ok)
	destinations := make([]domain.Destination, 20)
	for i := range destinations {
		destinations[i] = destination(hanging.URL)
	}
	first := b.delivery(t, destinations...)
	second := b.deliveryOf(t, "org_second", destination(hanging.URL))
	b.prove(t, first)
	b.prove(t, second)
	b.work(t)
	defer gate.open()
	b.qualify(t, first, names(10)...)
	hanging.await(t, 6)
	b.qualify(t, second, names(10)...)
	hanging.await(t, 9)
	third := b.deliveryOf(t, "org_third", destination(healthy.URL))
	b.prove(t, third)
	b.qualify(t, third, names(10)...)
	healthy.await(t, 10)
	require.Equal(t, 9, gate.peak(), "half of the workers, and half of what remained")
}

func TestFailuresThatComeTogetherAreRecordedOneAfterTheOther(t *testing.T) {
	t.Parallel()
	const failing = 100
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	broken := newReceiver(t, func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusInternalServerError) })
	destinations := make([]domain.Destination, failing)
	for i := range destinations {
		destinations[i] = destination(broken.URL)
	}
	d := b.delivery(t, destinations...)
	b.work(t)
	b.qualify(t, d, "comp_1")
	b.awaitCounts(t, d, projections.Counts{domain.Retrying: failing})
	var took time.Duration
	const query = `SELECT max(recorded_at) - min(recorded_at) FROM events WHERE type = 'attempt.failed'`
	require.NoError(t, b.pool.QueryRow(t.Context(), query).Scan(&took))
	require.Greater(t, took, 200*time.Millisecond, "at 200 a second it is half a second")
}
