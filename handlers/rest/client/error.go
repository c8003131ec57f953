package client

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An Error is an answer that is no success.
type Error struct {
	// Status is the answer's: 404.
	Status int

	// Problem is what the ledger says of it. Its Code is what to switch on; it is empty when
	// something between answered.
	Problem Problem

	// RetryAfter is how long to wait before the same request may succeed, 0 when the answer
	// does not say.
	RetryAfter time.Duration

	text string // of the body, when it is no problem
}

// Bounds of an error's body, in bytes.
const (
	maxProblem = 1 << 20 // read of it
	maxText    = 1 << 10 // told of one that is no problem
)

// newError returns the error that an answer is, and closes its body.
func newError(resp *http.Response) error {
	defer resp.Body.Close()
	e := &Error{Status: resp.StatusCode}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil || json.Unmarshal(body, &e.Problem) != nil || e.Problem.Message == "" {
		e.Problem, e.text = Problem{}, string(bytes.TrimSpace(body[:min(len(body), maxText)]))
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(max(0, seconds)) * time.Second
	}
	return e
}

// Error returns the status and, in one line, all that is wrong.
func (e *Error) Error() string {
	why := cmp.Or(e.Problem.Details.faults(), e.Problem.Message, e.text)
	return strings.TrimSuffix(strconv.Itoa(e.Status)+" "+http.StatusText(e.Status)+": "+why, ": ")
}

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// Error returns, in one line, all that is wrong with the item.
func (e ItemError) Error() string { return cmp.Or(e.Details.faults(), e.Message) }

// faults returns the faults of a request in one line, "" when there are none.
func (d *ProblemDetails) faults() string {
	if d == nil || d.ValidationErrors == nil {
		return ""
	}
	texts := make([]string, len(*d.ValidationErrors))
	for i, fault := range *d.ValidationErrors {
		texts[i] = fault.Field + " " + fault.Error
	}
	return strings.Join(texts, "; ")
}
