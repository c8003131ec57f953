package eventstore_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// A proxy passes bytes between pgx and Postgres until it cuts a connection.
type proxy struct {
	listener net.Listener
	network  string // of Postgres
	address  string

	// pass is asked about each piece of the n-th connection, from 0. It returns how much of it
	// to pass on; less than all cuts the connection.
	pass func(conn int, toServer bool, piece []byte) int

	conns atomic.Int64
	cuts  atomic.Int64
	wg    sync.WaitGroup
}

// newProxy returns a pool that speaks to url's database through a proxy. Nothing is cut until
// pass is set, before the pool is used.
func newProxy(tb testing.TB, url string) (*proxy, *pgxpool.Pool) {
	tb.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(tb, err)
	network, address := "tcp", net.JoinHostPort(config.ConnConfig.Host, strconv.Itoa(int(config.ConnConfig.Port)))
	if config.ConnConfig.Host[0] == '/' {
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", config.ConnConfig.Host, config.ConnConfig.Port)
	}
	p := &proxy{network: network, address: address}
	p.pass = func(_ int, _ bool, piece []byte) int { return len(piece) }
	var listen net.ListenConfig
	p.listener, err = listen.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	p.wg.Go(p.accept)
	here := p.listener.Addr().(*net.TCPAddr)
	config.ConnConfig.Host, config.ConnConfig.Port = here.IP.String(), uint16(here.Port)
	config.ConnConfig.Fallbacks, config.ConnConfig.TLSConfig = nil, nil
	pool, err := pgxpool.NewWithConfig(tb.Context(), config)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		pool.Close()
		require.NoError(tb, p.listener.Close())
		p.wg.Wait()
	})
	return p, pool
}

// accept takes connections until the proxy is closed.
func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), p.network, p.address)
		if err != nil {
			client.Close()
			continue
		}
		conn := int(p.conns.Add(1)) - 1
		p.wg.Go(func() { p.pump(conn, true, client, server) })
		p.wg.Go(func() { p.pump(conn, false, server, client) })
	}
}

// pump passes bytes in one direction. It reads on after a cut: what Postgres was sent it
// gets to do, also when nobody listens any more.
func (p *proxy) pump(conn int, toServer bool, from, to net.Conn) {
	defer to.Close()
	defer from.Close()
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			passed := p.pass(conn, toServer, piece[:n])
			if passed > 0 {
				if _, err := to.Write(piece[:passed]); err != nil {
					return
				}
			}
			if passed < n {
				p.cuts.Add(1)
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func TestACommitWhoseAnswerIsLostIsAcknowledgedOnce(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	p, pool := newProxy(t, url)
	var lost atomic.Int64
	p.pass = func(_ int, toServer bool, piece []byte) int {
		if !toServer && bytes.Contains(piece, []byte("COMMIT\x00")) && lost.Add(1) <= 5 {
			return 0
		}
		return len(piece)
	}
	c, err := newStore(pool).Append(within(t), note("a", 0, "one", "two"))
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(2), c.Position)
	require.Equal(t, int64(1), p.cuts.Load(), "finding the first outcome commits nothing")
	require.Equal(t, []string{"one", "two"}, texts(t, checkLog(t, pool)))
}

func TestACommitIsAcknowledgedThoughTheNextGroupMustWait(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	direct := newPool(t, url)
	p, pool := newProxy(t, url)
	var committed atomic.Bool
	resumed := make(chan struct{})
	resume := sync.OnceFunc(func() { close(resumed) })
	t.Cleanup(resume)
	p.pass = func(_ int, toServer bool, piece []byte) int {
		if !toServer && bytes.Contains(piece, []byte("COMMIT\x00")) {
			committed.Store(true)
		} else if toServer && committed.Load() {
			<-resumed // what the next group asks for
		}
		return len(piece)
	}
	store := newStore(pool)
	release := holdLog(t, direct)
	soon, cancel := context.WithTimeout(t.Context(), 5*time.Second) // half the time after which the next group gives up
	defer cancel()
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := store.Append(soon, note("a", 0, "one"))
		first <- err
	}()
	requireWaiting(t, direct, 1)
	go func() {
		_, err := store.Append(within(t), note("b", 0, "two"))
		second <- err
	}()
	release()
	require.NoError(t, <-first)
	require.Empty(t, second)
	resume()
	require.NoError(t, <-second)
	require.Equal(t, []string{"one", "two"}, texts(t, checkLog(t, direct)))
}

