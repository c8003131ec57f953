package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A journal is a receiver that keeps every request that it got, and what it answered.
type journal struct {
	url    string
	answer answer

	mu    sync.Mutex
	calls []*call
}

// An answer answers a request. Before it does it tells with which status; it tells nothing when it
// does not answer, and the connection is closed.
type answer func(w http.ResponseWriter, r *http.Request, c call, tell func(status int))

// A call is a request that a journal got.
type call struct {
	dispatch string // the webhook-id
	attempt  int    // its number, as the request says
	company  string
	body     string
	at       time.Time
	status   int // that it was answered with; 0: with none
}

// A callKey names an attempt.
type callKey struct {
	dispatch string
	attempt  int
}

// key names the attempt that the call is of.
func (c call) key() callKey { return callKey{c.dispatch, c.attempt} }

// newJournal starts a journal, which ends with the test.
func newJournal(tb testing.TB, answer answer) *journal {
	tb.Helper()
	j := &journal{answer: answer}
	server := httptest.NewServer(j)
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	j.url = server.URL
	return j
}

// ServeHTTP keeps a request and answers it.
func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it was not sent whole
	}
	var sent struct {
		Data struct {
			Company struct{ ID string }
		}
	}
	number, numberErr := strconv.Atoi(r.Header.Get("Ledger-Attempt"))
	if json.Unmarshal(body, &sent) != nil || numberErr != nil {
		panic("no webhook: " + string(body))
	}
	c := &call{
		dispatch: r.Header.Get("Webhook-Id"), attempt: number, company: sent.Data.Company.ID,
		body: string(body), at: time.Now(),
	}
	j.mu.Lock()
	j.calls = append(j.calls, c)
	seen := *c
	j.mu.Unlock()
	told := false
	j.answer(w, r, seen, func(status int) {
		told = true
		j.mu.Lock()
		c.status = status
		j.mu.Unlock()
	})
	if !told {
		panic(http.ErrAbortHandler)
	}
}

// all returns the requests so far.
func (j *journal) all() []call {
	j.mu.Lock()
	defer j.mu.Unlock()
	calls := make([]call, len(j.calls))
	for i, c := range j.calls {
		calls[i] = *c
	}
	return calls
}

// of returns the requests so far about a company.
func (j *journal) of(company string) []call {
	return slices.DeleteFunc(j.all(), func(c call) bool { return c.company != company })
}

// got returns how many requests there were about a company.
func (j *journal) got(company string) int { return len(j.of(company)) }

// await waits until there are n requests, and returns them.
func (j *journal) await(tb testing.TB, n int) []call {
	tb.Helper()
	require.Eventually(tb, func() bool { return len(j.all()) >= n }, patience, pollEvery, "no %d webhooks", n)
	return j.all()
}

// taken answers 200.
func taken(w http.ResponseWriter, _ *http.Request, _ call, tell func(int)) {
	tell(http.StatusOK)
	w.WriteHeader(http.StatusOK)
}
