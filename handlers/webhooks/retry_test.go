package webhooks_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

// retry asks for a dispatch to be attempted again.
func (b *bundle) retry(t *testing.T, d domain.Delivery, dst domain.DestinationID, id domain.DispatchID) {
	t.Helper()
	execute(t, b, domain.RetryDispatch{Dispatch: id, Destination: dst, Delivery: d})
}

func TestRetryOfWhatHasEndedRepeatsTheRequestAndBeginsTheScheduleAnew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{10 * time.Millisecond, 10 * time.Millisecond}
	r := newReceiver(t, failing(5, http.StatusInternalServerError))
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	b.qualify(t, d, "comp_1")
	id := r.await(t, 3)[0].id()
	b.awaitCounts(t, d, projections.Counts{domain.Failed: 1})

	b.retry(t, d, dst.ID, id)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 1})
	b.retry(t, d, dst.ID, id)
	b.events(t, id, 10)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 1})
	got := r.all()
	require.Len(t, got, 7)
	for i, request := range got {
		require.Equal(t, id, request.id())
		require.Equal(t, got[0].body, request.body)
		require.Equal(t, got[0].header.Get("Ledger-Sequence"), request.header.Get("Ledger-Sequence"))
		require.Equal(t, string(rune('1'+i)), request.header.Get("Ledger-Attempt"), "numbers go on")
	}
	require.Equal(t, 7, b.dispatch(t, string(id), domain.Delivered).Attempts)
}

func TestRetryOfWhatWaitsIsMadeAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	r := newReceiver(t, failing(2, http.StatusInternalServerError))
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	b.qualify(t, d, "comp_1")
	id := r.await(t, 1)[0].id()
	b.awaitCounts(t, d, projections.Counts{domain.Retrying: 1})
	for n := range 2 { // after the first the schedule has its hour once more
		b.retry(t, d, dst.ID, id)
		r.await(t, n+2)
		b.awaitCounts(t, d, map[int]projections.Counts{0: {domain.Retrying: 1}, 1: {domain.Delivered: 1}}[n])
	}
}

func TestRetryDuringAnAttemptTakesItsOutcome(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"success": http.StatusOK, "failure": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.cfg.Retries = domain.RetrySchedule{time.Hour}
			gate := newGate()
			r := newReceiver(t, func(w http.ResponseWriter, nth int) {
				if nth == 2 {
					gate.pass()
					w.WriteHeader(status)
					return
				}
				w.WriteHeader(http.StatusInternalServerError)
			})
			dst := destination(r.URL)
			d := b.delivery(t, dst)
			b.work(t)
			b.another(t).work(t)
			defer gate.open()
			b.qualify(t, d, "comp_1")
			id := r.await(t, 1)[0].id()
			b.awaitCounts(t, d, projections.Counts{domain.Retrying: 1})
			b.makeDue(t)
			r.await(t, 2)

			b.retry(t, d, dst.ID, id)
			b.settle(t)
			witness(t, b)
			require.Len(t, r.all(), 2, "there is one request at a time")
			gate.open()
			events := b.events(t, id, 3)
			require.IsType(t, domain.DispatchRetried{}, events[1])
			if status == http.StatusOK {
				require.IsType(t, domain.AttemptSucceeded{}, events[2])
				b.awaitCounts(t, d, projections.Counts{domain.Delivered: 1})
			} else {
				require.NotNil(t, events[2].(domain.AttemptFailed).Due, "the second attempt would have been the last")
				b.awaitCounts(t, d, projections.Counts{domain.Retrying: 1})
			}
			require.Len(t, b.events(t, id, 3), 3)
			require.Len(t, r.all(), 2)
		})
	}
}

func TestRetryDoesNotUndoWhatALateWorkerMissed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Workers = 1 // or who has the lease might claim what it works on
	gate := newGate()
	r := newReceiver(t, func(w http.ResponseWriter, nth int) {
		if nth == 1 {
			gate.pass()
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	stops := []func(){b.another(t).work(t), b.another(t).work(t)}
	defer gate.open()
	b.qualify(t, d, "comp_1")
	id := r.await(t, 1)[0].id()
	_, err := b.pool.Exec(t.Context(), `UPDATE leases SET ends_at = now()`)
	require.NoError(t, err)
	b.events(t, id, 1)
	b.retry(t, d, dst.ID, id)
	events := b.events(t, id, 3)
	gate.open()
	for _, stop := range stops {
		stop() // waits for the late one
	}
	require.Equal(t, events, b.events(t, id, 3))
	require.IsType(t, domain.AttemptSucceeded{}, events[2])
	require.Equal(t, 2, events[2].(domain.AttemptSucceeded).Number)
}
