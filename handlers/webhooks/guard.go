package webhooks

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// A Guard says which addresses may be called. It is safe for concurrent use.
type Guard struct {
	check func(network, address string, _ syscall.RawConn) error
}

// NewGuard returns a guard that allows global unicast addresses only, or, if private is
// true, any.
func NewGuard(private bool) *Guard {
	if private {
		return &Guard{check: func(string, string, syscall.RawConn) error { return nil }}
	}
	return &Guard{check: ssrf.New(ssrf.WithAnyPort()).Safe}
}

// ErrForbidden is in the chain of an attempt's error when its address may not be called.
var ErrForbidden = errors.New("the address is private or reserved: the ledger does not call it")

// Control refuses forbidden addresses. It is a [net.Dialer]'s, so what it sees is what will be
// connected to, whatever a name resolved to before.
func (g *Guard) Control(network, address string, conn syscall.RawConn) error {
	if err := g.check(network, address, conn); err != nil {
		return fmt.Errorf("%w: %s", ErrForbidden, address)
	}
	return nil
}

// CheckURL refuses a URL that names a forbidden address outright, so that who configures it
// learns at once. A name may still resolve to one: Control sees that.
func (g *Guard) CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("read URL: %w", err)
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		network := "tcp4"
		if ip.Is6() {
			network = "tcp6"
		}
		return g.Control(network, net.JoinHostPort(host, "443"), nil)
	}
	return nil // a name
}
