package webhooks_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
)

// answersTo makes one attempt at each of the URLs and returns their outcomes, in order. A failure is
// tried again an hour later, not before.
func answersTo(t *testing.T, urls ...string) []domain.Event {
	t.Helper()
	return answersWithin(t, time.Minute, urls...)
}

// answersWithin is answersTo with a time limit, in whole seconds.
func answersWithin(t *testing.T, limit time.Duration, urls ...string) []domain.Event {
	t.Helper()
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	destinations := make([]domain.Destination, len(urls))
	for i, url := range urls {
		destinations[i] = destination(url)
		destinations[i].TimeoutSeconds = int(limit.Seconds())
	}
	d := b.delivery(t, destinations...)
	b.work(t)
	handOver := b.qualify(t, d, "comp_1")[0]
	outcomes := make([]domain.Event, len(urls))
	for i, dst := range destinations {
		outcomes[i] = b.events(t, domain.DispatchIDFor(handOver, dst.ID), 1)[0]
	}
	return outcomes
}

func TestAny2xxIsSuccess(t *testing.T) {
	t.Parallel()
	statuses := []int{200, 201, 202, 204, 206, 299}
	var urls []string
	for _, status := range statuses {
		urls = append(urls, newReceiver(t, always(status)).URL)
	}
	for i, e := range answersTo(t, urls...) {
		require.IsType(t, domain.AttemptSucceeded{}, e, statuses[i])
		require.Equal(t, statuses[i], e.(domain.AttemptSucceeded).Status)
	}
}

func TestAnyOtherStatusFailsAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	statuses := map[int]string{
		300: "the destination answered 300 Multiple Choices", 304: "the destination answered 304 Not Modified",
		400: "the destination answered 400 Bad Request", 401: "the destination answered 401 Unauthorized",
		404: "the destination answered 404 Not Found", 422: "the destination answered 422 Unprocessable Entity",
		429: "the destination answered 429 Too Many Requests", 500: "the destination answered 500 Internal Server Error",
		503: "the destination answered 503 Service Unavailable", 599: "the destination answered 599",
	}
	var urls []string
	for status := range statuses {
		urls = append(urls, newReceiver(t, always(status)).URL)
	}
	for _, e := range answersTo(t, urls...) {
		require.IsType(t, domain.AttemptFailed{}, e)
		failed := e.(domain.AttemptFailed)
		require.Equal(t, statuses[failed.Status], failed.Error)
		require.NotNil(t, failed.Due)
		require.WithinDuration(t, failed.StartedAt.Add(time.Hour), *failed.Due, soon)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := newReceiver(t, ok)
	var urls []string
	for _, status := range []int{301, 302, 303, 307, 308} {
		urls = append(urls, newReceiver(t, func(w http.ResponseWriter, _ int) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(status)
		}).URL)
	}
	for _, e := range answersTo(t, urls...) {
		require.IsType(t, domain.AttemptFailed{}, e)
		require.Regexp(t, "^the destination answered 30[12378] .*: redirects are not followed$", e.(domain.AttemptFailed).Error)
		require.Equal(t, elsewhere.URL, e.(domain.AttemptFailed).ResponseHeaders["Location"])
	}
	require.Empty(t, elsewhere.all())
}

func TestLongerRetryAfterIsHonouredOf429And503Alone(t *testing.T) {
	t.Parallel()
	const schedule, day = time.Hour, 24 * time.Hour
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tests := []struct {
		status     int
		retryAfter string
		want       time.Duration
	}{
		{429, "7200", 2 * time.Hour},
		{503, "7200", 2 * time.Hour},
		{429, in(3 * time.Hour), 3 * time.Hour},
		{503, in(3 * time.Hour), 3 * time.Hour},
		{503, "90000", day},
		{429, "99999999999999999999", day},
		{503, in(72 * time.Hour), day},
		{429, "60", schedule},
		{503, in(time.Minute), schedule},
		{503, in(-day), schedule},
		{429, "soon", schedule},
		{429, "-7200", schedule},
		{429, "", schedule},
		{500, "7200", schedule},
		{502, in(3 * time.Hour), schedule},
		{404, "7200", schedule},
		{302, "7200", schedule},
	}
	var urls []string
	for _, test := range tests {
		urls = append(urls, newReceiver(t, func(w http.ResponseWriter, _ int) {
			w.Header().Set("Retry-After", test.retryAfter)
			w.WriteHeader(test.status)
		}).URL)
	}
	for i, e := range answersTo(t, urls...) {
		failed := e.(domain.AttemptFailed)
		require.NotNil(t, failed.Due)
		require.WithinDuration(t, failed.StartedAt.Add(tests[i].want), *failed.Due, soon, "%+v", tests[i])
	}
}

