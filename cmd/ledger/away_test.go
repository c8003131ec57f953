package main

import (
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// leaseTime is how long an attempt is leased to a destination with a time-out of a second.
const leaseTime = 16 * time.Second

// missedFor is how long a process is gone at least before its leases end by that.
const missedFor = 3 * time.Second

// freeze stops the process as it is, until it is told to go on. It returns when the process has stopped,
// which is a little after the signal was sent.
func (p *process) freeze(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, p.cmd.Process.Signal(syscall.SIGSTOP))
	require.Eventually(tb, func() bool {
		state, err := exec.CommandContext(tb.Context(), "ps", "-o", "state=", "-p", strconv.Itoa(p.cmd.Process.Pid)).Output()
		return err == nil && strings.HasPrefix(string(state), "T")
	}, patience, time.Millisecond)
}

// thaw lets a frozen process go on.
func (p *process) thaw(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, p.cmd.Process.Signal(syscall.SIGCONT))
}

// refusals returns how many outcomes of the process were refused, as another's came first.
func (c client) refusals(tb testing.TB) float64 {
	tb.Helper()
	_, _, body, err := c.do(tb.Context(), http.MethodGet, "/metrics", "", "")
	require.NoError(tb, err)
	return metric(tb, string(body), `ledger_leases_lost_total{reason="refused"}`)
}

// requireLeaseTime checks that the second request came when the lease of the first had ended, and soon after.
func requireLeaseTime(tb testing.TB, calls []call) {
	tb.Helper()
	took := calls[1].at.Sub(calls[0].at)
	require.Greater(tb, took, leaseTime-5*time.Second, "its lease had not ended") // it began a little before the request
	require.Less(tb, took, 2*leaseTime, "nobody takes over")
	tb.Logf("attempted again %s after the first request, with a time-out of a second", took)
}

func TestProcessAwayForLongerThanItsLeaseRecordsNothingOverAnothers(t *testing.T) {
	t.Parallel()
	faults := map[string]struct {
		leave, back func(t *testing.T, p *process, w *wire)
		wait        bool // until the lease ends by itself
	}{
		"stopped": {
			func(t *testing.T, p *process, _ *wire) { t.Helper(); p.freeze(t) },
			func(t *testing.T, p *process, _ *wire) { t.Helper(); p.thaw(t) },
			true,
		},
		"cut off": {
			func(_ *testing.T, _ *process, w *wire) { w.cut() },
			func(_ *testing.T, _ *process, w *wire) { w.mend() },
			false,
		},
		"unheard": {
			func(_ *testing.T, _ *process, w *wire) { w.stall() },
			func(_ *testing.T, _ *process, w *wire) { w.mend() },
			false,
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database, key := testdb.URL(t), encryptionKey()
			pool, w := openPool(t, database), newWire(t, database)
			gate := make(chan struct{})
			var requests atomic.Int32
			j := newJournal(t, func(rw http.ResponseWriter, r *http.Request, c call, tell func(int)) {
				if requests.Add(1) == 1 {
					<-gate
				}
				taken(rw, r, c, tell)
			})
			first := serve(t, w.url, key, "--roles", "attempt")
			rest := serve(t, database, key, "--roles", "api,follow")
			c := rest.at(newKey(t, database))
			delivery := c.deliveryWithin(t, j.url, time.Second)
			c.qualify(t, delivery, comp)
			j.await(t, 1)
			fault.leave(t, first, w)
			close(gate)
			if !fault.wait {
				expireLeases(t, pool)
			}
			second := serve(t, database, key, "--roles", "attempt")

			calls := j.await(t, 2)
			require.Equal(t, calls[0].key(), calls[1].key())
			if fault.wait {
				requireLeaseTime(t, calls)
			}
			c.awaitCount(t, delivery, "delivered", 1)
			recorded := outcomes(t, pool)
			fault.back(t, first, w)
			require.Eventually(t, func() bool { return first.at("").refusals(t) == 1 }, patience, pollEvery, "its late outcome is not refused")
			require.Equal(t, recorded, outcomes(t, pool))

			require.NoError(t, second.stop(t), second.printed())
			c.qualify(t, delivery, "comp_after") // who was away goes on
			c.awaitCount(t, delivery, "delivered", 2)
			settle(t, c, database, delivery, j, []string{comp, "comp_after"})
			require.NoError(t, first.stop(t), first.printed())
			require.NoError(t, rest.stop(t), rest.printed())
			require.Len(t, j.all(), 3)
			reconcile(t, pool, j)
			requireSound(t, pool)
		})
	}
}

func TestAttemptOfAKilledProcessIsMadeAgainBeforeItsLeaseEnds(t *testing.T) {
	t.Parallel()
	database, key := testdb.URL(t), encryptionKey()
	gate := make(chan struct{})
	defer close(gate)
	var requests atomic.Int32
	j := newJournal(t, func(w http.ResponseWriter, r *http.Request, c call, tell func(int)) {
		if requests.Add(1) == 1 {
			<-gate
			return
		}
		taken(w, r, c, tell)
	})
	rest := serve(t, database, key, "--roles", "api,follow")
	c := rest.at(newKey(t, database))
	delivery := c.delivery(t, j.url)
	doomed := serve(t, database, key, "--roles", "attempt")
	c.qualify(t, delivery, comp)
	j.await(t, 1)
	doomed.kill()
	serve(t, database, key, "--roles", "attempt")
	calls := j.await(t, 2)
	took := calls[1].at.Sub(calls[0].at)
	require.Greater(t, took, missedFor, "it may have been back")
	require.Less(t, took, time.Minute, "nobody takes over before the lease ends")
	t.Logf("attempted again %s after the first request", took)
	c.awaitCount(t, delivery, "delivered", 1)
}
