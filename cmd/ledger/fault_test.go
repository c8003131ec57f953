package main

import (
	"errors"
	"flag"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/localpg"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// For how long, and from which seed, faults are made at random:
//
//	go test ./cmd/ledger -run AtRandom -v -timeout 10m -fault.time 5m
var (
	faultTime = flag.Duration("fault.time", 12*time.Second, "for how long faults are made at random")
	faultSeed = flag.Uint64("fault.seed", 0, "of those faults; 0: any")
)

// longestFault is how long a fault made at random lasts at most. It is less than an attempt is leased.
const longestFault = 2 * time.Second

// faults are two processes, each on a wire of its own, and their database, and what happened to them.
type faults struct {
	tb       testing.TB
	random   *rand.Rand
	server   *localpg.Server
	pool     *pgxpool.Pool // past the wires
	key      string
	wires    [2]*wire
	running  [2]atomic.Pointer[process]
	turn     atomic.Int64
	made     map[string]int
	absolved []span      // in which leases may be lost before their time
	paused   []span      // in which a process does not get on
	gone     []time.Time // when one was killed, or cut off
}

// A span of time.
type span struct{ from, to time.Time }

// meets reports whether the span has an instant in common with that between from and to.
func (s span) meets(from, to time.Time) bool { return !s.to.Before(from) && !s.from.After(to) }

// A fault happens to a process. It returns what mends it.
type fault struct {
	name   string
	happen func(f *faults, n int) (mend func())
	waits  bool // to mend it takes the other process, which is mended first
}

// processFaults are what may happen to a process.
var processFaults = []fault{
	{"nothing", func(*faults, int) func() { return func() {} }, false},
	{"kill", func(f *faults, n int) func() {
		f.running[n].Load().kill()
		f.gone = append(f.gone, time.Now())
		return func() { f.serve(n) }
	}, false},
	{"stop", func(f *faults, n int) func() {
		f.signal(n, syscall.SIGSTOP)
		return func() { f.signal(n, syscall.SIGCONT) }
	}, false},
	{"cut", func(f *faults, n int) func() {
		f.wires[n].cut()
		f.gone = append(f.gone, time.Now())
		return f.wires[n].mend
	}, false},
	{"stall", func(f *faults, n int) func() {
		f.wires[n].stall()
		return f.wires[n].mend
	}, false},
	{"stop for longer than a lease", func(f *faults, n int) func() {
		f.signal(n, syscall.SIGSTOP)
		f.absolve(func() { expireLeases(f.tb, f.pool) })
		return func() { f.signal(n, syscall.SIGCONT) }
	}, false},
	{"shutdown", func(f *faults, n int) func() {
		p := f.running[n].Load()
		f.signal(n, syscall.SIGTERM)
		return func() {
			if err := p.wait(f.tb); err != nil { // it was about to end by itself
				require.Contains(f.tb, p.printed(), "cannot subscribe")
			}
			f.serve(n)
		}
	}, true},
}

// serve starts a process on its wire.
func (f *faults) serve(n int) {
	waits := strings.TrimSuffix(strings.Repeat("300ms,", 12), ",")
	f.running[n].Store(serve(f.tb, f.wires[n].url, f.key, "--retry-schedule", waits))
}

// supervise starts a process again that has ended by itself, as one does that loses its database while it starts.
func (f *faults) supervise(n int) {
	select {
	case <-f.running[n].Load().done:
		require.NotContains(f.tb, f.running[n].Load().printed(), "panic:")
		f.made["ended at its start"]++
		f.serve(n)
	default:
	}
}

// steady waits until the processes are ready, once nothing happens to them any more.
func (f *faults) steady() {
	for n := range f.running {
		for began := time.Now(); ; <-time.After(pollEvery) {
			f.supervise(n)
			if f.running[n].Load().at("").status(f.tb.Context(), "/readyz") == http.StatusOK {
				break
			}
			require.Less(f.tb, time.Since(began), patience, "a process is not ready: %s", f.running[n].Load().printed())
		}
	}
}

// signal sends a process a signal, if it still runs.
func (f *faults) signal(n int, signal syscall.Signal) {
	if err := f.running[n].Load().cmd.Process.Signal(signal); !errors.Is(err, os.ErrProcessDone) {
		require.NoError(f.tb, err)
	}
}

// absolve notes that leases may be lost while something happens.
func (f *faults) absolve(happen func()) {
	from := time.Now()
	happen()
	f.absolved = append(f.absolved, span{from, time.Now()})
}

// base returns the URL of one process after the other.
func (f *faults) base() string { return f.running[f.turn.Add(1)%2].Load().base }

// pass lets time pass, up to most of it.
func (f *faults) pass(most time.Duration) { <-time.After(time.Duration(f.random.Int64N(int64(most)))) }

// round makes a fault or two, and mends them.
func (f *faults) round() {
	from := time.Now()
	defer func() { f.paused = append(f.paused, span{from, time.Now()}) }()
	if f.random.IntN(8) == 0 {
		f.made["database killed"]++
		f.absolve(func() {
			require.NoError(f.tb, f.server.Kill(f.tb.Context()))
			f.pass(longestFault / 4)
			require.NoError(f.tb, f.server.Restart(f.tb.Context()))
		})
		return
	}
	var mends []func()
	for n := range f.wires {
		f.supervise(n)
		fault := processFaults[f.random.IntN(len(processFaults))]
		f.made[fault.name]++
		if mend := fault.happen(f, n); fault.waits {
			mends = append(mends, mend)
		} else {
			mends = append([]func(){mend}, mends...)
		}
	}
	f.pass(longestFault / 2)
	for _, mend := range mends {
		mend()
	}
}

// requireExcused fails the test unless each request that came again had a reason: the lease of the one before had ended by
// time, or was lost with the database or taken by the test, or its process had been gone for long enough. And none came after the outcome was recorded, but
// for one that was on its way, however long a fault held it there.
func (f *faults) requireExcused(j *journal) (repeats int) {
	recorded := map[callKey]time.Time{}
	for _, o := range outcomes(f.tb, f.pool) {
		recorded[o.key()] = o.RecordedAt
	}
	during := func(spans []span, from, to time.Time) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return s.meets(from, to) })
	}
	last := map[callKey]call{}
	for _, c := range j.all() {
		if before, ok := last[c.key()]; ok {
			repeats++
			expired := c.at.Sub(before.at) > leaseTime-2*longestFault
			claimed := before.at.Add(-longestFault) // or later, if a fault came between
			missed := slices.ContainsFunc(f.gone, func(at time.Time) bool {
				return at.After(before.at.Add(-longestFault)) && c.at.Sub(at) > missedFor
			})
			require.True(f.tb, expired || missed || during(f.absolved, claimed, c.at), "attempt %d for %s came at %s and at %s without a reason; it was recorded at %s\nfaults: %v\nleases lost: %v",
				c.attempt, c.company, before.at, c.at, recorded[c.key()], f.paused, f.absolved)
		}
		at, ok := recorded[c.key()]
		require.True(f.tb, ok, "the log has no attempt %d for %s", c.attempt, c.company)
		require.True(f.tb, c.at.Before(at.Add(longestFault)) || during(f.paused, at, c.at), "%s came %s after its outcome", c.company, c.at.Sub(at))
		last[c.key()] = c
	}
	return repeats
}

