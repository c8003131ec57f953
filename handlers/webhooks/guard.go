package webhooks

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
	"golang.org/x/net/idna"
)

// A Guard says which addresses and ports may be called. It is safe for concurrent use.
//
// # Why
//
// Whoever configures a destination chooses where the ledger connects to, from inside of the network
// that the ledger stands in. What counts is the address at the other end of the connection, so that
// is what is judged, at the moment of connecting: a name may resolve to anything, and to something
// else a moment later.
type Guard struct {
	private bool
	allowed []netip.Prefix
	public  *ssrf.Guardian
}

// NewGuard returns a guard that allows global unicast addresses and those within allowed; if private
// is true, any address. Ports that belong to other protocols are refused at all of them.
func NewGuard(private bool, allowed ...netip.Prefix) *Guard {
	return &Guard{private: private, allowed: allowed, public: ssrf.New(ssrf.WithAnyPort())}
}

// Errors in the chain of an attempt's error when its address may not be called.
var (
	ErrForbidden = errors.New("the address is private or reserved: the ledger does not call it")
	ErrPort      = errors.New("the port belongs to another protocol than HTTP: the ledger does not call it")
)

// errSpelling is returned for hosts such as 2130706433, 0177.0.0.1 or 0x7f.1.
var errSpelling = errors.New("the host is a number that some read as an address: write it as four decimal numbers")

// Control refuses forbidden addresses. It is a [net.Dialer]'s, so what it sees is what will be
// connected to, whatever a name resolved to before.
func (g *Guard) Control(network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%w: %s", ErrForbidden, address)
	}
	return g.Check(at)
}

// Check refuses a forbidden address.
func (g *Guard) Check(at netip.AddrPort) error {
	switch {
	case slices.Contains(otherPorts, at.Port()):
		return fmt.Errorf("%w: %d", ErrPort, at.Port())
	case g.private || g.allows(at.Addr()) || g.public.SafeAddr(at.Addr()) == nil:
		return nil
	}
	return fmt.Errorf("%w: %s", ErrForbidden, at.Addr())
}

// allows reports whether ip is among the addresses that are allowed although they are not global.
func (g *Guard) allows(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(g.allowed, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// CheckURL refuses a URL that names a forbidden address or port outright, so that who configures
// it learns at once. A name may still resolve to one: Control sees that.
func (g *Guard) CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("read URL: %w", err)
	}
	port, err := portOf(u)
	if err != nil {
		return err
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = strings.TrimSuffix(ascii, ".") // as a connection is made to it: digits have other forms too
	}
	ip, ok := literal(host)
	switch {
	case ok:
		return g.Check(netip.AddrPortFrom(ip, port))
	case isNumber(host[strings.LastIndexByte(host, '.')+1:]):
		return errSpelling
	case slices.Contains(otherPorts, port):
		return fmt.Errorf("%w: %d", ErrPort, port)
	}
	return nil // a name
}

// literal returns the address that a host is, if it is none to be resolved.
func literal(host string) (netip.Addr, bool) {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	}
	ip, err := netip.ParseAddr(host)
	return ip, err == nil
}

// portOf returns the port that a URL leads to.
func portOf(u *url.URL) (uint16, error) {
	if u.Port() == "" {
		if u.Scheme == "http" {
			return 80, nil
		}
		return 443, nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return 0, errors.New("the port must be from 1 to 65535")
	}
	return uint16(port), nil
}

// isNumber reports whether the last part of a host is a number in any of the ways in which IPv4
// addresses were ever written. No top-level domain is one.
func isNumber(part string) bool {
	hex, isHex := strings.CutPrefix(part, "0x")
	if isHex {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return part != "" && strings.Trim(part, "0123456789") == ""
}

// otherPorts are the ports that browsers do not call by HTTP either (the Fetch standard's bad
// ports): what listens there may take a request's lines for commands of its own.
var otherPorts = []uint16{
	0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
	110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
	532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
	5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
}
