package webhooks

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http2"
)

// statusText returns a status as people read it.
func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// statusFault says why a status is a failure; it is empty for 2xx, which is none.
func statusFault(status int) string {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return "the destination answered " + statusText(status) + ": redirects are not followed"
	}
	if status >= 200 && status <= 299 {
		return ""
	}
	return "the destination answered " + statusText(status)
}

// Faults that come in several forms.
const (
	faultClosed  = "the connection was closed before the answer was complete"
	faultReset   = "the connection was reset before the answer was complete"
	faultHeaders = "the headers of the answer are larger than 64 KiB" // maxHeaderBytes
)

// explain says in plain words why there was no answer. It tells nothing of the ledger's own network.
func explain(err error, timeout time.Duration) string {
	var netErr net.Error
	switch {
	case errors.Is(err, ErrForbidden):
		return ErrForbidden.Error()
	case errors.Is(err, ErrPort):
		return ErrPort.Error()
	case errors.As(err, &netErr) && netErr.Timeout():
		return "no complete answer within " + timeout.String()
	}
	for _, said := range []func(error) string{explainProxy, explainName, explainTLS, explainConnection, explainHTTP} {
		if fault := said(err); fault != "" {
			return fault
		}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err.Error() // without the addresses of both ends
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner // without the method and the URL, which are known
	}
	return err.Error()
}

// explainProxy explains what the egress proxy did.
func explainProxy(err error) string {
	if proxied, ok := errors.AsType[*proxyError](err); ok {
		return proxied.Error()
	}
	return ""
}

// explainName explains why a name has no address.
func explainName(err error) string {
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return ""
	case dns.IsNotFound:
		return "the name " + dns.Name + " could not be resolved: there is no such host"
	}
	return "the name " + dns.Name + " could not be resolved: no name server gave an answer"
}

// explainConnection explains why there is no connection, or no more.
func explainConnection(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to the address"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return faultReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return faultClosed
	}
	return ""
}

// explainHTTP explains what is no answer. Most of its errors have no types.
func explainHTTP(err error) string {
	said := err.Error()
	for _, c := range []struct{ part, fault string }{
		{"server response headers exceeded", faultHeaders},
		{"response header list larger", faultHeaders},
		{"header list too large", faultHeaders},
		{"server sent GOAWAY", faultClosed},
		{"server closed idle connection", faultClosed},
		{"client connection lost", faultClosed},
	} {
		if strings.Contains(said, c.part) {
			return c.fault
		}
	}
	if _, malformed, ok := strings.Cut(said, "malformed "); ok {
		return "the answer is not HTTP: malformed " + malformed
	}
	if _, code, ok := strings.Cut(said, "connection error: "); ok {
		return "the answer breaks the rules of HTTP/2 (" + code + "), or its headers are larger than 64 KiB"
	}
	if _, ok := errors.AsType[http2.StreamError](err); ok {
		return faultReset
	}
	return ""
}
