package webhooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// Bounds of an answer.
const (
	maxBody        = 1 << 20 // bytes read of it
	keptBody       = 1 << 10 // bytes recorded of it
	maxHeaderBytes = 64 << 10
	keptHeaders    = 20
	keptHeader     = 200 // bytes of a header's name, and of its value
	keptFault      = 500 // bytes of an error's text, which may quote the answer
)

// A Sender makes requests to destinations. It is safe for concurrent use.
type Sender struct {
	client    *http.Client
	userAgent string
	now       func() time.Time
}

// NewSender returns a sender whose requests take a route and name version in their User-Agent.
func NewSender(route Route, version string) *Sender {
	return &Sender{
		userAgent: "OpenProspect-Ledger/" + version, now: time.Now,
		client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport:     route.transport(),
		},
	}
}

// A request is one attempt to be made.
type request struct {
	dispatch domain.DispatchID
	origin   string // of its trace: see traceOf
	attempt  int
	sequence int64 // 0: of a test, which counts in no sequence
	trace    eventstore.Trace
	body     []byte
}

// An answer is what came of a request. Fault is empty when the destination took it.
type answer struct {
	startedAt  time.Time
	took       time.Duration
	status     int               // 0: there was none
	sent       map[string]string // the request's headers
	headers    map[string]string
	body       string
	fault      string
	cause      outcome // of the fault, if that is no status
	retryAfter time.Duration
}

// send makes one request, with the endpoint's time limit over all of it. It never fails:
// whatever goes wrong is an answer. Where the endpoint takes access tokens, the time limit is also
// over getting one, and a token in use that is answered with 401 is renewed and the request
// made once more.
func (s *Sender) send(ctx context.Context, ep endpoint, r request) (a answer) {
	timeout := time.Duration(ep.TimeoutSeconds) * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	startedAt := s.now()
	defer func() { a.startedAt, a.took = startedAt, s.now().Sub(startedAt) }()
	if ep.tokens == nil {
		return s.exchange(ctx, ep, r, "")
	}
	token, used, err := ep.tokens.take(ctx, s.client, "")
	if err == nil {
		a = s.exchange(ctx, ep.hide(token), r, token)
		if a.status != http.StatusUnauthorized || !used {
			return a
		}
		token, _, err = ep.tokens.take(ctx, s.client, token)
	}
	if err != nil {
		return answer{fault: ep.clip(explainToken(err, timeout), keptFault), cause: outcomeToken}
	}
	return s.exchange(ctx, ep.hide(token), r, token)
}

// exchange sends the request and reads its answer.
func (s *Sender) exchange(ctx context.Context, ep endpoint, r request, token string) (a answer) {
	timeout := time.Duration(ep.TimeoutSeconds) * time.Second
	now := s.now()
	req, err := s.newRequest(ctx, ep, r, now)
	if err != nil {
		a.fault, a.cause = err.Error(), outcomeOther
		return a
	}
	ep.authorize(req, token)
	a.sent = sent(req.Header, ep)
	resp, err := s.client.Do(req)
	if err != nil {
		a.fault, a.cause = ep.clip(explain(err, timeout), keptFault), outcomeOf(err)
		return a
	}
	defer resp.Body.Close()
	a.status, a.headers, a.retryAfter = resp.StatusCode, keep(resp.Header, ep), retryAfter(resp, now)
	a.body, err = readBody(resp, ep)
	if a.fault = statusFault(a.status); a.fault == "" && err != nil {
		a.fault, a.cause = ep.clip("reading the answer: "+explain(err, timeout), keptFault), outcomeOf(err)
	}
	return a
}

// readBody reads the body of an answer, up to maxBody, and returns what is recorded of it.
func readBody(resp *http.Response, ep endpoint) (string, error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return "", nil // what follows has no end, and the time limit no longer holds
	}
	body := io.LimitReader(resp.Body, maxBody)
	head, err := io.ReadAll(io.LimitReader(body, keptBody+ep.longestSecret())) // to clip a secret whole
	if err == nil {
		_, err = io.Copy(io.Discard, body)
	}
	return ep.clip(string(head), keptBody), err
}

// newRequest returns the request as it goes out (contract, section 7).
func (s *Sender) newRequest(ctx context.Context, ep endpoint, r request, now time.Time) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, ep.URL, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	h := req.Header
	for name, value := range ep.Headers {
		h.Set(name, value)
	}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", s.userAgent)
	h.Set("Webhook-Id", string(r.dispatch))
	h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if signed := signatures(ep.signing, string(r.dispatch), now, r.body); signed != "" {
		h.Set("Webhook-Signature", signed)
	}
	h.Set("Ledger-Attempt", strconv.Itoa(r.attempt))
	if r.sequence > 0 {
		h.Set("Ledger-Sequence", strconv.FormatInt(r.sequence, 10))
	}
	h.Set("Traceparent", r.trace.Parent)
	if r.trace.State != "" {
		h.Set("Tracestate", r.trace.State)
	}
	return req, nil
}

// redacted stands for what must not be recorded.
const redacted = "[redacted]"

// sent returns what is recorded of a request's headers: nothing that tells a secret.
func sent(h http.Header, ep endpoint) map[string]string {
	kept := make(map[string]string, len(h))
	for name := range h {
		value := strings.Join(h[name], ", ")
		kept[name] = ep.clip(value, len(value))
		if name == "Authorization" || name == ep.HeaderName || kept[name] != value {
			kept[name] = redacted
		}
	}
	return kept
}

// keep returns what is recorded of an answer's headers.
func keep(h http.Header, ep endpoint) map[string]string {
	kept := make(map[string]string, len(h))
	for _, name := range slices.Sorted(headerNames(h)) {
		if len(kept) == keptHeaders {
			break
		}
		kept[name] = ep.clip(strings.Join(h[name], ", "), keptHeader)
	}
	return kept
}

// headerNames yields the names that are worth keeping.
func headerNames(h http.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range h {
			if name != "Set-Cookie" && len(name) <= keptHeader && !yield(name) {
				return
			}
		}
	}
}

// retryAfter returns the wait that a 429 or 503 asks for, in either form (RFC 9110, section
// 10.2.3), and 0 when it asks for none. A number that is too large is a very long wait.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
