package webhooks_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

// A received is a request as the receiver saw it.
type received struct {
	at     time.Time
	header http.Header
	body   string
}

// id returns the webhook-id, which is that of the dispatch.
func (r received) id() domain.DispatchID { return domain.DispatchID(r.header.Get("Webhook-Id")) }

// A receiver keeps what it gets.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	got  []received
	news chan struct{}
}

// newReceiver starts a receiver on loopback that answers as answer says, given the number of
// requests with the same webhook-id so far, from 1.
func newReceiver(tb testing.TB, answer func(w http.ResponseWriter, nth int)) *receiver {
	tb.Helper()
	r := startReceiver(answer)
	tb.Cleanup(r.Close)
	return r
}

// startReceiver is newReceiver for one that its caller closes. A nil answer is none of its own.
func startReceiver(answer func(w http.ResponseWriter, nth int)) *receiver {
	r := &receiver{news: make(chan struct{}, 1)}
	counts := map[domain.DispatchID]int{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		got := received{at: time.Now(), header: req.Header, body: string(body)}
		r.mu.Lock()
		r.got = append(r.got, got)
		counts[got.id()]++
		nth := counts[got.id()]
		r.mu.Unlock()
		select {
		case r.news <- struct{}{}:
		default:
		}
		if answer != nil {
			answer(w, nth)
		}
	}))
	return r
}

// ok answers 200.
func ok(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusOK) }

// always returns an answer of one status.
func always(status int) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, _ int) { w.WriteHeader(status) }
}

// failing returns an answer of status to the first n requests of a dispatch, then of 200.
func failing(n, status int) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, nth int) {
		if nth <= n {
			w.WriteHeader(status)
		}
	}
}

// sometimes returns an answer of 500 to the first request of every third dispatch, and of 200 to
// all others. It opens no breaker.
func sometimes() func(http.ResponseWriter, int) {
	var first atomic.Int64
	return func(w http.ResponseWriter, nth int) {
		if nth == 1 && first.Add(1)%3 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
}

// all returns what was received so far.
func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.got...)
}

// times returns how often each dispatch was received so far.
func (r *receiver) times() map[domain.DispatchID]int {
	times := map[domain.DispatchID]int{}
	for _, got := range r.all() {
		times[got.id()]++
	}
	return times
}

// await returns what was received once that is n requests or more.
func (r *receiver) await(tb testing.TB, n int) []received {
	tb.Helper()
	timeout := time.After(patience)
	for {
		if got := r.all(); len(got) >= n {
			return got
		}
		select {
		case <-r.news:
		case <-timeout:
			require.FailNow(tb, "too few requests", "%d of %d", len(r.all()), n)
		}
	}
}

// A gate holds answers back until it is opened, and knows how many it holds.
type gate struct {
	mu         sync.Mutex
	held, most int
	opened     chan struct{}
	open       func()
}

// newGate returns a closed gate.
func newGate() *gate {
	g := &gate{opened: make(chan struct{})}
	g.open = sync.OnceFunc(func() { close(g.opened) })
	return g
}

// pass blocks until the gate is open.
func (g *gate) pass() {
	g.mu.Lock()
	g.held++
	g.most = max(g.most, g.held)
	g.mu.Unlock()
	<-g.opened
	g.mu.Lock()
	g.held--
	g.mu.Unlock()
}

// holds answers 200 when the gate is open.
func (g *gate) holds(http.ResponseWriter, int) { g.pass() }

// holding returns how many answers are held now.
func (g *gate) holding() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

// peak returns how many answers were held at once, at most.
func (g *gate) peak() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most
}

// newSocket starts a server on loopback that hands each request's connection to talk, closes
// it after that, and has no manners of its own. It returns its URL. Done is closed when the
// test ends.
func newSocket(tb testing.TB, talk func(conn net.Conn, done <-chan struct{})) string {
	tb.Helper()
	listener := listen(tb)
	done := make(chan struct{})
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer conn.Close()
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				if _, err := io.Copy(io.Discard, req.Body); err == nil {
					talk(conn, done)
				}
			})
		}
	})
	tb.Cleanup(func() {
		close(done)
		require.NoError(tb, listener.Close())
		open.Wait()
	})
	return "http://" + listener.Addr().String()
}

// listen listens on loopback.
func listen(tb testing.TB) net.Listener {
	tb.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	return listener
}

// says returns a talk of one text, after which the connection stays open.
func says(text string) func(net.Conn, <-chan struct{}) {
	return func(conn net.Conn, done <-chan struct{}) {
		_, _ = io.WriteString(conn, text)
		<-done
	}
}
