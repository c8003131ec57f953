package webhooks

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// statusText returns a status as people read it.
func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// explain says in plain words why there was no answer.
func explain(err error, timeout time.Duration) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var netErr net.Error
	var proxied *proxyError
	switch {
	case errors.Is(err, ErrForbidden):
		return ErrForbidden.Error()
	case errors.Is(err, ErrPort):
		return ErrPort.Error()
	case errors.As(err, &netErr) && netErr.Timeout():
		return "no complete answer within " + timeout.String()
	case errors.As(err, &proxied):
		return proxied.Error()
	case errors.As(err, &dns):
		return "the name " + dns.Name + " could not be resolved: " + dns.Err
	case errors.As(err, &cert):
		return "the certificate was not accepted: " + cert.Err.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the connection was closed before the answer was complete"
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner // without the method and the URL, which are known
	}
	return err.Error()
}
