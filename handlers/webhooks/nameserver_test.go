package webhooks_test

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// A nameServer gives every name the addresses in turn, one at each look-up, and then the last. If there
// are none it knows no name.
type nameServer struct {
	conn net.PacketConn
	mu   sync.Mutex
	next []netip.Addr
	n    int
}

// newNameServer starts a name server on loopback.
func newNameServer(tb testing.TB, addresses ...string) *nameServer {
	tb.Helper()
	var config net.ListenConfig
	conn, err := config.ListenPacket(tb.Context(), "udp", "127.0.0.1:0")
	require.NoError(tb, err)
	s := &nameServer{conn: conn}
	for _, a := range addresses {
		s.next = append(s.next, netip.MustParseAddr(a))
	}
	var done sync.WaitGroup
	done.Go(s.serve)
	tb.Cleanup(func() {
		conn.Close() // which the test may have done
		done.Wait()
	})
	return s
}

// resolver returns one that asks this server alone.
func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

// lookups returns how often an address was asked for.
func (s *nameServer) lookups() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// serve answers until the server is closed.
func (s *nameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.Additionals = true, nil
		if len(s.next) == 0 {
			m.RCode = dnsmessage.RCodeNameError
		} else if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: s.address().As4()},
			}}
		}
		if packed, err := m.Pack(); err == nil {
			_, _ = s.conn.WriteTo(packed, from)
		}
	}
}

// address returns the next address.
func (s *nameServer) address() netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.next[min(s.n, len(s.next)-1)]
	s.n++
	return at
}

// portOf returns the port of a URL.
func portOf(tb testing.TB, raw string) string {
	tb.Helper()
	u, err := url.Parse(raw)
	require.NoError(tb, err)
	return u.Port()
}
