package webhooks_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

func TestCleanStopEndsAndRecordsWhatIsUnderWayAndClaimsNoMore(t *testing.T) {
	t.Parallel()
	const companies, share = 100, 4
	b := setup(t)
	b.cfg.Share = share
	gate := newGate()
	r := newReceiver(t, gate.holds)
	d := b.delivery(t, destination(r.URL))
	b.prove(t, d)
	stop, told := b.workClosing(t)
	defer gate.open()
	b.qualify(t, d, names(companies)...)
	r.await(t, share)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	<-told
	gate.open()
	<-stopped

	got := r.times()
	require.Less(t, len(got), companies, "it went on until nothing was due")
	for id, n := range got {
		require.Equal(t, 1, n)
		require.IsType(t, domain.AttemptSucceeded{}, b.events(t, id, 1)[0])
	}
	b.follow(t)
	require.Zero(t, b.leased(t))
	require.Equal(t, projections.Counts{domain.Delivered: int64(len(got)), domain.Pending: int64(companies - len(got))}, b.counts(t, d))
}

// follow keeps the read models, and attempts nothing, until the test ends.
func (b *bundle) follow(t *testing.T) {
	t.Helper()
	projectionstest.FollowOpened(t, b.pool, b.store, b.subjects)
}

// leased returns how many attempts are leased whose outcome the log does not have.
func (b *bundle) leased(t *testing.T) int {
	t.Helper()
	b.settle(t)
	const query = `
		SELECT count(*)
		FROM leases l
		JOIN dispatches d ON d.id = l.dispatch_id AND d.attempts + 1 = l.attempt
		WHERE d.due IS NOT NULL`
	var n int
	require.NoError(t, b.pool.QueryRow(t.Context(), query).Scan(&n))
	return n
}

// closing is a subscriber that has nothing, and tells when its router closes.
type closing chan *message.Message

func (c closing) Subscribe(context.Context, string) (<-chan *message.Message, error) { return c, nil }

func (c closing) Close() error {
	close(c)
	return nil
}

// workClosing is work, with what tells when the process is to stop.
func (b *bundle) workClosing(t *testing.T) (stop func(), told closing) {
	t.Helper()
	told = make(closing)
	stop = projectionstest.FollowOpened(t, b.pool, b.store, b.subjects, func(router *message.Router) {
		_, err := webhooks.Add(t.Context(), router, b.cfg)
		require.NoError(t, err)
		router.AddConsumerHandler("closing", "none", told, func(*message.Message) error { return nil })
	})
	return stop, told
}

func TestClaimUnderWayAtAStopIsGivenBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	d := b.delivery(t, destination(r.URL))
	b.qualify(t, d, names(10)...)
	show := projectionstest.Follow(t, b.pool, b.store)
	b.settle(t) // else there is nothing to claim at first
	show()
	lock, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer lock.Rollback(t.Context())
	_, err = lock.Exec(t.Context(), `LOCK TABLE leases`)
	require.NoError(t, err)

	stop, told := b.workClosing(t)
	require.Eventually(t, func() bool {
		const query = `
			SELECT EXISTS (
				SELECT FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%WITH owing AS%'
			)`
		var waits bool
		return b.pool.QueryRow(t.Context(), query).Scan(&waits) == nil && waits
	}, patience, 5*time.Millisecond)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	<-told
	require.NoError(t, lock.Commit(t.Context()))
	<-stopped

	before := len(r.all())
	b.another(t).follow(t)
	require.Zero(t, b.leased(t))
	b.work(t)
	require.Len(t, r.await(t, 10), 10)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 10})
	require.Len(t, r.all(), 10, "%d were sent before", before)
}

func TestNothingIsAttemptedOnceItsContextIsDoneThoughTheRouterRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	d := b.delivery(t, destination(r.URL))
	first := make(chan domain.CompanyID, 10)
	b.cfg.Observe = func(report webhooks.Report) { first <- report.HandOver.CompanyID }
	ctx, cancel := context.WithCancel(t.Context())
	projectionstest.FollowOpened(t, b.pool, b.store, b.subjects, func(router *message.Router) {
		_, err := webhooks.Add(ctx, router, b.cfg)
		require.NoError(t, err)
	})
	b.qualify(t, d, "comp_before")
	require.Equal(t, domain.CompanyID("comp_before"), <-first)

	cancel()
	b.qualify(t, d, "comp_after")
	b.settle(t) // the first process' follower runs, and would have woken its worker
	other := b.another(t)
	second := make(chan domain.CompanyID, 10)
	other.cfg.Observe = func(report webhooks.Report) { second <- report.HandOver.CompanyID }
	other.work(t)
	require.Equal(t, domain.CompanyID("comp_after"), <-second)
	require.Empty(t, first)
}
