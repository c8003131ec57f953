package webhooks

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// explainTLS explains why there is no secure connection.
func explainTLS(err error) string {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return "the destination does not speak TLS: it answered in plain HTTP"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the destination does not speak TLS"
	}
	if fault := explainCertificate(err); fault != "" {
		return fault
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" { // an alert, whose type is not exported
		return "the destination ended the TLS handshake: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	_, said, ok := strings.Cut(err.Error(), "tls: ")
	switch {
	case !ok:
		return ""
	case strings.Contains(said, "unsupported protocol version"):
		return "the destination speaks no TLS of version 1.2 or later"
	}
	return "there is no secure connection: " + said
}

// explainCertificate explains what is wrong with a certificate.
func explainCertificate(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		if strings.Contains(invalid.Detail, "is before") {
			return "the certificate is not valid before " + onDay(invalid.Cert.NotBefore)
		}
		return "the certificate expired on " + onDay(invalid.Cert.NotAfter)
	}
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is not for " + wrong.Host + " but for " + hostsOf(wrong.Certificate)
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if unknown.Cert != nil && bytes.Equal(unknown.Cert.RawIssuer, unknown.Cert.RawSubject) {
			return "the certificate is signed by itself, not by an authority that is trusted"
		}
		return "the certificate is not signed by an authority that is trusted, or one in between was not sent along"
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate was not accepted: " + strings.TrimPrefix(cert.Err.Error(), "x509: ")
	}
	return ""
}

// onDay returns a time as people read it.
func onDay(t time.Time) string { return t.UTC().Format("2006-01-02 at 15:04 UTC") }

// hostsOf returns whom a certificate is for: some of them, if they are many.
func hostsOf(cert *x509.Certificate) string {
	hosts := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	const most = 3
	switch {
	case len(hosts) == 0:
		return "no host"
	case len(hosts) > most:
		return strings.Join(hosts[:most], ", ") + " and others"
	}
	return strings.Join(hosts, ", ")
}
