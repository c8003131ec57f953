package webhooks_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/projections"
)

// left returns how many leases have not ended.
func (b *bundle) left(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM leases WHERE ends_at > now()`).Scan(&n))
	return n
}

func TestLeasesOfAWorkerEndWhenItIsFoundGoneInSeveralLooksInARow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	worker := b.lease(t, "dsp_1", "dst_1", time.Hour)
	absent := map[uuid.UUID]int{}
	look := func(times int) {
		for range times {
			require.NoError(t, webhooks.EndLeases(t.Context(), b.pool, absent))
		}
	}
	look(2 * webhooks.AbsentLooks)
	require.Equal(t, 1, b.left(t), "it lives")
	worker.leave()
	look(webhooks.AbsentLooks - 1)
	leave := b.attend(t, worker.id)
	look(1)
	leave()
	look(webhooks.AbsentLooks - 1)
	require.Equal(t, 1, b.left(t), "it was back in between")
	look(1)
	require.Zero(t, b.left(t))
}

func TestAttemptOfAWorkerThatIsGoneIsMadeAgainBeforeItsLeaseEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := ordered(r.URL)
	d := b.delivery(t, dst)
	head := domain.DispatchIDFor(b.qualify(t, d, names(3)...)[0], dst.ID)
	b.lease(t, head, dst.ID, time.Hour).leave()
	b.work(t)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 3})
	require.Equal(t, sequences(3), sequencesOf(r.all()))
}

func TestWorkerWhoseSessionIsClosedIsBackAtOnceAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate := newGate()
	r := newReceiver(t, gate.holds)
	d := b.delivery(t, destination(r.URL))
	b.work(t)
	defer gate.open()
	b.qualify(t, d, "comp_1")
	r.await(t, 1)
	const (
		sessions  = `FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
		present   = `SELECT count(*) = 1 ` + sessions
		terminate = `SELECT pg_terminate_backend(pid) ` + sessions
	)
	back := func() bool {
		var there bool
		return b.pool.QueryRow(t.Context(), present).Scan(&there) == nil && there
	}
	absent := map[uuid.UUID]int{}
	for range webhooks.AbsentLooks + 1 {
		_, err := b.pool.Exec(t.Context(), terminate)
		require.NoError(t, err)
		require.NoError(t, webhooks.EndLeases(t.Context(), b.pool, absent))
		require.Eventually(t, back, patience, 10*time.Millisecond)
		require.NoError(t, webhooks.EndLeases(t.Context(), b.pool, absent))
	}
	require.Equal(t, 1, b.left(t))
	gate.open()
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 1})
	require.Len(t, r.all(), 1)
}

func TestWorkerThatCannotShowThatItLivesClaimsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.pool.Config()
	dial := config.ConnConfig.DialFunc
	var reachable atomic.Bool
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if !reachable.Load() {
			return nil, errors.New("out of reach")
		}
		return dial(ctx, network, address)
	}
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error { // but for the connections of the pool
		c.DialFunc = dial
		return nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b.cfg.Pool = pool
	r := newReceiver(t, ok)
	d := b.delivery(t, destination(r.URL))
	attempts := b.workTold(t)
	b.qualify(t, d, "comp_1")
	b.settle(t)
	require.Eventually(t, func() bool { return attempts.Fault() != nil }, patience, 10*time.Millisecond)
	require.Empty(t, r.all())
	reachable.Store(true)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 1})
}