func TestRetryAfterCountsEvenIfTheBodyNeverEnds(t *testing.T) {
	t.Parallel()
	e := answersWithin(t, time.Second, newSocket(t, says("HTTP/1.1 503 Busy\r\nRetry-After: 7200\r\nContent-Length: 10\r\n\r\nno")))[0]
	failed := e.(domain.AttemptFailed)
	require.Equal(t, "the destination answered 503 Service Unavailable", failed.Error)
	require.WithinDuration(t, failed.StartedAt.Add(2*time.Hour), *failed.Due, soon)
	require.Equal(t, "no", failed.ResponseBody)
}

func TestTimeLimitHoldsOverConnectionHeadersAndBody(t *testing.T) {
	t.Parallel()
	drip := func(head, drop string) func(net.Conn, <-chan struct{}) {
		return func(conn net.Conn, done <-chan struct{}) {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			_, err := io.WriteString(conn, head)
			for err == nil {
				select {
				case <-tick.C:
					_, err = io.WriteString(conn, drop)
				case <-done:
					return
				}
			}
		}
	}
	deaf := listen(t) // takes connections, but never looks at them
	t.Cleanup(func() { deaf.Close() })
	tests := []struct {
		url    string
		status int // which counts for nothing, but is recorded
	}{
		{newSocket(t, says("")), 0},
		{newSocket(t, says("HTTP/1.1 200 OK\r\nContent-Le")), 0},
		{newSocket(t, drip("HTTP/1.1 200 OK\r\n", "X-Drop: 1\r\n")), 0},
		{newSocket(t, says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")), 200},
		{newSocket(t, drip("HTTP/1.1 202 Accepted\r\n\r\n", ".")), 202},
		{newSocket(t, drip("", "HTTP/1.1 100 Continue\r\n\r\n")), 0},
		{"http://" + deaf.Addr().String(), 0},
		{"https://" + deaf.Addr().String(), 0},
	}
	var urls []string
	for _, test := range tests {
		urls = append(urls, test.url)
	}
	for i, e := range answersWithin(t, time.Second, urls...) {
		require.IsType(t, domain.AttemptFailed{}, e, i)
		failed := e.(domain.AttemptFailed)
		require.Contains(t, failed.Error, "no complete answer within 1s", i)
		require.Equal(t, tests[i].status, failed.Status, i)
		took := time.Duration(failed.Microseconds) * time.Microsecond
		require.GreaterOrEqual(t, took, 990*time.Millisecond)
		require.Less(t, took, soon)
	}
}

func TestSwitchedProtocolsAreAFailureWithAnEnd(t *testing.T) {
	t.Parallel()
	e := answersTo(t, newSocket(t, says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhello")))[0]
	require.Equal(t, "the destination answered 101 Switching Protocols", e.(domain.AttemptFailed).Error)
}

func TestEndlessBodyIsCutAndSucceeds(t *testing.T) {
	t.Parallel()
	written := make(chan int, 1)
	endless := newSocket(t, func(conn net.Conn, _ <-chan struct{}) {
		_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		chunk, n := strings.Repeat("x", 1<<16), 0
		for err == nil {
			var m int
			m, err = io.WriteString(conn, chunk)
			n += m
		}
		written <- n
	})
	e := answersTo(t, endless)[0]
	require.IsType(t, domain.AttemptSucceeded{}, e)
	require.Equal(t, strings.Repeat("x", 1024), e.(domain.AttemptSucceeded).ResponseBody)
	n := <-written
	require.GreaterOrEqual(t, n, 1<<20)
	require.Less(t, n, 32<<20, "what its socket holds, and no more")
}

func TestCompressedBodyIsNotUnpacked(t *testing.T) {
	t.Parallel()
	var member bytes.Buffer
	packer := gzip.NewWriter(&member)
	_, err := packer.Write(make([]byte, 1<<20))
	require.NoError(t, err)
	require.NoError(t, packer.Close())
	bomb := bytes.Repeat(member.Bytes(), 1<<10) // unpacks to 1 GiB
	accepted := make(chan string, 1)
	r := newReceiver(t, nil)
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		accepted <- req.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb)
	})
	succeeded := answersTo(t, r.URL)[0].(domain.AttemptSucceeded)
	require.Empty(t, <-accepted, "nobody asked for it")
	require.Equal(t, strings.ToValidUTF8(string(bomb[:1024]), "\uFFFD"), succeeded.ResponseBody)
	require.Equal(t, "gzip", succeeded.ResponseHeaders["Content-Encoding"])
}

func TestFloodOfInformationEnds(t *testing.T) {
	t.Parallel()
	for status, line := range map[int]string{
		100: "HTTP/1.1 100 Continue\r\nX-Flood: " + strings.Repeat("x", 1000) + "\r\n\r\n",
		103: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
	} {
		flood := newSocket(t, func(conn net.Conn, _ <-chan struct{}) {
			var err error
			for err == nil {
				_, err = io.WriteString(conn, line)
			}
		})
		failed := answersTo(t, flood)[0].(domain.AttemptFailed)
		require.Equal(t, "the headers of the answer are larger than 64 KiB", failed.Error, status)
		require.Zero(t, failed.Status)
	}
	few := newSocket(t, says("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"))
	require.Equal(t, 204, answersTo(t, few)[0].(domain.AttemptSucceeded).Status, "some are no harm")
}

// resets ends a connection at once, with what was said unread.
func resets(conn net.Conn, _ <-chan struct{}) { _ = conn.(*net.TCPConn).SetLinger(0) }

func TestWhyThereWasNoAnswerIsSaidPlainly(t *testing.T) {
	t.Parallel()
	closed := listen(t)
	refusing := "http://" + closed.Addr().String()
	require.NoError(t, closed.Close())
	tests := []struct{ url, want string }{
		{refusing, "the connection was refused"},
		{newSocket(t, func(net.Conn, <-chan struct{}) {}), "the connection was closed before the answer was complete"},
		{newSocket(t, resets), "the connection was reset before the answer was complete"},
		{newSocket(t, func(conn net.Conn, _ <-chan struct{}) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		}), "reading the answer: the connection was closed before the answer was complete"},
		{newSocket(t, func(conn net.Conn, _ <-chan struct{}) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
		}), "reading the answer: the connection was closed before the answer was complete"},
		{
			newSocket(t, func(conn net.Conn, _ <-chan struct{}) { _, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Le") }),
			`the answer is not HTTP: malformed MIME header: missing colon: "Content-Le"`,
		},
		{
			newSocket(t, func(conn net.Conn, _ <-chan struct{}) { _, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n") }),
			"the connection was closed before the answer was complete",
		},
		{newSocket(t, says("SSH-2.0-OpenSSH_9.6\r\n\r\n")), `the answer is not HTTP: malformed HTTP response "SSH-2.0-OpenSSH_9.6"`},
		{newSocket(t, says("HTTP/1.1 OK\r\n\r\n")), `the answer is not HTTP: malformed HTTP status code "OK"`},
		{
			newSocket(t, says("HTTP/1.1 200 OK\r\n"+strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 100)+"\r\n")),
			"the headers of the answer are larger than 64 KiB",
		},
	}
	var urls []string
	for _, test := range tests {
		urls = append(urls, test.url)
	}
	for i, e := range answersTo(t, urls...) {
		require.IsType(t, domain.AttemptFailed{}, e, tests[i].url)
		failed := e.(domain.AttemptFailed)
		require.Equal(t, tests[i].want, failed.Error, tests[i].url)
		require.Equal(t, strings.HasPrefix(failed.Error, "reading the answer"), failed.Status == 200)
	}
}

func TestWhyANameHasNoAddressIsSaidPlainly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dst := destination("http://nobody.test/hook")
	dst.TimeoutSeconds = 1
	d := b.delivery(t, dst)
	deaf := newNameServer(t)
	require.NoError(t, deaf.conn.Close())
	for want, names := range map[string]*nameServer{
		"the name nobody.test could not be resolved: there is no such host":         newNameServer(t),
		"the name nobody.test could not be resolved: no name server gave an answer": deaf,
	} {
		sender := webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(true), Resolver: names.resolver()}, "test")
		tested := b.test(t, d, dst.ID, sender)
		require.Equal(t, want, tested.Error)
		require.Zero(t, tested.Status)
	}
}

