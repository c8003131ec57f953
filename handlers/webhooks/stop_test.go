package webhooks_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

func TestCleanStopEndsAndRecordsWhatIsUnderWayAndClaimsNoMore(t *testing.T) {
	t.Parallel()
	const companies, share = 2000, 4
	b := setup(t)
	b.cfg.Share = share
	gate := newGate()
	r := newReceiver(t, gate.holds)
	d := b.delivery(t, destination(r.URL))
	stop := b.work(t)
	defer gate.open()
	b.qualify(t, d, names(companies)...)
	r.await(t, share)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	gate.open()
	<-stopped

	got := r.times()
	require.Less(t, len(got), companies, "it went on until nothing was due")
	for id, n := range got {
		require.Equal(t, 1, n)
		require.IsType(t, domain.AttemptSucceeded{}, b.events(t, id, 1)[0])
	}
	b.follow(t)
	b.settle(t)
	var held int
	const query = `SELECT count(*) FROM leases l JOIN dispatches d ON d.id = l.dispatch_id AND d.attempts + 1 = l.attempt WHERE d.due IS NOT NULL`
	require.NoError(t, b.pool.QueryRow(t.Context(), query).Scan(&held))
	require.Zero(t, held, "leases of attempts that were not made")
	require.Equal(t, projections.Counts{domain.Delivered: int64(len(got)), domain.Pending: int64(companies - len(got))}, b.counts(t, d))
}

// follow keeps the read models, and attempts nothing, until the test ends.
func (b *bundle) follow(t *testing.T) {
	t.Helper()
	projectionstest.Follow(t, b.pool, b.store)
}
