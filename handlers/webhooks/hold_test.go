package webhooks_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// witness gives a delivery of its own a company, and waits until its receiver has it: by
// then, whatever was due before has been claimed.
func witness(t *testing.T, b *bundle) {
	t.Helper()
	r := newReceiver(t, ok)
	b.qualify(t, b.delivery(t, destination(r.URL)), "comp_witness")
	r.await(t, 1)
}

func TestPauseHoldsAndResumeSendsInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	dst.MaxInFlight = 1
	d := b.delivery(t, dst)
	b.work(t)
	b.set(t, d, domain.Paused)
	b.qualify(t, d, names(20)...)
	b.awaitCounts(t, d, projections.Counts{domain.Held: 20})
	witness(t, b)
	require.Empty(t, r.all())

	b.set(t, d, domain.Active)
	require.Equal(t, sequences(20), sequencesOf(r.await(t, 20)))
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 20})
}

func TestPauseHoldsRetriesToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	r := newReceiver(t, failing(1, http.StatusInternalServerError))
	d := b.delivery(t, destination(r.URL))
	b.work(t)
	b.qualify(t, d, "comp_1")
	id := r.await(t, 1)[0].id()
	due := *b.events(t, id, 1)[0].(domain.AttemptFailed).Due
	b.set(t, d, domain.Paused)
	b.settle(t)
	held := b.dispatch(t, string(id), domain.Held)
	require.WithinDuration(t, due, *held.Due, time.Microsecond, "it keeps its due time")
	b.makeDue(t)
	witness(t, b)
	require.Len(t, r.all(), 1)

	b.set(t, d, domain.Active)
	r.await(t, 2)
	require.Equal(t, 2, b.dispatch(t, string(id), domain.Delivered).Attempts)
}

// makeDue makes all that is owed due at once, as if its time had come.
func (b *bundle) makeDue(t *testing.T) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), `UPDATE dispatches SET due = now() - interval '1 hour' WHERE due > now()`)
	require.NoError(t, err)
}

func TestDeletionCancelsWhatIsOwed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	r := newReceiver(t, always(http.StatusInternalServerError))
	d := b.delivery(t, destination(r.URL))
	b.work(t)
	b.qualify(t, d, names(3)...)
	b.awaitCounts(t, d, projections.Counts{domain.Retrying: 3})
	b.set(t, d, domain.Paused)
	b.qualify(t, d, "comp_4")
	execute(t, b, domain.DeleteDelivery{ID: d.ID, Organisation: org})
	b.awaitCounts(t, d, projections.Counts{domain.Cancelled: 4})
	b.makeDue(t)
	witness(t, b)
	require.Len(t, r.all(), 3)
}

func TestRemovedDestinationGetsNothingMore(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusOK, http.StatusInternalServerError} {
		b := setup(t)
		gate := newGate()
		r := newReceiver(t, func(w http.ResponseWriter, _ int) {
			gate.pass()
			w.WriteHeader(status)
		})
		dst := destination(r.URL)
		dst.MaxInFlight = 2
		d := b.delivery(t, dst)
		b.work(t)
		defer gate.open()
		b.qualify(t, d, names(20)...)
		r.await(t, 2)
		execute(t, b, domain.RemoveDestination{Delivery: d.ID, Organisation: org, Destination: dst.ID})
		b.awaitCounts(t, d, projections.Counts{domain.Cancelled: 20})
		gate.open()
		for _, got := range r.all() {
			b.events(t, got.id(), 1) // what became of the attempts under way is recorded
		}
		if status == http.StatusOK {
			b.awaitCounts(t, d, projections.Counts{domain.Delivered: 2, domain.Cancelled: 18})
		} else {
			b.awaitCounts(t, d, projections.Counts{domain.Cancelled: 20})
		}
		witness(t, b)
		require.Len(t, r.all(), 2)
	}
}

func TestDispatchClaimedAsItsDestinationGoesIsCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	// The read model learns of the removal between the claim and the attempt.
	const remove = `
		CREATE FUNCTION remove_target() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			UPDATE dispatch_targets SET removed = true WHERE destination_id = NEW.destination_id;
			RETURN NULL;
		END $$;
		CREATE TRIGGER removal AFTER INSERT ON leases FOR EACH ROW EXECUTE FUNCTION remove_target()`
	_, err := b.pool.Exec(t.Context(), remove)
	require.NoError(t, err)
	b.work(t)
	id := domain.DispatchIDFor(b.qualify(t, d, "comp_1")[0], dst.ID)

	require.Equal(t, []domain.Event{domain.DispatchCancelled{
		Dispatch: id, Delivery: d.ID, Destination: dst.ID, Reason: "the destination was removed",
	}}, b.events(t, id, 1))
	b.awaitCounts(t, d, projections.Counts{domain.Cancelled: 1})
	require.Empty(t, r.all())
}

