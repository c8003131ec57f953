package webhooks_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestTwoProcessesShareTheWorkAndDoNothingTwice(t *testing.T) {
	t.Parallel()
	const workers = 8 // of which one organisation leaves half
	b := setup(t)
	b.cfg.Workers = workers
	gate := newGate()
	answer := sometimes()
	r := newReceiver(t, func(w http.ResponseWriter, nth int) {
		gate.pass()
		answer(w, nth)
	})
	d := b.delivery(t, destination(r.URL), destination(r.URL))
	b.prove(t, d)
	b.another(t).work(t)
	b.another(t).work(t)
	defer gate.open()
	b.qualify(t, d, names(150)...)
	r.await(t, workers) // half of what both have
	gate.open()
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 300})
	times := r.times()
	require.Len(t, times, 300)
	require.Len(t, r.all(), 400)
	for id, n := range times {
		require.LessOrEqual(t, n, 2, id)
	}
}

func TestProcessThatStopsLeavesTheRestToTheOther(t *testing.T) {
	t.Parallel()
	const companies = 1000
	b := setup(t)
	r := newReceiver(t, ok)
	d := b.delivery(t, destination(r.URL))
	b.cfg.Share = 4
	stop := b.another(t).work(t)
	b.another(t).work(t)
	b.qualify(t, d, names(companies)...)
	r.await(t, 50)
	stop()
	require.Less(t, len(r.all()), companies)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	times := r.times()
	require.Len(t, times, companies)
	for id, n := range times {
		require.Equal(t, 1, n, id)
	}
}

// A suspended worker is one that does nothing, but is there until it leaves.
type suspended struct {
	id    uuid.UUID
	leave func()
}

// lease enters a lease of a worker that is suspended.
func (b *bundle) lease(t *testing.T, dispatch domain.DispatchID, destination domain.DestinationID, expires time.Duration) suspended {
	t.Helper()
	const query = `
		INSERT INTO leases (destination_id, dispatch_id, attempt, worker, ends_at)
		VALUES ($1, $2, 1, $3, now() + make_interval(secs => $4))`
	worker := uuid.New()
	leave := b.attend(t, worker)
	_, err := b.pool.Exec(t.Context(), query, destination, dispatch, worker, expires.Seconds())
	require.NoError(t, err)
	return suspended{worker, leave}
}

// attend holds the lock of a worker until the test ends, or the function that it returns is called.
func (b *bundle) attend(t *testing.T, worker uuid.UUID) (leave func()) {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), b.pool.Config().ConnConfig)
	require.NoError(t, err)
	leave = sync.OnceFunc(func() {
		ctx := context.WithoutCancel(t.Context())
		_, _ = conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`) // which a session that is closed does a little later
		_ = conn.Close(ctx)
	})
	t.Cleanup(leave)
	_, err = conn.Exec(t.Context(), `SELECT pg_advisory_lock_shared(hashtextextended('ledger worker ' || $1::text, 0))`, worker.String())
	require.NoError(t, err)
	return leave
}

func TestLeaseOfASuspendedWorkerIsTakenOverWhenItHasExpiredNotBefore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	handOvers := b.qualify(t, d, names(3)...)
	var ids []domain.DispatchID
	for _, h := range handOvers {
		ids = append(ids, domain.DispatchIDFor(h, dst.ID))
	}
	b.lease(t, ids[0], dst.ID, -time.Second)
	b.lease(t, ids[1], dst.ID, time.Hour)
	b.work(t)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 2, domain.Pending: 1})
	witness(t, b)
	require.Equal(t, map[domain.DispatchID]int{ids[0]: 1, ids[2]: 1}, r.times())

	_, err := b.pool.Exec(t.Context(), `UPDATE leases SET ends_at = now() WHERE dispatch_id = $1`, ids[1])
	require.NoError(t, err)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 3})
	require.Equal(t, map[domain.DispatchID]int{ids[0]: 1, ids[1]: 1, ids[2]: 1}, r.times())
}

func TestLeasesOfASuspendedWorkerTakeTheDestinationsShareUntilTheyExpire(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Share = 3
	gate := newGate()
	r := newReceiver(t, gate.holds)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.prove(t, d)
	for _, h := range b.qualify(t, d, names(10)...)[:2] {
		b.lease(t, domain.DispatchIDFor(h, dst.ID), dst.ID, time.Hour)
	}
	b.work(t)
	defer gate.open()
	r.await(t, 1)
	witness(t, b)
	require.Len(t, r.all(), 1)
	_, err := b.pool.Exec(t.Context(), `UPDATE leases SET ends_at = now() - interval '1 second' WHERE ends_at > now() + interval '30 minutes'`)
	require.NoError(t, err)
	r.await(t, 3)
}

func TestLeasesOfAttemptsThatAreOverTakeNoShare(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Share = 3
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	stop := b.work(t)
	done := b.qualify(t, d, names(10)...)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 10})
	stop()
	_, err := b.pool.Exec(t.Context(), `DELETE FROM leases`)
	require.NoError(t, err)
	for _, h := range done {
		b.lease(t, domain.DispatchIDFor(h, dst.ID), dst.ID, time.Hour)
	}
	b.work(t)
	b.qualify(t, d, "comp_next")
	r.await(t, 11)
}

func TestLateOutcomeOfAWorkerThatLostItsLeaseRecordsNothing(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"late success": http.StatusOK, "late failure": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.cfg.Workers = 1 // who has the first attempt can't make the second
			gate := newGate()
			r := newReceiver(t, func(w http.ResponseWriter, nth int) {
				if nth == 1 {
					gate.pass()
					w.WriteHeader(status)
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
			first := b.events(t, id, 1)
			gate.open()
			for _, stop := range stops {
				stop() // waits for the late one
			}
			require.Equal(t, first, b.events(t, id, 1))
			require.IsType(t, domain.AttemptSucceeded{}, first[0])
			got := r.all()
			require.Len(t, got, 2)
			require.Equal(t, got[0].header.Get("Ledger-Attempt"), got[1].header.Get("Ledger-Attempt"))
		})
	}
}
