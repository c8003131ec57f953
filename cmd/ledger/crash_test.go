package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// load sends qualifications from several callers until it is stopped, and keeps which of them
// were acknowledged.
type load struct {
	client   client
	delivery string
	next     atomic.Int64
	stop     context.CancelFunc
	callers  sync.WaitGroup

	mu          sync.Mutex
	acked       []string
	unavailable int // answers of 503, all with Retry-After
	odd         []string
}

// startLoad begins to send from n callers.
func startLoad(tb testing.TB, c client, delivery string, n int) *load {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	l := &load{client: c, delivery: delivery, stop: cancel}
	for range n {
		l.callers.Go(func() {
			for ctx.Err() == nil {
				if !l.send(ctx, fmt.Sprintf("comp_%06d", l.next.Add(1))) {
					<-time.After(10 * time.Millisecond) // or Postgres is asked for more connections than it can take
				}
			}
		})
	}
	tb.Cleanup(l.end)
	return l
}

// end stops the callers.
func (l *load) end() {
	l.stop()
	l.callers.Wait()
}

// send sends one company and notes the answer. It is false when the ledger was not available.
func (l *load) send(ctx context.Context, company string) bool {
	status, header, body, err := l.client.do(ctx, http.MethodPost,
		"/api/v1/deliveries/"+l.delivery+"/qualifications", "application/json", qualification(company))
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil: // the process was killed: no answer, no promise
	case status == http.StatusOK:
		l.acked = append(l.acked, company)
	case status == http.StatusServiceUnavailable && header.Get("Retry-After") != "":
		l.unavailable++
	default:
		l.odd = append(l.odd, fmt.Sprintf("%d %s", status, body))
	}
	return err == nil && status != http.StatusServiceUnavailable
}

// report returns what was acknowledged, the number of 503s, and answers that should not be.
func (l *load) report() (acked []string, unavailable int, odd []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.acked), l.unavailable, slices.Clone(l.odd)
}

// awaitAcks waits until n companies were acknowledged.
func (l *load) awaitAcks(tb testing.TB, n int) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		acked, _, _ := l.report()
		return len(acked) >= n
	}, patience, 5*time.Millisecond, "the ledger takes nothing in")
}

// unrecorded returns those of the webhook-ids that have no outcome in the log.
func unrecorded(tb testing.TB, pool *pgxpool.Pool, ids []string) []string {
	tb.Helper()
	const query = `
		SELECT dispatch FROM unnest($1::text[]) AS seen(dispatch)
		WHERE NOT EXISTS (SELECT FROM events WHERE stream = 'dispatch/' || dispatch)`
	rows, _ := pool.Query(tb.Context(), query, ids) // CollectRows reports the error
	without, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(tb, err)
	return without
}

// settle waits until nothing is owed any more, and checks that each acknowledged company is in
// the feed once, reached the receiver, and that the log is sound.
func settle(tb testing.TB, c client, database, delivery string, s interface{ got(company string) int }, acked []string) {
	tb.Helper()
	var last atomic.Value
	defer func() {
		if tb.Failed() {
			tb.Logf("%d companies were acknowledged; of their dispatches there were, at last, %v", len(acked), last.Load())
		}
	}()
	require.Eventually(tb, func() bool {
		if !c.caughtUp(tb) { // the feed and the dispatches come from two followers
			return false
		}
		n := c.counts(tb, delivery)
		last.Store(n)
		return n["pending"]+n["retrying"]+n["held"] == 0 && n["delivered"] >= len(acked)
	}, patience, 100*time.Millisecond, "something is still owed")
	pulled := c.pull(tb, delivery, "100")
	slices.Sort(pulled)
	require.Equal(tb, slices.Compact(slices.Clone(pulled)), pulled, "the feed shows a company twice")
	for _, company := range acked {
		_, found := slices.BinarySearch(pulled, company)
		require.True(tb, found, "%s was acknowledged, but is not in the feed", company)
		require.Positive(tb, s.got(company), "%s was acknowledged, but not delivered", company)
	}
	out, errs, err := ledger(tb, "verify", "--database-url", database)
	require.NoError(tb, err, out+errs)
}