func TestWhatIsOwedGoesToTheNewURLOfAChangedDestination(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	before, after := newReceiver(t, always(http.StatusInternalServerError)), newReceiver(t, ok)
	dst := destination(before.URL)
	d := b.delivery(t, dst)
	b.work(t)
	b.qualify(t, d, names(3)...)
	b.awaitCounts(t, d, projections.Counts{domain.Retrying: 3})
	b.set(t, d, domain.Paused)
	b.qualify(t, d, names(6)[3:]...)
	b.change(t, d, dst.ID, func(dst *domain.Destination) {
		dst.URL, dst.Headers = after.URL, map[string]string{"X-Version": "2"}
	})
	b.settle(t)
	b.makeDue(t)
	b.set(t, d, domain.Active)

	bodies := map[domain.DispatchID]string{}
	for _, got := range before.all() {
		bodies[got.id()] = got.body
	}
	require.Len(t, bodies, 3)
	for _, got := range after.await(t, 6) {
		require.Equal(t, "2", got.header.Get("X-Version"))
		if body, ok := bodies[got.id()]; ok {
			require.Equal(t, body, got.body)
		}
	}
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 6})
	require.Len(t, before.all(), 3)
}

func TestGoneFailsAtOnceAndHoldsTheRestUntilTheDestinationIsChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var gone atomic.Bool
	gone.Store(true)
	r := newReceiver(t, func(w http.ResponseWriter, _ int) {
		if gone.Load() {
			w.WriteHeader(http.StatusGone)
		}
	})
	dst := destination(r.URL)
	dst.MaxInFlight = 1
	d := b.delivery(t, dst)
	b.work(t)
	first := b.qualify(t, d, "comp_1")[0]
	id := domain.DispatchIDFor(first, dst.ID)
	events := b.events(t, id, 2)
	failed := events[0].(domain.AttemptFailed)
	require.Equal(t, "the destination answered 410 Gone", failed.Error)
	require.Nil(t, failed.Due)
	require.Equal(t, domain.DispatchFailed{
		Dispatch: id, Delivery: d.ID, Destination: dst.ID, Attempts: 1, HandOver: first, Error: failed.Error,
	}, events[1])
	b.awaitDisabled(t, dst.ID)

	b.qualify(t, d, names(5)...)
	b.awaitCounts(t, d, projections.Counts{domain.Failed: 1, domain.Held: 5})
	witness(t, b)
	require.Len(t, r.all(), 1)

	gone.Store(false)
	b.change(t, d, dst.ID, func(*domain.Destination) {})
	b.awaitCounts(t, d, projections.Counts{domain.Failed: 1, domain.Delivered: 5})
	require.Equal(t, sequences(6), sequencesOf(r.all()))
}

// awaitDisabled waits until the read model shows a destination as disabled.
func (b *bundle) awaitDisabled(t *testing.T, id domain.DestinationID) {
	t.Helper()
	require.Eventually(t, func() bool {
		var disabled bool
		const query = `SELECT disabled FROM dispatch_targets WHERE destination_id = $1`
		return b.pool.QueryRow(t.Context(), query, id).Scan(&disabled) == nil && disabled
	}, patience, 5*time.Millisecond)
}

func TestGoneFromAnOldURLDoesNotDisableTheNewOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate := newGate()
	before := newReceiver(t, func(w http.ResponseWriter, _ int) {
		gate.pass()
		w.WriteHeader(http.StatusGone)
	})
	after := newReceiver(t, ok)
	dst := destination(before.URL)
	d := b.delivery(t, dst)
	stop := b.work(t)
	defer gate.open()
	b.qualify(t, d, "comp_1")
	id := before.await(t, 1)[0].id()
	b.change(t, d, dst.ID, func(dst *domain.Destination) { dst.URL = after.URL })
	gate.open()
	b.events(t, id, 2)
	b.qualify(t, d, "comp_2")
	after.await(t, 1)
	stop() // the attempts have come to their ends
	now, err := eventstore.Load[domain.Delivery](t.Context(), b.store, domain.DeliveryStream(d.ID))
	require.NoError(t, err)
	require.Empty(t, now.State.Destinations[dst.ID].DisabledReason)
}
