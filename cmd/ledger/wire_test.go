package main

import (
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// A wire is all that connects a process with Postgres, until a test cuts or stalls it. It knows
// nothing of what it passes.
type wire struct {
	url      string // of the database, by the wire
	network  string // of Postgres
	address  string
	listener net.Listener
	pumps    sync.WaitGroup
	turn     sync.Mutex // one call of holds at a time

	mu    sync.Mutex
	flow  chan struct{} // closed: bytes pass
	down  bool          // connections are refused
	count int           // of connections so far
	open  map[net.Conn]bool
	holds func(conn int, toServer bool, piece []byte) bool
}

// newWire returns a wire to a database. It ends with the test.
func newWire(tb testing.TB, database string) *wire {
	tb.Helper()
	config, err := pgx.ParseConfig(database)
	require.NoError(tb, err)
	w := &wire{network: "tcp", address: net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))}
	if config.Host[0] == '/' {
		w.network, w.address = "unix", config.Host+"/.s.PGSQL."+strconv.Itoa(int(config.Port))
	}
	w.holds = func(int, bool, []byte) bool { return false }
	w.flow, w.open = make(chan struct{}), map[net.Conn]bool{}
	close(w.flow)
	w.listener, err = new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	u, err := url.Parse(database)
	require.NoError(tb, err)
	u.Host, u.RawQuery = w.listener.Addr().String(), "sslmode=disable"
	w.url = u.String()
	w.pumps.Go(w.accept)
	tb.Cleanup(func() {
		w.cut()
		w.listener.Close()
		w.pumps.Wait()
	})
	return w
}

// hold has holds asked about each piece that passes on a connection made from now on, in order, and one at a time of all
// connections. When it says so, neither that piece nor any after it in the same direction arrives.
func (w *wire) hold(holds func(conn int, toServer bool, piece []byte) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds = holds
}

// cut breaks all connections, and lets none through until the wire is mended.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for conn := range w.open {
		conn.Close()
	}
	w.resume()
}

// stall lets nothing through in either direction, and tells neither side, until the wire is
// mended or cut.
func (w *wire) stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resume()
	w.flow = make(chan struct{})
}

// mend lets everything through again, and what was stalled.
func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
	w.resume()
}

// resume ends a stall. The mutex is held.
func (w *wire) resume() {
	select {
	case <-w.flow:
	default:
		close(w.flow)
	}
}

// accept takes connections until the listener is closed.
func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.pumps.Go(func() { w.connect(client) })
	}
}

// isDown reports whether connections are refused.
func (w *wire) isDown() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down
}

// connect passes bytes between client and Postgres, until either side closes its connection.
func (w *wire) connect(client net.Conn) {
	defer client.Close()
	if w.isDown() { // of which Postgres notices nothing
		return
	}
	server, err := net.Dial(w.network, w.address) //nolint:noctx // the cut ends it
	if err != nil {
		return
	}
	defer server.Close()
	w.mu.Lock()
	down, conn, holds := w.down, w.count, w.holds // it may have been cut meanwhile
	w.count++
	w.open[client], w.open[server] = true, true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, client)
		delete(w.open, server)
	}()
	if down {
		return
	}
	var both sync.WaitGroup
	pump := func(toServer bool, from, to net.Conn) {
		both.Go(func() {
			defer from.Close()
			defer to.Close()
			w.pump(from, to, func(piece []byte) bool {
				w.turn.Lock()
				defer w.turn.Unlock()
				return holds(conn, toServer, piece)
			})
		})
	}
	pump(true, client, server)
	pump(false, server, client)
	both.Wait()
}

// pump passes bytes in one direction. What comes after a piece that is held it takes and drops.
func (w *wire) pump(from, to net.Conn, holds func(piece []byte) bool) {
	piece, held := make([]byte, 32<<10), false
	for {
		n, err := from.Read(piece)
		if n > 0 && !held {
			w.mu.Lock()
			flow := w.flow
			w.mu.Unlock()
			<-flow
			if held = holds(piece[:n]); !held {
				if _, err := to.Write(piece[:n]); err != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
	}
}
