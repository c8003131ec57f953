package webhooks_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/webhooks"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority returns an authority of that name.
func newAuthority(tb testing.TB, name string) authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(raw)
	require.NoError(tb, err)
	return authority{cert: cert, key: key}
}

// certificate returns a certificate for loopback, with its template changed by change.
func (a authority) certificate(tb testing.TB, change func(*x509.Certificate)) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "receiver"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(tb, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func TestFaultsOfTLSAreSaidPlainly(t *testing.T) {
	t.Parallel()
	known, unknown := newAuthority(t, "known"), newAuthority(t, "unknown")
	past := time.Date(2025, 3, 1, 12, 30, 0, 0, time.UTC)
	future := time.Now().Add(48 * time.Hour).UTC()
	with := func(cert tls.Certificate, change ...func(*tls.Config)) string {
		config := &tls.Config{Certificates: []tls.Certificate{cert}} //nolint:gosec // old versions are among what is tested
		for _, f := range change {
			f(config)
		}
		return newQuietServer(t, http.NotFoundHandler(), func(s *httptest.Server) { s.TLS = config }).URL
	}
	certified := func(change func(*x509.Certificate)) string { return with(known.certificate(t, change)) }
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	secured := func(url string) string { return strings.Replace(url, "http:", "https:", 1) }
	good := known.certificate(t, nil)
	sender := webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(true), Roots: pool(known)}, "test")
	b := setup(t)
	for _, test := range []struct{ url, want string }{
		{certified(nil), "the destination answered 404 Not Found"},
		{certified(func(c *x509.Certificate) { c.NotAfter = past }), "the certificate expired on 2025-03-01 at 12:30 UTC"},
		{
			certified(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = future, future.Add(time.Hour) }),
			"the certificate is not valid before " + future.Format("2006-01-02 at 15:04 UTC"),
		},
		{
			certified(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"crm.example", "www.crm.example"} }),
			"the certificate is not for 127.0.0.1 but for crm.example, www.crm.example",
		},
		{
			certified(func(c *x509.Certificate) {
				c.IPAddresses, c.DNSNames = nil, []string{"a.example", "b.example", "c.example", "d.example"}
			}),
			"the certificate is not for 127.0.0.1 but for a.example, b.example, c.example and others",
		},
		{certified(func(c *x509.Certificate) { c.IPAddresses = nil }), "the certificate is not for 127.0.0.1 but for no host"},
		{
			certified(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }),
			"the certificate was not accepted: certificate specifies an incompatible key usage",
		},
		{
			with(unknown.certificate(t, nil)),
			"the certificate is not signed by an authority that is trusted, or one in between was not sent along",
		},
		{
			with(tls.Certificate{Certificate: [][]byte{unknown.cert.Raw}, PrivateKey: unknown.key}, nil...),
			"the certificate is not for 127.0.0.1 but for no host",
		},
		{newQuietServer(t, http.NotFoundHandler()).URL, "the certificate is signed by itself, not by an authority that is trusted"},
		{
			with(good, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }),
			"the destination ended the TLS handshake: protocol version not supported",
		},
		{
			with(good, func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }),
			"the destination ended the TLS handshake: handshake failure",
		},
		{with(good, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }), "the destination ended the TLS handshake: certificate required"},
		{
			with(good, func(c *tls.Config) {
				c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
			}),
			"the destination ended the TLS handshake: handshake failure",
		},
		{
			with(good, func(c *tls.Config) {
				c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }
			}),
			"the destination ended the TLS handshake: internal error",
		},
		{secured(plain.URL), "the destination does not speak TLS: it answered in plain HTTP"},
		{secured(newListener(t, "SSH-2.0-OpenSSH_9.6\r\n")), "the destination does not speak TLS"},
		{secured(newListener(t, serverHello11)), "the destination speaks no TLS of version 1.2 or later"},
		{secured(newListener(t, "")), "the connection was closed before the answer was complete"},
	} {
		dst := destination(test.url)
		d := b.delivery(t, dst)
		require.Equal(t, test.want, b.test(t, d, dst.ID, sender).Error, test.url)
	}
}

// serverHello11 begins an answer in TLS 1.1, whatever was offered: a record of a handshake with a
// ServerHello of random zeros, no session, and a cipher suite.
const serverHello11 = "\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\xc0\x13\x00"

// newListener starts a server on loopback that says one text to whoever has said something, and
// returns its URL.
func newListener(tb testing.TB, text string) string {
	tb.Helper()
	listener := listen(tb)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 1<<16))
				_, _ = conn.Write([]byte(text))
			}()
		}
	}()
	tb.Cleanup(func() { listener.Close() })
	return "http://" + listener.Addr().String()
}

// pool returns the authorities as those that are trusted.
func pool(all ...authority) *x509.CertPool {
	roots := x509.NewCertPool()
	for _, a := range all {
		roots.AddCert(a.cert)
	}
	return roots
}
