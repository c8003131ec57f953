package webhooks_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
)

func TestAnswersByHTTP2CountAsThoseByHTTP1(t *testing.T) {
	t.Parallel()
	b := setup(t)
	written := make(chan int, 1)
	answers := map[string]struct {
		answer http.HandlerFunc
		status int
		want   string
	}{
		"/accepted": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, 202, ""},
		"/moved": {
			func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, "/accepted", http.StatusFound) },
			302, "the destination answered 302 Found: redirects are not followed",
		},
		"/broken": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "the connection was reset before the answer was complete"},
		"/cut": {
			func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "hello")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			},
			200, "reading the answer: the connection was reset before the answer was complete",
		},
		"/silent":  {func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }, 0, "no complete answer within 1s"},
		"/dripped": {drips, 200, "reading the answer: no complete answer within 1s"},
		"/headers": {large(70), 0, "the headers of the answer are larger than 64 KiB"},
		"/huge":    {large(300), 0, "the answer breaks the rules of HTTP/2 (PROTOCOL_ERROR), or its headers are larger than 64 KiB"},
		"/flood": {func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Link", "</"+strings.Repeat("y", 1000)+">")
			for req.Context().Err() == nil {
				w.WriteHeader(http.StatusEarlyHints)
			}
		}, 0, "the headers of the answer are larger than 64 KiB"},
		"/endless": {func(w http.ResponseWriter, _ *http.Request) {
			chunk, n, err := bytes.Repeat([]byte("x"), 1<<14), 0, error(nil)
			for m := 0; err == nil; n += m {
				m, err = w.Write(chunk)
			}
			written <- n
		}, 200, ""},
	}
	var mu sync.Mutex
	connections := map[string]bool{}
	server := newQuietServer(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		connections[req.Proto+" "+req.RemoteAddr] = true
		mu.Unlock()
		_, _ = io.Copy(io.Discard, req.Body)
		answers[req.URL.Path].answer(w, req)
	}), func(s *httptest.Server) { s.EnableHTTP2 = true })
	sender := webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(true), Roots: authorities(server)}, "test")
	for path, test := range answers {
		dst := destination(server.URL + path)
		if strings.Contains(test.want, "within 1s") {
			dst.TimeoutSeconds = 1
		}
		d := b.delivery(t, dst)
		tested := b.test(t, d, dst.ID, sender)
		require.Equal(t, test.want, tested.Error, path)
		require.Equal(t, test.status, tested.Status, path)
		require.Less(t, time.Duration(tested.Microseconds)*time.Microsecond, soon, path)
	}
	n := <-written
	require.GreaterOrEqual(t, n, 1<<20)
	require.Less(t, n, 32<<20)
	for by := range connections {
		require.Regexp(t, `^HTTP/2\.0 `, by)
	}
}

// large answers with headers of n thousand bytes.
func large(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := range n {
			w.Header().Set("X-"+strconv.Itoa(i), strings.Repeat("y", 1000))
		}
	}
}

// drips sends a body a byte at a time, without end.
func drips(w http.ResponseWriter, req *http.Request) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, _ = io.WriteString(w, ".")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-tick.C:
		case <-req.Context().Done():
			return
		}
	}
}

func TestDispatchesGoOutByHTTP2OverOneConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var mu sync.Mutex
	connections, got := map[string]int{}, 0
	server := newQuietServer(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		mu.Lock()
		defer mu.Unlock()
		connections[req.RemoteAddr]++
		if req.ProtoMajor == 2 {
			got++
		}
	}), func(s *httptest.Server) { s.EnableHTTP2 = true })
	b.cfg.Sender = webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(true), Roots: authorities(server)}, "test")
	d := b.delivery(t, destination(server.URL))
	b.work(t)
	b.qualify(t, d, names(200)...)
	b.awaitCounts(t, d, map[domain.DispatchStatus]int64{domain.Delivered: 200})
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, 200, got)
	require.Less(t, len(connections), 20, "many at a time share one")
}
