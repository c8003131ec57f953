package main

import (
	"fmt"
	"net/netip"

	"github.com/openprospect/delivery-ledger/handlers/webhooks"
)

// egressFlags say where webhooks may go, and how.
type egressFlags struct {
	AllowDestination []netip.Prefix  `placeholder:"CIDR" help:"Addresses that webhooks and token requests may go to although they are not global, such as 10.1.0.0/16 or fd12::/48. May be repeated. Default: none."`
	EgressProxy      *webhooks.Proxy `placeholder:"URL" help:"Proxy that webhooks and token requests leave through: http://proxy:3128, or https or socks5. Names are resolved and judged here; the proxy is asked to connect to addresses (CONNECT, for http destinations too). It may be at any address itself. Default: none; HTTP_PROXY and the like are not used."`
}

// check refuses ranges that no address is in.
func (f egressFlags) check() error {
	for _, p := range f.AllowDestination {
		if p.Addr().Is4In6() {
			return fmt.Errorf("--allow-destination %s: write IPv4 addresses as such", p)
		}
	}
	return nil
}

// guard returns what judges addresses; private says whether all of them may be called.
func (f egressFlags) guard(private bool) *webhooks.Guard {
	return webhooks.NewGuard(private, f.AllowDestination...)
}