func TestWhereverTheConnectionIsCutAnAppendSucceedsOnce(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	direct := newPool(t, url)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		// The first connections are cut after so many bytes, the others never.
		budgets := rapid.SliceOfN(rapid.IntRange(1, 4000), 1, 3).Draw(rt, "bytes until the cut")
		toServer := rapid.Bool().Draw(rt, "cut on the way to Postgres")
		callers := rapid.IntRange(1, 3).Draw(rt, "callers")
		left := make([]atomic.Int64, len(budgets))
		for i, n := range budgets {
			left[i].Store(int64(n))
		}
		p, pool := newProxy(t, url)
		p.pass = func(conn int, direction bool, piece []byte) int {
			if conn >= len(left) || direction != toServer {
				return len(piece)
			}
			rest := left[conn].Add(int64(-len(piece)))
			return max(0, min(len(piece), len(piece)+int(rest)))
		}
		store := newStore(pool)
		ctx, cancel := context.WithTimeout(rt.Context(), patience)
		defer cancel()
		commits := make([]eventstore.Commit, callers)
		errs := make([]error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() { commits[i], errs[i] = store.Append(ctx, note(fmt.Sprintf("%d/%d", run, i), 0, "one", "two")) })
		}
		wg.Wait()
		for i, c := range commits {
			require.NoError(rt, errs[i])
			require.Equal(rt, eventstore.Version(2), c.Version)
			records, err := newStore(direct).ReadStream(ctx, fmt.Sprintf("%d/%d", run, i))
			require.NoError(rt, err)
			require.Len(rt, records, 2)
			require.Equal(rt, c.Position, records[1].Position)
		}
		pool.Close()
	})
	checkLog(t, direct)
}

// newPool returns one more pool on a database.
func newPool(tb testing.TB, url string) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgxpool.New(tb.Context(), url)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	return pool
}

func TestWhatWasAcknowledgedOutlivesPostgres(t *testing.T) {
	t.Parallel()
	server := testdb.NewServer(t)
	pool := testdb.NewOn(t, server)
	stores := newStores(pool, 2, 0)
	const callers, kills = 8, 3
	acknowledged := &ledger{}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			if err := acknowledged.appendUntil(ctx, stores[c%2]); err != nil {
				t.Errorf("an append that could wait failed: %v", err)
			}
		})
	}
	for range kills {
		acknowledged.await(t, acknowledged.count()+300)
		require.NoError(t, server.Kill(within(t)))
		require.NoError(t, server.Restart(within(t)))
	}
	acknowledged.await(t, acknowledged.count()+300) // by itself
	stop()
	wg.Wait()
	for _, store := range stores { // what was abandoned is committed by then, or never will be
		last := note(uuid.NewString(), 0, "last")
		c, err := store.Append(t.Context(), last)
		require.NoError(t, err)
		acknowledged.add(last.ID, c.Position)
	}
	acknowledged.check(t, checkLog(t, pool), callers)
}

// A ledger keeps what appenders were told.
type ledger struct {
	mu        sync.Mutex
	positions map[uuid.UUID]eventstore.Position
}

// add notes that an append was acknowledged.
func (l *ledger) add(id uuid.UUID, at eventstore.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.positions == nil {
		l.positions = map[uuid.UUID]eventstore.Position{}
	}
	l.positions[id] = at
}

// count returns how many were.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.positions)
}

// await blocks until n were.
func (l *ledger) await(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return l.count() >= n }, patience, time.Millisecond, "appends do not go on")
}

