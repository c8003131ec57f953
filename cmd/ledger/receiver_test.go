package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A receiver takes webhooks and keeps them.
type receiver struct {
	url    string
	answer func(n int) int // status of the answer to the n-th request, from 1

	mu   sync.Mutex
	kept []webhook
}

// A webhook is a request that a receiver got.
type webhook struct {
	at     time.Time
	path   string
	header http.Header
	body   string
}

// newReceiver starts a receiver.
func newReceiver(tb testing.TB, answer func(n int) int) *receiver {
	tb.Helper()
	r := &receiver{answer: answer}
	server := httptest.NewServer(r)
	tb.Cleanup(server.Close)
	r.url = server.URL + "/webhooks/openprospect"
	return r
}

// ServeHTTP keeps a request and answers it.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	r.kept = append(r.kept, webhook{at: time.Now(), path: req.URL.Path, header: req.Header, body: string(body)})
	n := len(r.kept)
	r.mu.Unlock()
	w.WriteHeader(r.answer(n))
}

// got returns the requests so far.
func (r *receiver) got() []webhook {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.kept)
}

// await waits until there are n requests, and returns them.
func (r *receiver) await(tb testing.TB, n int) []webhook {
	tb.Helper()
	require.Eventually(tb, func() bool { return len(r.got()) >= n }, patience, 5*time.Millisecond, "no %d webhooks", n)
	return r.got()
}

// ok answers every request with 200.
func ok(int) int { return http.StatusOK }

// awaitCount waits until so many of a delivery's dispatches are in a state.
func (c client) awaitCount(tb testing.TB, delivery, state string, n int) {
	tb.Helper()
	require.Eventually(tb, func() bool { return c.counts(tb, delivery)[state] == n }, patience, 10*time.Millisecond,
		"no %d dispatches are %s", n, state)
}

// qualify hands a company over under a delivery.
func (c client) qualify(tb testing.TB, delivery, company string) {
	tb.Helper()
	c.must(tb, http.StatusOK, http.MethodPost, "/api/v1/deliveries/"+delivery+"/qualifications", qualification(company))
}
