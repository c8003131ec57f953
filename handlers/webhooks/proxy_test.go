package webhooks_test

import (
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/webhooks"
)

// A proxyServer is an egress proxy that keeps what it was asked for.
type proxyServer struct {
	mu     sync.Mutex
	asked  []string // addresses, with the credentials
	status int      // with which it refuses; 0: it does not
}

// ask notes what was asked for and returns the status to refuse it with.
func (p *proxyServer) ask(what string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, what)
	return p.status
}

// all returns what was asked for so far.
func (p *proxyServer) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// ServeHTTP is a proxy by CONNECT.
func (p *proxyServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if status := p.ask(req.Method + " " + req.RequestURI + " " + req.Header.Get("Proxy-Authorization")); status != 0 {
		w.WriteHeader(status)
		return
	}
	there, err := net.Dial("tcp", req.RequestURI) //nolint:noctx // it ends with its connections
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	here, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
		join(here, there)
	}
}

// serveSOCKS is a proxy by SOCKS 5 that asks for a user and a password.
func (p *proxyServer) serveSOCKS(here net.Conn) {
	read := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(here, b)
		return b
	}
	read(int(read(2)[1])) // methods
	_, _ = here.Write([]byte{5, 2})
	user := string(read(int(read(2)[1])))
	password := string(read(int(read(1)[0])))
	_, _ = here.Write([]byte{1, 0})
	head := read(4) // version, command, 0, kind of address
	to := netip.AddrPort{}
	if head[3] == 1 {
		raw := read(6)
		to = netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw)), uint16(raw[4])<<8|uint16(raw[5]))
	}
	status := p.ask(to.String() + " " + user + ":" + password)
	_, _ = here.Write([]byte{5, byte(status), 0, 1, 0, 0, 0, 0, 0, 0})
	if status != 0 {
		here.Close()
		return
	}
	if there, err := net.Dial("tcp", to.String()); err == nil { //nolint:noctx // it ends with its connections
		join(here, there)
	}
}

// join passes on what each of two connections says to the other.
func join(a, b net.Conn) {
	go func() {
		defer a.Close()
		defer b.Close()
		_, _ = io.Copy(a, b)
	}()
	defer a.Close()
	defer b.Close()
	_, _ = io.Copy(b, a)
}

// newProxy returns the proxy of a URL.
func newProxy(tb testing.TB, url string) *webhooks.Proxy {
	tb.Helper()
	var p webhooks.Proxy
	require.NoError(tb, p.UnmarshalText([]byte(url)))
	return &p
}

// newSOCKS starts a proxy by SOCKS 5 and returns its address.
func newSOCKS(tb testing.TB, p *proxyServer) string {
	tb.Helper()
	listener := listen(tb)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serveSOCKS(conn)
		}
	}()
	tb.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

// newQuietServer starts an HTTPS server that does not print what is wrong with its connections.
func newQuietServer(tb testing.TB, handler http.Handler, change ...func(*httptest.Server)) *httptest.Server {
	tb.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	for _, f := range change {
		f(s)
	}
	s.StartTLS()
	tb.Cleanup(s.Close)
	return s
}

// authorities returns the authorities that signed the certificates of servers.
func authorities(servers ...*httptest.Server) *x509.CertPool {
	roots := x509.NewCertPool()
	for _, s := range servers {
		roots.AddCert(s.Certificate())
	}
	return roots
}

func TestProxyIsAskedForTheAddressThatWasJudged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	loopback := webhooks.NewGuard(false, netip.MustParsePrefix("127.0.0.1/32"))
	hosts := make(chan string, 10)
	take := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { hosts <- req.Proto + " " + req.Host })
	plain := httptest.NewServer(take)
	t.Cleanup(plain.Close)
	secured := newQuietServer(t, take, func(s *httptest.Server) { s.EnableHTTP2 = true })
	for scheme, start := range map[string]func(*proxyServer) (proxy, asked string, roots *x509.CertPool){
		"http": func(p *proxyServer) (string, string, *x509.CertPool) {
			s := httptest.NewServer(p)
			t.Cleanup(s.Close)
			return strings.Replace(s.URL, "://", "://user:pa:ss@", 1), "CONNECT %s Basic dXNlcjpwYTpzcw==", authorities(secured)
		},
		"https": func(p *proxyServer) (string, string, *x509.CertPool) {
			s := newQuietServer(t, p)
			return s.URL, "CONNECT %s ", authorities(secured, s)
		},
		"socks5": func(p *proxyServer) (string, string, *x509.CertPool) {
			return "socks5://user:pass@" + newSOCKS(t, p), "%s user:pass", authorities(secured)
		},
	} {
		proxy := &proxyServer{}
		url, asked, roots := start(proxy)
		for target, want := range map[string]string{
			"http://example.com:" + portOf(t, plain.URL):    "HTTP/1.1 example.com:" + portOf(t, plain.URL),
			"https://example.com:" + portOf(t, secured.URL): "HTTP/2.0 example.com:" + portOf(t, secured.URL),
		} {
			names := newNameServer(t, "127.0.0.1", "127.0.0.2")
			sender := webhooks.NewSender(webhooks.Route{Guard: loopback, Proxy: newProxy(t, url), Resolver: names.resolver(), Roots: roots}, "test")
			dst := destination(target)
			d := b.delivery(t, dst)
			require.Empty(t, b.test(t, d, dst.ID, sender).Error, "%s by %s", target, scheme)
			require.Equal(t, want, <-hosts)
			require.Equal(t, 1, names.lookups())
			all := proxy.all()
			require.Equal(t, strings.Replace(asked, "%s", "127.0.0.1:"+portOf(t, target), 1), all[len(all)-1], "an address, never a name")
		}
	}
}

