package webhooks

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"golang.org/x/net/proxy"
)

// A Proxy is what all requests leave through. It may be at any address.
//
// A name is resolved and its addresses are judged by the ledger; the proxy is asked to connect to the
// one that passed, never to a name: CONNECT for http and https destinations alike, or SOCKS 5.
// Whom the proxy itself refuses is its own affair.
type Proxy struct {
	url *url.URL
}

// UnmarshalText reads http://proxy:3128, or one with https or socks5, with a user and password before
// the host if the proxy asks for them. Its error does not repeat the text, which may hold a secret.
func (p *Proxy) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/" || defaultPorts[u.Scheme] == "" {
		return errors.New("an egress proxy is http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT")
	}
	p.url = u
	return nil
}

// defaultPorts are the ports of proxies whose URLs name none.
var defaultPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080"}

// address returns where the proxy listens.
func (p *Proxy) address() string {
	port := p.url.Port()
	if port == "" {
		port = defaultPorts[p.url.Scheme]
	}
	return net.JoinHostPort(p.url.Hostname(), port)
}

// A proxyError says that the proxy is why there is no connection. Its text tells nothing of the proxy
// that customers need not know.
type proxyError struct {
	said string
	err  error // nil: the proxy said so itself
}

// Error says what the proxy did.
func (e *proxyError) Error() string { return "the egress proxy " + e.said }

// Unwrap returns what happened.
func (e *proxyError) Unwrap() error { return e.err }

// errUnreachable is returned when there is no connection to the proxy itself.
func errUnreachable(err error) error { return &proxyError{said: "could not be reached", err: err} }

// dial returns a connection to an address by way of the proxy.
func (p *Proxy) dial(ctx context.Context, dialer *net.Dialer, roots *x509.CertPool, to netip.AddrPort) (net.Conn, error) {
	if p.url.Scheme == "socks5" {
		return p.dialSOCKS(ctx, dialer, to)
	}
	conn, err := dialer.DialContext(ctx, "tcp", p.address())
	if err != nil {
		return nil, errUnreachable(err)
	}
	if p.url.Scheme == "https" {
		secured := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: p.url.Hostname(), RootCAs: roots})
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, errUnreachable(err)
		}
		conn = secured
	}
	if err := p.connect(ctx, conn, to); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// dialSOCKS is dial by SOCKS 5 (RFC 1928).
func (p *Proxy) dialSOCKS(ctx context.Context, dialer *net.Dialer, to netip.AddrPort) (net.Conn, error) {
	var auth *proxy.Auth
	if password, ok := p.url.User.Password(); ok {
		auth = &proxy.Auth{User: p.url.User.Username(), Password: password}
	}
	socks, err := proxy.SOCKS5("tcp", p.address(), auth, dialer)
	if err != nil {
		return nil, errUnreachable(err)
	}
	conn, err := socks.(proxy.ContextDialer).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, &proxyError{said: "did not connect", err: err}
	}
	return conn, nil
}

// connect asks the proxy at the other end of conn for a tunnel (RFC 9110, section 9.3.6).
func (p *Proxy) connect(ctx context.Context, conn net.Conn, to netip.AddrPort) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // long past
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: to.String()}, Host: to.String(), Header: http.Header{}}
	if user := p.url.User; user != nil {
		password, _ := user.Password()
		both := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+both)
	}
	err := req.Write(conn)
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxHeaderBytes)), req) //nolint:bodyclose // it has none: what follows is the tunnel
	}
	switch {
	case !stop():
		return ctx.Err()
	case err != nil:
		return &proxyError{said: "did not answer", err: err}
	case resp.StatusCode != http.StatusOK:
		return &proxyError{said: "answered " + statusText(resp.StatusCode)}
	}
	return nil // nothing follows until the destination is spoken to
}
