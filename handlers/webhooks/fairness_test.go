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
			capped := destination(slow.URL)
			capped.MaxInFlight = limit
			bad := b.delivery(t, destination(hanging.URL), capped)
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
	r := newReceiver(t, func(w http.ResponseWriter, nth int) {
		n := open.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-time.After(2 * time.Millisecond) // the receiver's work
		open.Add(-1)
		if nth == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	d := b.delivery(t, destination(r.URL))
	for range 2 {
		b.another(t).work(t)
	}
	b.qualify(t, d, names(companies)...)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	require.LessOrEqual(t, most.Load(), int64(share))
	require.Len(t, r.all(), 2*companies)
}