// appendUntil appends one event after the other until ctx is done, and notes those
// acknowledged.
func (l *ledger) appendUntil(ctx context.Context, store *eventstore.Store) error {
	for ctx.Err() == nil {
		a := note(uuid.NewString(), 0, "x")
		switch c, err := store.Append(ctx, a); {
		case err == nil:
			l.add(a.ID, c.Position)
		case ctx.Err() == nil:
			return err
		}
	}
	return nil
}

// check fails the test unless the log has every acknowledged append, where its caller was
// told, and no more others than could be under way.
func (l *ledger) check(t *testing.T, records []eventstore.Record, underWay int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, at := range l.positions {
		require.LessOrEqual(t, int(at), len(records), "append %s is lost", id)
		require.Equal(t, id, records[at-1].ID, "another event is where append %s was", id)
	}
	require.LessOrEqual(t, len(records)-len(l.positions), underWay, "events that nobody was told of")
}

// appenderEnv makes this test binary a process that appends to the database at its value.
const appenderEnv = "LEDGER_TEST_APPENDER"

func TestMain(m *testing.M) {
	if url := os.Getenv(appenderEnv); url != "" {
		if err := runAppender(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// appenderCallers is how many callers an appending process has.
const appenderCallers = 8

// runAppender appends until it is killed, and prints what was acknowledged.
func runAppender(url string) error {
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		return err
	}
	store := newStore(pool)
	var mu sync.Mutex
	failed := make(chan error, appenderCallers)
	for range appenderCallers {
		go func() {
			for {
				a := note(uuid.NewString(), 0, "x")
				c, err := store.Append(context.Background(), a)
				if err != nil {
					failed <- err
					return
				}
				mu.Lock()
				fmt.Printf("%s %d\n", a.ID, c.Position)
				mu.Unlock()
			}
		}()
	}
	return <-failed
}

func TestWhatWasAcknowledgedOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	pool := newPool(t, url)
	acknowledged := &ledger{}
	const kills = 12
	for range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), appenderEnv+"="+url)
		child.Stderr = t.Output()
		stdout, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		lines := bufio.NewScanner(stdout)
		for instant := rand.IntN(200); lines.Scan(); instant-- {
			if instant == 0 {
				require.NoError(t, child.Process.Kill())
			}
			var id uuid.UUID
			text, at, _ := bytes.Cut(lines.Bytes(), []byte(" "))
			if id.UnmarshalText(text) != nil {
				continue // cut off by the kill
			}
			pos, err := strconv.ParseInt(string(at), 10, 64)
			if err == nil {
				acknowledged.add(id, eventstore.Position(pos))
			}
		}
		if err := lines.Err(); err != nil {
			require.ErrorIs(t, err, io.EOF)
		}
		var exit *exec.ExitError
		require.True(t, errors.As(child.Wait(), &exit) && !exit.Exited(), "the process was killed")
	}
	requireNobodyAppends(t, pool)
	acknowledged.check(t, checkLog(t, pool), kills*appenderCallers)
}

// requireNobodyAppends returns once Postgres has ended what the killed had begun.
func requireNobodyAppends(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	const query = `
		SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'`
	require.Eventually(t, func() bool {
		var n int
		return pool.QueryRow(context.WithoutCancel(t.Context()), query).Scan(&n) == nil && n == 0
	}, patience, 5*time.Millisecond)
}

func TestATransactionThatWaitedTooLongForItsClientIsTriedAgain(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t) + "&idle_in_transaction_session_timeout=100"
	direct := newPool(t, url)
	p, pool := newProxy(t, url)
	var late atomic.Bool
	p.pass = func(_ int, toServer bool, piece []byte) int {
		if toServer && bytes.Contains(piece, []byte("COPY")) && !late.Swap(true) {
			awaitIdle(t, direct)
		}
		return len(piece)
	}
	c, err := newStore(pool).Append(within(t), note("a", 0, "one"))
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(1), c.Position)
	require.True(t, late.Load())
}

// awaitIdle waits until Postgres has closed the connection of a transaction that did nothing.
func awaitIdle(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	const query = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`
	require.Eventually(t, func() bool {
		var n int
		return pool.QueryRow(context.WithoutCancel(t.Context()), query).Scan(&n) == nil && n == 0
	}, patience, 5*time.Millisecond)
}