func TestProxyIsNotAskedForForbiddenAddresses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	proxy := &proxyServer{}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	sender := func(resolver *net.Resolver) *webhooks.Sender {
		return webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(false), Proxy: newProxy(t, s.URL), Resolver: resolver}, "test")
	}
	for _, url := range []string{"http://169.254.169.254/latest/meta-data", "http://rebinding.test/", "https://[::1]/", s.URL} {
		dst := destination(url)
		d := b.delivery(t, dst)
		require.Equal(t, webhooks.ErrForbidden.Error(), b.test(t, d, dst.ID, sender(newNameServer(t, "10.0.0.1").resolver())).Error, url)
	}
	dst := destination("http://mail.test:25/")
	d := b.delivery(t, dst)
	require.Equal(t, webhooks.ErrPort.Error(), b.test(t, d, dst.ID, sender(newNameServer(t, "8.8.8.8").resolver())).Error)
	require.Empty(t, proxy.all())
}

func TestFaultsOfTheProxyAreSaidPlainly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refusing := httptest.NewServer(&proxyServer{status: http.StatusProxyAuthRequired})
	t.Cleanup(refusing.Close)
	closed := listen(t)
	require.NoError(t, closed.Close())
	for url, want := range map[string]string{
		strings.Replace(refusing.URL, "://", "://user:s3cret@", 1):     "the egress proxy answered 407 Proxy Authentication Required",
		"http://user:s3cret@" + closed.Addr().String():                 "the egress proxy could not be reached",
		"http://proxy.invalid:3128":                                    "the egress proxy could not be reached",
		strings.Replace(refusing.URL, "http:", "https:", 1):            "the egress proxy could not be reached",
		newSocket(t, func(net.Conn, <-chan struct{}) {}):               "the egress proxy did not answer",
		newSocket(t, says("HTTP/1.1 200 OK\r\nX-Endless: ")):           "no complete answer within 1s",
		"socks5://user:s3cret@" + newSOCKS(t, &proxyServer{status: 2}): "the egress proxy did not connect",
	} {
		dst := destination("https://127.0.0.1:8443/hook")
		if strings.Contains(want, "within 1s") {
			dst.TimeoutSeconds = 1
		}
		d := b.delivery(t, dst)
		route := webhooks.Route{Guard: webhooks.NewGuard(true), Proxy: newProxy(t, url), Resolver: newNameServer(t).resolver()}
		sender := webhooks.NewSender(route, "test")
		tested := b.test(t, d, dst.ID, sender)
		require.Equal(t, want, tested.Error, url)
		require.Zero(t, tested.Status)
		require.Less(t, time.Duration(tested.Microseconds)*time.Microsecond, soon)
	}
}

func TestTokensComeThroughTheProxyToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	proxy := &proxyServer{}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	r, tokens := newReceiver(t, ok), newTokenServer(t)
	dst := b.oauth2(t, r.URL, tokens)
	d := b.delivery(t, dst)
	sender := webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(true), Proxy: newProxy(t, s.URL)}, "test")
	require.Empty(t, b.test(t, d, dst.ID, sender).Error)
	require.Equal(t, []string{"CONNECT 127.0.0.1:" + portOf(t, tokens.URL) + " ", "CONNECT 127.0.0.1:" + portOf(t, r.URL) + " "}, proxy.all())
}

func TestTextThatIsNoProxyIsRefusedWithoutRepeatingIt(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "proxy:3128", "http://", "ftp://user:s3cret@proxy", "http://user:s3cret@proxy/path", "http://user:s3cret@%", "socks4://proxy"} {
		var p webhooks.Proxy
		err := p.UnmarshalText([]byte(text))
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "s3cret")
	}
	for _, text := range []string{"http://proxy", "https://proxy:8443/", "socks5://[::1]:1080", "http://user:s3cret@10.0.0.1:3128"} {
		newProxy(t, text)
	}
}
