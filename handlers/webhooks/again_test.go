package webhooks_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

// hide keeps the read model of dispatches from showing more, until the test shows it.
func (b *bundle) hide(t *testing.T) (show func()) {
	t.Helper()
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	show = func() { require.NoError(t, tx.Commit(t.Context())) }
	_, err = tx.Exec(t.Context(), `SELECT FROM cursors WHERE name = 'dispatches' FOR UPDATE`)
	require.NoError(t, err)
	return show
}

// succeed records, as another worker would, that the first attempt succeeded.
func (b *bundle) succeed(t *testing.T, d domain.Delivery, destination domain.DestinationID, dispatch domain.DispatchID) {
	t.Helper()
	execute(t, b, domain.RecordAttempt{Attempt: domain.Attempt{
		Dispatch: dispatch, Delivery: d.ID, Destination: destination, Number: 1, Status: http.StatusOK,
	}})
}

// leaseOf returns until when an attempt of a dispatch is leased, zero when none is.
func (b *bundle) leaseOf(t *testing.T, dispatch domain.DispatchID) time.Time {
	t.Helper()
	rows, _ := b.pool.Query(t.Context(), `SELECT ends_at FROM leases WHERE dispatch_id = $1`, dispatch) // CollectRows reports the error
	expires, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	require.NoError(t, err)
	if len(expires) == 0 {
		return time.Time{}
	}
	return expires[0]
}

func TestAttemptThatADeadWorkerRecordedIsNotMadeAgainThoughTheReadModelIsLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	other := b.another(t)
	other.follow(t)
	id := domain.DispatchIDFor(b.qualify(t, d, "comp_1")[0], dst.ID)
	other.settle(t)
	show := b.hide(t)
	b.lease(t, id, dst.ID, -time.Second)
	b.succeed(t, d, dst.ID, id)

	b.work(t)
	require.Eventually(t, func() bool { return b.leaseOf(t, id).After(time.Now()) }, patience, time.Millisecond, "nobody claims it")
	show()
	require.Eventually(t, func() bool { return b.leaseOf(t, id).IsZero() }, patience, time.Millisecond, "its lease is not given back")
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 1})
	require.Empty(t, r.all())
}

func TestWorkerWhoseOutcomeIsRefusedKeepsItsLeaseUntilTheReadModelShowsTheOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate := newGate()
	r := newReceiver(t, gate.holds)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	defer gate.open()
	id := domain.DispatchIDFor(b.qualify(t, d, "comp_1")[0], dst.ID)
	r.await(t, 1)
	show := b.hide(t)
	b.succeed(t, d, dst.ID, id)
	gate.open()
	require.Never(t, func() bool { return b.leaseOf(t, id).IsZero() }, time.Second, 10*time.Millisecond, "it may be made again")
	show()
	require.Eventually(t, func() bool { return b.leaseOf(t, id).IsZero() }, patience, time.Millisecond, "its lease is not given back")
	require.Len(t, r.all(), 1)
}

func TestOldLeasesAreSweptButForThoseOfAttemptsThatLookOwed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	stop := b.work(t)
	done := domain.DispatchIDFor(b.qualify(t, d, "comp_done")[0], dst.ID)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 1})
	stop()
	b.set(t, d, domain.Paused)
	held := domain.DispatchIDFor(b.qualify(t, d, "comp_held")[0], dst.ID)
	other := b.another(t)
	other.follow(t)
	other.settle(t)
	for _, id := range []domain.DispatchID{done, held} {
		_, err := b.pool.Exec(t.Context(), `DELETE FROM leases WHERE dispatch_id = $1`, id)
		require.NoError(t, err)
		b.lease(t, id, dst.ID, -time.Hour)
	}
	b.work(t)
	require.Eventually(t, func() bool { return b.leaseOf(t, done).IsZero() }, patience, time.Millisecond, "it is not swept")
	require.False(t, b.leaseOf(t, held).IsZero())
}