func TestBeginningOfTheAnswerIsRecorded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 1000)
	r := newReceiver(t, func(w http.ResponseWriter, _ int) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Add("X-Many", "1")
		w.Header().Add("X-Many", "2")
		w.Header().Set("X-Long", strings.Repeat("v", 5000))
		w.Header().Set(strings.Repeat("N", 5000), "1")
		w.Header().Set("Set-Cookie", "session=1234")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, long)
	})
	crowded := newReceiver(t, func(w http.ResponseWriter, _ int) {
		for i := range 100 {
			w.Header().Set("X-"+strconv.Itoa(i), "1")
		}
	})
	outcomes := answersTo(t, r.URL, crowded.URL)
	failed := outcomes[0].(domain.AttemptFailed)
	require.Equal(t, long[:1024], failed.ResponseBody)
	require.Equal(t, "text/plain", failed.ResponseHeaders["Content-Type"])
	require.Equal(t, "1, 2", failed.ResponseHeaders["X-Many"])
	require.Equal(t, strings.Repeat("v", 200), failed.ResponseHeaders["X-Long"])
	require.NotContains(t, failed.ResponseHeaders, "Set-Cookie")
	for name := range failed.ResponseHeaders {
		require.LessOrEqual(t, len(name), 200)
	}
	require.Len(t, outcomes[1].(domain.AttemptSucceeded).ResponseHeaders, 20)
}

