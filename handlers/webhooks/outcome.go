package webhooks

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// An outcome says in a word what came of an attempt. There are few, so that metrics can be
// told apart by it; an attempt's fault says more.
type outcome string

// The outcomes, besides those of answers that were complete and no success: see statusOutcome.
const (
	outcomeSuccess outcome = "success"
	outcomeTimeout outcome = "timeout" // no complete answer in time
	outcomeDNS     outcome = "dns"     // the name could not be resolved
	outcomeRefused outcome = "refused" // the connection was
	outcomeClosed  outcome = "closed"  // the connection was, before the answer was complete
	outcomeTLS     outcome = "tls"     // no secure connection came about
	outcomeBlocked outcome = "blocked" // the address may not be called
	outcomeToken   outcome = "token"   // none could be had to call the destination with
	outcomeOther   outcome = "other"
)

// outcomes are all there are.
var outcomes = []outcome{
	outcomeSuccess, outcomeTimeout, outcomeDNS, outcomeRefused, outcomeClosed, outcomeTLS, outcomeBlocked, outcomeToken, outcomeOther,
	statusOutcome(100), statusOutcome(300), statusOutcome(400), statusOutcome(500),
}

// statusOutcome returns that of an answer which was no success: status_4xx for 404.
func statusOutcome(status int) outcome {
	if class := status / 100; class >= 1 && class <= 5 && class != 2 {
		return outcome("status_" + strconv.Itoa(class) + "xx")
	}
	return outcomeOther
}

// outcome returns what came of the attempt.
func (a answer) outcome() outcome {
	switch {
	case a.fault == "":
		return outcomeSuccess
	case a.cause != "":
		return a.cause
	default:
		return statusOutcome(a.status)
	}
}

// outcomeOf returns the outcome of an attempt that err ended.
func outcomeOf(err error) outcome {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var header tls.RecordHeaderError
	var op *net.OpError
	var netErr net.Error
	switch {
	case errors.Is(err, ErrForbidden), errors.Is(err, ErrPort):
		return outcomeBlocked
	case errors.As(err, &netErr) && netErr.Timeout():
		return outcomeTimeout
	case errors.As(err, &dns):
		return outcomeDNS
	case errors.As(err, &cert), errors.As(err, &header), errors.As(err, &op) && strings.HasSuffix(op.Op, " error"), // an alert, remote or local
		strings.Contains(err.Error(), "tls: "): // most of crypto/tls' errors have no type
		return outcomeTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return outcomeRefused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return outcomeClosed
	}
	return outcomeOther
}