func TestProcessKilledAtRandomInstantsLosesNothing(t *testing.T) {
	t.Parallel()
	kills := shorter(20)
	database, key := testdb.URL(t), encryptionKey()
	apiKey := newKey(t, database)
	pool, err := pgxpool.New(t.Context(), database)
	require.NoError(t, err)
	defer pool.Close()
	s := &sink{}
	var open atomic.Int64 // connections
	receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r)
		select { // as slow as a real one, so that attempts are under way at a kill
		case <-time.After(rand.N(30 * time.Millisecond)):
		case <-r.Context().Done():
		}
	}))
	receiver.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		default:
		}
	}
	receiver.Start()
	defer receiver.Close()

	var running atomic.Pointer[process]
	running.Store(serve(t, database, key))
	c := client{key: apiKey, base: func() string { return running.Load().base }}
	delivery := c.delivery(t, receiver.URL)
	l := startLoad(t, c, delivery, 8)
	underWay, seen := 0, map[string]int{}
	for range kills {
		acked, _, _ := l.report()
		l.awaitAcks(t, len(acked)+1+rand.IntN(200))
		running.Load().kill()
		require.Eventually(t, func() bool { return open.Load() == 0 }, patience, time.Millisecond, "it has not read what was sent")
		now := s.seen()
		for _, id := range unrecorded(t, pool, slices.Collect(maps.Keys(now))) {
			underWay += now[id] - seen[id] // its requests since the kill before
		}
		seen = now
		running.Store(serve(t, database, key))
	}
	l.end()

	acked, _, odd := l.report()
	require.Empty(t, odd)
	settle(t, c, database, delivery, s, acked)
	require.LessOrEqual(t, s.repeats(), underWay, "more was repeated than was under way at the kills")
	t.Logf("%d acknowledged, %d repeated of %d under way at %d kills", len(acked), s.repeats(), underWay, kills)
}

func TestDatabaseKilledUnderLoadIsAnsweredWith503AndLosesNothing(t *testing.T) {
	t.Parallel()
	server := testdb.NewServer(t)
	database, key := testdb.URLOn(t, server), encryptionKey()
	apiKey := newKey(t, database)
	s := &sink{}
	receiver := httptest.NewServer(s)
	defer receiver.Close()
	p := serve(t, database, key)
	c := client{key: apiKey, base: func() string { return p.base }}
	delivery := c.delivery(t, receiver.URL)
	l := startLoad(t, c, delivery, 8)

	for round := range 3 {
		acked, _, _ := l.report()
		l.awaitAcks(t, len(acked)+200)
		require.NoError(t, server.Kill(t.Context()))
		require.Eventually(t, func() bool {
			_, unavailable, _ := l.report()
			return unavailable > round
		}, patience, 5*time.Millisecond, "no 503 while the database is away")
		require.NoError(t, server.Restart(t.Context()))
		acked, _, _ = l.report()
		l.awaitAcks(t, len(acked)+200)
	}
	l.end()

	acked, _, odd := l.report()
	require.Empty(t, odd)
	settle(t, c, database, delivery, s, acked)
	require.NoError(t, p.stop(t), p.printed())
}

func TestOneOfTwoProcessesKilledTheOtherGoesOn(t *testing.T) {
	t.Parallel()
	database, key := testdb.URL(t), encryptionKey()
	apiKey := newKey(t, database)
	s := &sink{}
	receiver := httptest.NewServer(s)
	defer receiver.Close()
	first, second := serve(t, database, key), serve(t, database, key)
	c := client{key: apiKey, base: func() string { return second.base }}
	delivery := c.delivery(t, receiver.URL)
	l := startLoad(t, c, delivery, 4)
	l.awaitAcks(t, 300)
	require.Zero(t, s.repeats(), "the two did something twice")

	first.kill()
	began := time.Now()
	before, _, _ := l.report()
	l.awaitAcks(t, len(before)+100)
	fresh, _, _ := l.report()
	require.Eventually(t, func() bool { return s.got(fresh[len(before)+50]) > 0 }, 30*time.Second, 5*time.Millisecond,
		"the other does not take over within seconds")
	t.Logf("deliveries went on within %s", time.Since(began))
	l.end()
	acked, _, odd := l.report()
	require.Empty(t, odd)
	settle(t, c, database, delivery, s, acked)
}
