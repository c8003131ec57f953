package webhooks_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestOutcomesWaitForADatabaseThatDied(t *testing.T) {
	t.Parallel()
	const companies, share = 40, 8
	server := testdb.NewServer(t)
	b := setupOn(t, testdb.NewOn(t, server))
	b.cfg.Share = share
	gate := newGate()
	r := newReceiver(t, gate.holds)
	d := b.delivery(t, destination(r.URL))
	b.prove(t, d)
	b.work(t)
	defer gate.open()
	b.qualify(t, d, names(companies)...)
	underWay := r.await(t, share)
	require.NoError(t, server.Kill(t.Context()))
	killed := time.Now()
	gate.open()
	require.Eventually(t, func() bool { return gate.holding() == 0 }, patience, time.Millisecond)
	require.NoError(t, server.Restart(t.Context()))

	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	require.Len(t, r.times(), companies)
	for _, got := range underWay {
		events := b.events(t, got.id(), 1)
		require.Len(t, events, 1)
		require.True(t, events[0].(domain.AttemptSucceeded).StartedAt.Before(killed), "it is the outcome from before that was recorded")
	}
	require.Len(t, r.all(), companies, "repeated")
}

func TestDatabaseThatDiesUnderLoadLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	const companies, share, kills = 600, 8, 3
	server := testdb.NewServer(t)
	b := setupOn(t, testdb.NewOn(t, server))
	b.cfg.Share = share
	r := newReceiver(t, func(_ http.ResponseWriter, nth int) { <-time.After(2 * time.Millisecond) })
	d := b.delivery(t, destination(r.URL))
	b.work(t)
	b.qualify(t, d, names(companies)...)
	for n := range kills {
		r.await(t, (n+1)*companies/(kills+2))
		require.NoError(t, server.Kill(t.Context()))
		require.NoError(t, server.Restart(t.Context()))
	}
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	require.Len(t, r.times(), companies)
	require.Len(t, r.all(), companies, "repeated")
}
