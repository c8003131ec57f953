package webhooks_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestReceiverThatFailsTwiceGetsThreeEqualRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, failing(2, http.StatusInternalServerError))
	d := b.delivery(t, destination(r.URL))
	b.work(t)
	b.qualify(t, d, "comp_xyz789")

	got := r.await(t, 3)
	id := got[0].header.Get("Webhook-Id")
	done := b.dispatch(t, id, domain.Delivered)
	require.Len(t, r.all(), 3)
	require.Equal(t, 3, done.Attempts)
	for i, g := range got {
		require.Equal(t, id, g.header.Get("Webhook-Id"))
		require.Equal(t, got[0].body, g.body)
		if i > 0 {
			require.GreaterOrEqual(t, g.at.Sub(got[i-1].at), b.cfg.Retries[i-1])
		}
	}
}

func TestReceiverThatAlwaysFailsGetsSixRequestsAndNoMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = b.cfg.Retries[:5:5]
	r := newReceiver(t, always(http.StatusInternalServerError))
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	id := domain.DispatchIDFor(b.qualify(t, d, "comp_1")[0], dst.ID)

	events := b.events(t, id, 7)
	require.Len(t, events, 7)
	for i, e := range events[:6] {
		failed := e.(domain.AttemptFailed)
		require.Equal(t, i+1, failed.Number)
		if i == 5 {
			require.Nil(t, failed.Due)
			continue
		}
		wait := failed.Due.Sub(failed.StartedAt)
		require.GreaterOrEqual(t, wait, b.cfg.Retries[i])
		require.Less(t, wait, b.cfg.Retries[i]+soon)
	}
	last := events[5].(domain.AttemptFailed)
	require.Equal(t, domain.DispatchFailed{
		Dispatch: id, Delivery: d.ID, Destination: dst.ID, Attempts: 6, HandOver: last.HandOver, Error: last.Error,
	}, events[6])
	done := b.dispatch(t, string(id), domain.Failed)
	require.Nil(t, done.Due)
	require.Equal(t, 6, done.Attempts)

	b.qualify(t, d, "comp_2") // by the time its six are through, another one of the first would be, too
	b.awaitCounts(t, d, projections.Counts{domain.Failed: 2})
	require.Equal(t, 6, r.times()[id])
}

func TestDestinationsOwnScheduleGoesBeforeTheLedgers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, always(http.StatusInternalServerError))
	dst := destination(r.URL)
	dst.RetrySchedule = domain.RetrySchedule{time.Second}
	d := b.delivery(t, dst)
	b.work(t)
	b.qualify(t, d, "comp_1")
	b.awaitCounts(t, d, projections.Counts{domain.Failed: 1})
	got := r.all()
	require.Len(t, got, 2)
	require.GreaterOrEqual(t, got[1].at.Sub(got[0].at), time.Second)
}

func TestFreshDispatchesGoBeforeRetries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, failing(1, http.StatusInternalServerError))
	dst := destination(r.URL)
	dst.MaxInFlight = 1
	d := b.delivery(t, dst)
	companies := names(8) // too few failures to open the breaker

	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	b.work(t)
	b.qualify(t, d, companies[:4]...)
	b.awaitCounts(t, d, projections.Counts{domain.Retrying: 4})
	b.set(t, d, domain.Paused)
	b.qualify(t, d, companies[4:]...)
	b.awaitCounts(t, d, projections.Counts{domain.Held: 8})
	b.makeDue(t) // the retries, for longer than the others
	b.set(t, d, domain.Active)

	var attempts []string
	for _, got := range r.await(t, 12)[4:12] {
		attempts = append(attempts, got.header.Get("Ledger-Attempt"))
	}
	require.Equal(t, append(slices.Repeat([]string{"1"}, 4), slices.Repeat([]string{"2"}, 4)...), attempts)
}

func TestASuccessTellsSinceWhenItWasOwed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, failing(1, http.StatusInternalServerError))
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	handOver := b.qualify(t, d, "comp_1")[0]
	events := b.events(t, domain.DispatchIDFor(handOver, dst.ID), 2)
	records, err := b.store.ReadStream(t.Context(), domain.HandOverStream(d.ID, "comp_1"))
	require.NoError(t, err)
	owed := events[1].(domain.AttemptSucceeded).Owed
	require.True(t, records[0].RecordedAt.Equal(*owed), "since its company was handed over, whatever was tried before")
}
