package webhooks_test

import (
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

// ordered returns a webhook destination at url that gets one dispatch after the other.
func ordered(url string) domain.Destination {
	d := destination(url)
	d.Ordered = true
	return d
}

// inOrder and freely are changes of a destination.
func inOrder(d *domain.Destination) { d.Ordered = true }
func freely(d *domain.Destination)  { d.Ordered = false }

// numbers are Ledger-Sequences.
func numbers(of ...int) []string {
	s := make([]string, len(of))
	for i, n := range of {
		s[i] = strconv.Itoa(n)
	}
	return s
}

func TestOrderedDestinationGetsOneDispatchAfterTheOtherFromAllProcesses(t *testing.T) {
	t.Parallel()
	const companies = 60
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{5 * time.Millisecond, 10 * time.Millisecond}
	var open atomic.Int64
	var overlapped atomic.Bool
	answer := sometimes()
	r := newReceiver(t, func(w http.ResponseWriter, nth int) {
		if open.Add(1) > 1 {
			overlapped.Store(true)
		}
		<-time.After(time.Millisecond) // the receiver's work
		open.Add(-1)
		answer(w, nth)
	})
	d := b.delivery(t, ordered(r.URL))
	b.prove(t, d)
	for range 2 {
		b.another(t).work(t)
	}
	b.qualify(t, d, names(companies/2)...)
	b.qualify(t, d, names(companies)[companies/2:]...)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	require.False(t, overlapped.Load(), "one request at a time")
	got := sequencesOf(r.all())
	require.Len(t, got, companies+companies/3)
	require.Equal(t, sequences(companies), slices.Compact(got), "each has ended when the next begins")
}

func TestNextOfAnOrderGoesAsSoonAsTheOneBeforeItHasEnded(t *testing.T) {
	t.Parallel()
	const companies = 20
	b := setup(t)
	b.cfg.Poll = 20 * time.Second // little is found by looking again
	r := newReceiver(t, ok)
	d := b.delivery(t, ordered(r.URL))
	b.work(t)
	b.qualify(t, d, names(companies)...)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	require.Equal(t, sequences(companies), sequencesOf(r.all()))
}

func TestFailingHeadHoldsTheRestUntilItHasFailedForGoodAndNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	r := newReceiver(t, failing(2, http.StatusInternalServerError))
	free := newReceiver(t, ok)
	dst := ordered(r.URL)
	d := b.delivery(t, dst, destination(free.URL))
	b.work(t)
	b.qualify(t, d, names(5)...)
	free.await(t, 5)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 5, domain.Retrying: 1, domain.Pending: 4})
	witness(t, b)
	require.Equal(t, numbers(1), sequencesOf(r.all()), "what comes after it is due, and held")

	for done := range 5 { // each fails twice, and then for good
		b.awaitCounts(t, d, countsOf(5, int64(done), int64(4-done)))
		b.makeDue(t)
		r.await(t, 2*(done+1))
	}
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 5, domain.Failed: 5})
	require.Equal(t, numbers(1, 1, 2, 2, 3, 3, 4, 4, 5, 5), sequencesOf(r.all()))
}

// countsOf returns the counts while one dispatch waits to be retried.
func countsOf(delivered, failed, pending int64) projections.Counts {
	counts := projections.Counts{domain.Delivered: delivered, domain.Retrying: 1}
	if failed > 0 {
		counts[domain.Failed] = failed
	}
	if pending > 0 {
		counts[domain.Pending] = pending
	}
	return counts
}

func TestOrderBeginsWithWhatIsOwedWhenItIsSwitchedOnAndEndsWhenOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Share = 3
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	gate := newGate()
	r := newReceiver(t, nil)
	var bad atomic.Value // the sequence that fails
	bad.Store("2")
	keep := r.Config.Handler
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		keep.ServeHTTP(w, req)
		gate.pass()
		if req.Header.Get("Ledger-Sequence") == bad.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.prove(t, d)
	b.work(t)
	defer gate.open()
	b.qualify(t, d, names(6)...)
	r.await(t, 3)

	b.change(t, d, dst.ID, inOrder)
	b.settle(t)
	gate.open()
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 2, domain.Retrying: 1, domain.Pending: 3})
	witness(t, b)
	require.Len(t, r.all(), 3, "those under way have ended, and the first of the rest waits")

	bad.Store("5")
	b.makeDue(t)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 4, domain.Retrying: 1, domain.Pending: 1})
	witness(t, b)
	require.Equal(t, numbers(2, 4, 5), sequencesOf(r.all()[3:]))

	b.change(t, d, dst.ID, freely)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 5, domain.Retrying: 1})
	require.Equal(t, numbers(6), sequencesOf(r.all()[6:]))
}

func TestPauseKeepsTheOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	r := newReceiver(t, failing(1, http.StatusInternalServerError))
	dst := ordered(r.URL)
	d := b.delivery(t, dst)
	b.prove(t, d)
	b.work(t)
	b.qualify(t, d, names(2)...)
	b.awaitCounts(t, d, projections.Counts{domain.Retrying: 1, domain.Pending: 1})
	b.set(t, d, domain.Paused)
	b.qualify(t, d, names(4)[2:]...)
	b.awaitCounts(t, d, projections.Counts{domain.Held: 4})
	b.makeDue(t)
	witness(t, b)
	require.Len(t, r.all(), 1)

	b.set(t, d, domain.Active)
	for done := range int64(3) {
		b.awaitCounts(t, d, countsOf(done+1, 0, 2-done))
		b.makeDue(t)
	}
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 4})
	require.Equal(t, numbers(1, 1, 2, 2, 3, 3, 4, 4), sequencesOf(r.all()))
}

func TestRetryOfAnOldDispatchGoesFirstButWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate := newGate()
	var closed atomic.Bool
	r := newReceiver(t, func(http.ResponseWriter, int) {
		if closed.Load() {
			gate.pass()
		}
	})
	dst := ordered(r.URL)
	d := b.delivery(t, dst)
	b.prove(t, d)
	for range 2 {
		b.another(t).work(t)
	}
	defer gate.open()
	handOvers := b.qualify(t, d, names(3)...)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 3})
	closed.Store(true)
	b.qualify(t, d, names(6)[3:]...)
	r.await(t, 4)
	for _, i := range []int{2, 0} {
		b.retry(t, d, dst.ID, domain.DispatchIDFor(handOvers[i], dst.ID))
	}
	b.settle(t)
	witness(t, b)
	require.Len(t, r.all(), 4)
	gate.open()
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 6})
	require.Equal(t, numbers(1, 2, 3, 4, 1, 3, 5, 6), sequencesOf(r.all()))
}

func TestRetryIsHeldToTheOrderThatStandsThen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	var broken atomic.Bool
	r := newReceiver(t, func(w http.ResponseWriter, _ int) {
		if broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	handOvers := b.qualify(t, d, names(3)...)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 3})
	before := len(r.all())
	b.change(t, d, dst.ID, inOrder)
	broken.Store(true)
	b.retry(t, d, dst.ID, domain.DispatchIDFor(handOvers[0], dst.ID))
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 2, domain.Retrying: 1})
	b.retry(t, d, dst.ID, domain.DispatchIDFor(handOvers[2], dst.ID))
	b.settle(t)
	witness(t, b)
	require.Equal(t, numbers(1), sequencesOf(r.all()[before:]), "it waits for the first")
}

func TestOrderGoesOnAfterABreakerWasOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = slices.Repeat(domain.RetrySchedule{time.Millisecond}, 2*domain.BreakerOpens)
	r := newReceiver(t, func(w http.ResponseWriter, nth int) {
		if nth <= domain.BreakerOpens {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	dst := ordered(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	b.qualify(t, d, names(2)...)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 2})
	require.Equal(t, sequences(2), slices.Compact(sequencesOf(r.all())))
}

func TestLeaseOfASuspendedWorkerHoldsTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := ordered(r.URL)
	d := b.delivery(t, dst)
	head := domain.DispatchIDFor(b.qualify(t, d, names(3)...)[0], dst.ID)
	b.lease(t, head, dst.ID, time.Hour)
	b.work(t)
	b.settle(t)
	witness(t, b)
	require.Empty(t, r.all())
	_, err := b.pool.Exec(t.Context(), `UPDATE leases SET ends_at = now() WHERE dispatch_id = $1`, head)
	require.NoError(t, err)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 3})
	require.Equal(t, sequences(3), sequencesOf(r.all()))
}

// A receiver tells such a repeat by its Ledger-Sequence, which it has had.
func TestWorkerThatLostItsLeaseMayStillBeSendingWhenTheNextBegins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Workers = 1 // who has the first attempt can't make the second
	gate := newGate()
	var first atomic.Bool
	r := newReceiver(t, func(w http.ResponseWriter, _ int) {
		if first.CompareAndSwap(false, true) {
			gate.pass()
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	d := b.delivery(t, ordered(r.URL))
	stops := []func(){b.another(t).work(t), b.another(t).work(t)}
	defer gate.open()
	b.qualify(t, d, names(3)...)
	r.await(t, 1)
	_, err := b.pool.Exec(t.Context(), `UPDATE leases SET ends_at = now()`)
	require.NoError(t, err)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 3})
	gate.open()
	for _, stop := range stops {
		stop() // waits for the late one
	}
	b.settle(t)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 3})
	require.Equal(t, numbers(1, 1, 2, 3), sequencesOf(r.all()))
}