func TestAnswerThatIsNoTextIsRecordedAllTheSame(t *testing.T) {
	t.Parallel()
	outcomes := answersTo(t,
		newSocket(t, says("HTTP/1.1 200 OK\r\nX-Odd: a\xffb\r\nContent-Length: 5\r\n\r\na\xff\xfeb\x80")),
		newSocket(t, says("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na\x00b")),
		newSocket(t, says("HTTP/1.1 500 Oh\x00no\r\nContent-Length: 3\r\n\r\n\x00\x00\x00")),
		newSocket(t, says("HTTP/1.1 200 OK\r\nX-Odd: a\x00b\r\nContent-Length: 0\r\n\r\n")),
		newSocket(t, says("HTTP/1.1 200 OK\r\n\x00\xff: 1\r\nContent-Length: 0\r\n\r\n")),
		newSocket(t, says("\x00\xff\xfe\r\n\r\n")),
	)
	require.Equal(t, "a\uFFFDb\uFFFD", outcomes[0].(domain.AttemptSucceeded).ResponseBody)
	require.Equal(t, "a\uFFFDb", outcomes[0].(domain.AttemptSucceeded).ResponseHeaders["X-Odd"])
	require.Equal(t, "a\x00b", outcomes[1].(domain.AttemptSucceeded).ResponseBody)
	require.Equal(t, "\x00\x00\x00", outcomes[2].(domain.AttemptFailed).ResponseBody)
	for _, e := range outcomes[3:] {
		require.NotNil(t, e)
	}
}

func TestDurationOfAnAttemptIsThatOfTheAnswer(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(http.ResponseWriter, int) { <-time.After(200 * time.Millisecond) })
	before := time.Now()
	succeeded := answersTo(t, r.URL)[0].(domain.AttemptSucceeded)
	require.GreaterOrEqual(t, succeeded.Microseconds, int64(200_000))
	require.Less(t, succeeded.Microseconds, time.Since(before).Microseconds())
	require.WithinRange(t, succeeded.StartedAt, before.Truncate(time.Microsecond), time.Now())
}