// moody answers most requests with 200, and is slow now and then; the others it refuses, drops, or leaves
// without an answer.
func moody(w http.ResponseWriter, r *http.Request, c call, tell func(int)) {
	switch mood := rand.IntN(100); {
	case mood < 4:
		tell(http.StatusInternalServerError)
		w.WriteHeader(http.StatusInternalServerError)
	case mood < 6:
		return
	case mood < 7:
		<-r.Context().Done()
	default:
		<-time.After(rand.N(30 * time.Millisecond))
		taken(w, r, c, tell)
	}
}

func TestFaultsAtRandomLoseNothingAndRepeatOnlyWhatWasUnderWay(t *testing.T) {
	t.Parallel()
	seed := *faultSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-fault.time %s -fault.seed %d", *faultTime, seed)
	server := testdb.NewServer(t)
	database := testdb.URLOn(t, server)
	f := &faults{
		tb: t, random: rand.New(rand.NewPCG(seed, 0)), server: server, pool: openPool(t, database), key: encryptionKey(), made: map[string]int{},
	}
	c := client{key: newKey(t, database), base: f.base}
	j := newJournal(t, moody)
	for n := range f.wires {
		f.wires[n] = newWire(t, database)
		f.serve(n)
	}
	delivery := c.deliveryWithin(t, j.url, time.Second)
	l := startLoad(t, c, delivery, 2)
	for began := time.Now(); time.Since(began) < *faultTime; f.pass(longestFault / 4) {
		f.round()
	}
	l.end()
	f.steady()
	f.absolve(func() { expireLeases(t, f.pool) }) // what is left would only take its time

	acked, unavailable, odd := l.report()
	require.Empty(t, odd)
	settle(t, c, database, delivery, j, acked)
	c.awaitCaughtUp(t)
	for n := range f.running {
		require.NoError(t, f.running[n].Load().stop(t), f.running[n].Load().printed())
	}
	reconcile(t, f.pool, j)
	repeats := f.requireExcused(j)
	requireSound(t, f.pool)
	t.Logf("%d companies acknowledged, %d refused for a while, %d requests, %d of them repeats; faults: %v",
		len(acked), unavailable, len(j.all()), repeats, f.made)
}
