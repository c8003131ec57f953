package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// lock executes a statement that locks, and keeps the lock until it is released or the test ends.
func lock(tb testing.TB, pool *pgxpool.Pool, statement string) (release func()) {
	tb.Helper()
	tx, err := pool.Begin(tb.Context())
	require.NoError(tb, err)
	release = sync.OnceFunc(func() { _ = tx.Rollback(context.WithoutCancel(tb.Context())) }) // the test's may have ended
	tb.Cleanup(release)
	_, err = tx.Exec(tb.Context(), statement)
	require.NoError(tb, err)
	return release
}

// awaitBlocked waits until a statement like this waits for a lock.
func awaitBlocked(tb testing.TB, pool *pgxpool.Pool, like string) {
	tb.Helper()
	const query = `
		SELECT EXISTS (
			SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1
		)`
	require.Eventually(tb, func() bool {
		var waits bool
		return pool.QueryRow(tb.Context(), query, like).Scan(&waits) == nil && waits
	}, patience, pollEvery, "nothing like %s waits", like)
}

// awaitNobody waits until the database has no connections but the pool's.
func awaitNobody(tb testing.TB, pool *pgxpool.Pool, application string) {
	tb.Helper()
	const query = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`
	require.Eventually(tb, func() bool {
		var n int
		return pool.QueryRow(tb.Context(), query, application).Scan(&n) == nil && n == 0
	}, patience, pollEvery, "the dead process is still connected")
}

// expireLeases ends all leases, as time would.
func expireLeases(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	_, err := pool.Exec(tb.Context(), `UPDATE leases SET ends_at = now()`)
	require.NoError(tb, err)
}

// leased returns how many attempts are leased.
func leased(tb testing.TB, pool *pgxpool.Pool) (n int) {
	tb.Helper()
	require.NoError(tb, pool.QueryRow(tb.Context(), `SELECT count(*) FROM leases WHERE ends_at > now()`).Scan(&n))
	return n
}

// A doomed is a process on its way to the point where it is killed.
type doomed struct {
	client
	pool     *pgxpool.Pool // past the wire
	wire     *wire
	journal  *journal
	delivery string
	answer   func()          // lets the receiver answer
	answered <-chan struct{} // the process has the answer
	reached  func(tag string) <-chan struct{}
}

// comp is the company that a doomed process attempts to deliver.
const comp = "comp_doomed"

// points are where a process is killed: the way there, how many requests the receiver has and how many outcomes the log
// has by then, and whether the attempt was under way, and so is made again.
var points = []struct {
	name     string
	reach    func(t *testing.T, d *doomed)
	sent     int
	recorded int
	again    bool
}{
	{"after the claim", func(t *testing.T, d *doomed) {
		t.Helper()
		lock(t, d.pool, `LOCK TABLE secrets`) // which an attempt reads before it sends
		d.qualify(t, d.delivery, comp)
		awaitBlocked(t, d.pool, `%FROM secrets%`)
		require.Equal(t, 1, leased(t, d.pool))
	}, 0, 0, true},
	{"after the request", func(t *testing.T, d *doomed) {
		t.Helper()
		d.qualify(t, d.delivery, comp)
		d.journal.await(t, 1)
	}, 1, 0, true},
	{"after the answer", func(t *testing.T, d *doomed) {
		t.Helper()
		d.qualify(t, d.delivery, comp)
		d.journal.await(t, 1)
		d.wire.stall() // nothing of the outcome gets away
		d.answer()
		<-d.answered
	}, 1, 0, true},
	{"waiting for the log", func(t *testing.T, d *doomed) {
		t.Helper()
		d.qualify(t, d.delivery, comp)
		d.journal.await(t, 1)
		lock(t, d.pool, `SELECT FROM log_head FOR UPDATE`)
		d.answer()
		awaitBlocked(t, d.pool, `%FROM log_head FOR UPDATE%`)
	}, 1, 0, true},
	{"before the outcome's commit", func(t *testing.T, d *doomed) {
		t.Helper()
		written := d.reached("COPY 1\x00")
		d.qualify(t, d.delivery, comp)
		d.journal.await(t, 1)
		d.answer()
		<-written
	}, 1, 0, true},
	{"after the outcome's commit, which it does not know of", func(t *testing.T, d *doomed) {
		t.Helper()
		committed := d.reached("COMMIT\x00")
		d.qualify(t, d.delivery, comp)
		d.journal.await(t, 1)
		d.answer()
		<-committed
	}, 1, 1, false},
	{"before the read model shows it", func(t *testing.T, d *doomed) {
		t.Helper()
		d.qualify(t, d.delivery, comp)
		d.journal.await(t, 1)
		lock(t, d.pool, `SELECT FROM cursors WHERE name = 'dispatches' FOR UPDATE`)
		d.answer()
		require.Eventually(t, func() bool { return len(outcomes(t, d.pool)) > 0 }, patience, pollEvery)
		require.Equal(t, 1, d.counts(t, d.delivery)["pending"])
	}, 1, 1, false},
	{"after the read model shows it, while its lease is released", func(t *testing.T, d *doomed) {
		t.Helper()
		d.qualify(t, d.delivery, comp)
		d.journal.await(t, 1)
		lock(t, d.pool, `SELECT FROM leases FOR UPDATE`)
		d.answer()
		awaitBlocked(t, d.pool, `%DELETE FROM leases l%`)
		require.Equal(t, 1, d.counts(t, d.delivery)["delivered"])
	}, 1, 1, false},
}

func TestProcessKilledAtAPointRepeatsOnlyWhatWasUnderWay(t *testing.T) {
	t.Parallel()
	for _, point := range points {
		t.Run(point.name, func(t *testing.T) {
			t.Parallel()
			database, key := testdb.URL(t), encryptionKey()
			pool := openPool(t, database)
			d, process := startDoomed(t, pool, key)
			t.Run("way", func(t *testing.T) { // at the end of which what it locked is released
				point.reach(t, d)
				process.kill()
				require.Len(t, outcomes(t, pool), point.recorded)
				require.Len(t, d.journal.of(comp), point.sent)
			})
			d.wire.cut()
			d.answer()
			awaitNobody(t, pool, "doomed")
			expireLeases(t, pool)

			next := serve(t, database, key)
			d.base = func() string { return next.base }
			d.qualify(t, d.delivery, "comp_after")
			d.awaitCount(t, d.delivery, "delivered", 2)
			settle(t, d.client, database, d.delivery, d.journal, []string{comp, "comp_after"})
			require.NoError(t, next.stop(t), next.printed())

			sent := point.sent
			if point.again {
				sent++
			}
			require.Len(t, d.journal.of(comp), sent)
			require.Len(t, d.journal.of("comp_after"), 1)
			reconcile(t, pool, d.journal)
			requireSound(t, pool)
		})
	}
}

// startDoomed starts a process that is to be killed, with a receiver that answers its first request when it is let.
func startDoomed(t *testing.T, pool *pgxpool.Pool, key string) (*doomed, *process) {
	t.Helper()
	database := pool.Config().ConnString()
	gate, answered := make(chan struct{}), make(chan struct{})
	d := &doomed{pool: pool, wire: newWire(t, database), answer: sync.OnceFunc(func() { close(gate) }), answered: answered}
	t.Cleanup(d.answer)
	d.watch()
	var requests atomic.Int32
	d.journal = newJournal(t, func(w http.ResponseWriter, r *http.Request, c call, tell func(int)) {
		if requests.Add(1) > 1 {
			taken(w, r, c, tell)
			return
		}
		<-gate
		tell(http.StatusOK)
		if answerUntilClosed(w) == nil {
			close(answered)
		}
	})
	p := serve(t, d.wire.url+"&application_name=doomed", key)
	d.client = p.at(newKey(t, database))
	d.delivery = d.client.delivery(t, d.journal.url)
	return d, p
}

// answerUntilClosed answers 200, and returns when the client has closed the connection, as it does when it has the
// whole answer: the server leaves it open.
func answerUntilClosed(w http.ResponseWriter) error {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err = conn.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// watch makes reached, which has the wire hold what Postgres answers, from a tag on, on the connection over which
// the outcome of an attempt was sent to it.
func (d *doomed) watch() {
	var mu sync.Mutex
	var tag []byte
	var held chan struct{}
	outcomeOn := map[int]bool{}
	const ofOutcome = `"duration_us":` // nothing else that is sent before has it
	d.wire.hold(func(conn int, toServer bool, piece []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		if toServer && bytes.Contains(piece, []byte(ofOutcome)) {
			outcomeOn[conn] = true
		}
		if toServer || !outcomeOn[conn] || tag == nil || !bytes.Contains(piece, tag) {
			return false
		}
		tag = nil
		close(held)
		return true
	})
	d.reached = func(wanted string) <-chan struct{} {
		mu.Lock()
		defer mu.Unlock()
		tag, held = []byte(wanted), make(chan struct{})
		return held
	}
}
