package main

import (
	"net/http"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// awaitDeaf waits until the process takes no more requests, as one does that stops.
func (c client) awaitDeaf(tb testing.TB) {
	tb.Helper()
	require.Eventually(tb, func() bool { return c.status(tb.Context(), "/healthz") == 0 }, patience, pollEvery, "it still takes requests")
}

// unsettled returns how many attempts are leased that the log has no outcome of.
func unsettled(tb testing.TB, pool *pgxpool.Pool) (n int) {
	tb.Helper()
	const query = `
		SELECT count(*)
		FROM leases l
		WHERE ends_at > now() AND NOT EXISTS (
			SELECT FROM events WHERE stream = 'dispatch/' || l.dispatch_id AND (data->>'attempt')::int = l.attempt
		)`
	require.NoError(tb, pool.QueryRow(tb.Context(), query).Scan(&n))
	return n
}

func TestStoppedProcessEndsFastSlowAndHangingAttemptsAndClaimsNoMore(t *testing.T) {
	t.Parallel()
	database, key := testdb.URL(t), encryptionKey()
	pool := openPool(t, database)
	goOn := make(chan struct{})
	j := newJournal(t, func(w http.ResponseWriter, r *http.Request, c call, tell func(int)) {
		switch {
		case c.company == "comp_slow":
			<-goOn
		case c.company == "comp_hanging" && c.attempt == 1:
			<-r.Context().Done() // until the time-out
			return
		}
		taken(w, r, c, tell)
	})
	p := serve(t, database, key, "--attempts-per-destination", "1", "--retry-schedule", "1s")
	c := p.at(newKey(t, database))
	patient, hasty := c.delivery(t, j.url), c.deliveryWithin(t, j.url, 5*time.Second)
	c.qualify(t, patient, "comp_fast")
	c.awaitCount(t, patient, "delivered", 1)
	c.qualify(t, patient, "comp_slow")
	c.qualify(t, hasty, "comp_hanging")
	j.await(t, 3)
	for _, delivery := range []string{patient, hasty} { // to come next
		c.qualify(t, delivery, "comp_next_"+delivery)
	}
	p.terminate(t)
	c.awaitDeaf(t)
	require.Eventually(t, func() bool { return len(outcomes(t, pool)) == 2 }, patience, pollEvery, "the hanging one has no outcome")
	close(goOn)
	require.NoError(t, p.wait(t), p.printed())

	require.Len(t, j.all(), 3, "something was begun")
	statuses := map[string][]int{}
	for _, o := range outcomes(t, pool) {
		statuses[o.Type] = append(statuses[o.Type], o.Status)
	}
	require.Equal(t, map[string][]int{"attempt.succeeded": {200, 200}, "attempt.failed": {0}}, statuses)
	require.Zero(t, unsettled(t, pool))

	next := serve(t, database, key, "--retry-schedule", "1s")
	c.base = func() string { return next.base }
	c.awaitCount(t, patient, "delivered", 3)
	c.awaitCount(t, hasty, "delivered", 2)
	require.Len(t, j.all(), 6)
	c.awaitCaughtUp(t)
	require.NoError(t, next.stop(t), next.printed())
	reconcile(t, pool, j)
	requireSound(t, pool)
}

func TestSecondSignalEndsAProcessAtOnceAndLosesNothing(t *testing.T) {
	t.Parallel()
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(second.String(), func(t *testing.T) {
			t.Parallel()
			database, key := testdb.URL(t), encryptionKey()
			pool := openPool(t, database)
			gone := make(chan struct{})
			j := newJournal(t, func(w http.ResponseWriter, r *http.Request, c call, tell func(int)) {
				select {
				case <-gone:
					taken(w, r, c, tell)
				case <-r.Context().Done():
				}
			})
			p := serve(t, database, key)
			c := p.at(newKey(t, database))
			delivery := c.delivery(t, j.url)
			c.qualify(t, delivery, comp)
			j.await(t, 1)
			p.terminate(t)
			c.awaitDeaf(t)
			require.NoError(t, p.cmd.Process.Signal(second))
			var exit *exec.ExitError
			require.ErrorAs(t, p.wait(t), &exit)
			status, ok := exit.Sys().(syscall.WaitStatus)
			require.True(t, ok)
			require.Equal(t, second, status.Signal(), "it ends by the signal, not in order")
			require.Empty(t, outcomes(t, pool))
			require.Equal(t, 1, unsettled(t, pool))

			close(gone)
			expireLeases(t, pool)
			next := serve(t, database, key)
			c.base = func() string { return next.base }
			c.awaitCount(t, delivery, "delivered", 1)
			require.Len(t, j.all(), 2)
			c.awaitCaughtUp(t)
			require.NoError(t, next.stop(t), next.printed())
			reconcile(t, pool, j)
			requireSound(t, pool)
		})
	}
}
