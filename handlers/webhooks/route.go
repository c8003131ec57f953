package webhooks

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// dialTimeout is the longest that connecting may take, and then TLS: as long as a destination
// may ask for. What it does ask for goes over all of the attempt.
const dialTimeout = 60 * time.Second

// How HTTP/2 connections are found dead: by a ping after silence, and no answer to it.
const (
	pingAfter   = 15 * time.Second
	pingTimeout = 10 * time.Second
)

// A Route is the way that requests take out of the ledger. Proxies that the environment names
// are not used.
type Route struct {
	// Guard says which addresses may be called. Required.
	Guard *Guard
	// Proxy is what all requests leave through. Default: none, they go straight.
	Proxy *Proxy
	// Resolver resolves names, whether there is a proxy or not. Default: the machine's.
	Resolver *net.Resolver
	// Roots are the authorities whose certificates are trusted. Default: the machine's.
	Roots *x509.CertPool
}

// transport returns a transport that goes this way.
func (r Route) transport() *http.Transport {
	return &http.Transport{
		DialContext:            r.dialer(),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: r.Roots},
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        60 * time.Second,
		DisableCompression:     true, // a small answer must not become a large one
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}

// dialer returns what connects.
func (r Route) dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Resolver: r.Resolver}
	if r.Proxy == nil {
		dialer.Control = r.Guard.Control
		return dialer.DialContext
	}
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		return r.tunnel(ctx, dialer, address)
	}
}

// tunnel connects to a host by way of the proxy: to the first of its addresses that is allowed and
// that the proxy connects to. It is resolved once, so what is judged is what is connected to.
func (r Route) tunnel(ctx context.Context, dialer *net.Dialer, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("read address: %w", err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("read port: %w", err)
	}
	ips, err := cmp.Or(r.Resolver, net.DefaultResolver).LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		to := netip.AddrPortFrom(ip.Unmap(), uint16(port))
		refusal := r.Guard.Check(to)
		if refusal == nil {
			var conn net.Conn
			if conn, refusal = r.Proxy.dial(ctx, dialer, r.Roots, to); refusal == nil {
				return conn, nil
			}
		}
		err = cmp.Or(err, refusal)
	}
	return nil, err
}
