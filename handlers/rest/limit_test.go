package rest_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/handlers/rest"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

// A movedClock is ahead of the real time.
type movedClock struct{ ahead atomic.Int64 }

// Now returns the time.
func (m *movedClock) Now() time.Time { return time.Now().Add(time.Duration(m.ahead.Load())) }

// move moves the clock on, and the database's with it, as far as windows are concerned.
func (m *movedClock) move(tb testing.TB, f *fixtures, by time.Duration) {
	tb.Helper()
	_, err := f.pool.Exec(tb.Context(), `UPDATE rate_windows SET ends_at = ends_at - $1::interval`, by)
	require.NoError(tb, err)
	m.ahead.Add(int64(by))
}

// process starts a server that shares nothing but the database with the others.
func (f *fixtures) process(tb testing.TB, now func() time.Time) string {
	tb.Helper()
	return f.serve(tb, func(cfg *rest.Config) { cfg.Keys = apikey.NewWithClock(f.pool, now) }).URL
}

// limited returns the text of a key that has that many requests an hour.
func (f *fixtures) limited(tb testing.TB, limit int64) string {
	tb.Helper()
	_, text, err := f.keys.Create(tb.Context(), apikey.NewKey{Organisation: f.org, LimitPerHour: &limit})
	require.NoError(tb, err)
	return text
}

// limits are what an answer says of its key's limit.
type limits struct{ limit, remaining, reset int64 }

// limitsOf reads the headers, of which the two families must say the same.
func limitsOf(tb testing.TB, a answer) limits {
	tb.Helper()
	number := func(name string) int64 {
		n, err := strconv.ParseInt(a.header.Get(name), 10, 64)
		require.NoError(tb, err, name)
		return n
	}
	l := limits{number("RateLimit-Limit"), number("RateLimit-Remaining"), number("RateLimit-Reset")}
	require.Equal(tb, `"hour";q=`+strconv.FormatInt(l.limit, 10)+`;w=3600`, a.header.Get("RateLimit-Policy"))
	require.Equal(tb, `"hour";r=`+strconv.FormatInt(l.remaining, 10)+`;t=`+strconv.FormatInt(l.reset, 10), a.header.Get("RateLimit"))
	if a.status == http.StatusTooManyRequests {
		require.Equal(tb, "RATE_LIMIT_EXCEEDED", a.field(tb, "code"))
		require.EqualValues(tb, l.reset, a.json(tb)["retry_after"])
		require.Equal(tb, strconv.FormatInt(l.reset, 10), a.header.Get("Retry-After"))
		require.Zero(tb, l.remaining)
	}
	return l
}

// whoami asks for what every key may ask.
const whoami = "/api/v1/auth/validate"

func TestLimitHoldsWhateverTheClockAndTheServersDo(t *testing.T) {
	t.Parallel()
	_, f := setup(t)
	clock := &movedClock{}
	servers := []string{f.process(t, clock.Now), f.process(t, clock.Now)}
	rapid.Check(t, func(r *rapid.T) {
		limit := rapid.Int64Range(1, 40).Draw(r, "limit")
		key := f.limited(t, limit)
		n := rapid.IntRange(1, len(servers)).Draw(r, "servers")
		const window = 60          // all in minutes
		now, ends := 0, 0          // of the model
		accepted := int64(0)       // in the window
		before := map[int]limits{} // by server, in the window
		for range rapid.IntRange(1, 80).Draw(r, "steps") {
			if rapid.IntRange(0, 19).Draw(r, "move") == 0 {
				by := 7 * rapid.IntRange(1, 10).Draw(r, "sevens") // never to a window's very end
				clock.move(t, f, time.Duration(by)*time.Minute)
				now += by
			}
			i := rapid.IntRange(0, n-1).Draw(r, "server")
			if now >= ends {
				ends, accepted = now+window, 0
				clear(before)
			}
			a := client{url: servers[i], key: key}.send(t, "GET", whoami, "")
			l, last := limitsOf(t, a), before[i]
			seen := last.limit > 0
			before[i] = l
			require.Equal(r, limit, l.limit)
			left := int64(60 * (ends - now))
			require.LessOrEqual(r, l.reset, left)
			require.Greater(r, l.reset, left-60, "the test itself takes a while")
			if a.status == http.StatusTooManyRequests {
				withheld := max(0, limit/10-1) * int64(n-1)
				require.LessOrEqual(r, limit-accepted, withheld, "others withhold less than a block")
				continue
			}
			require.Equal(r, http.StatusOK, a.status)
			accepted++
			require.LessOrEqual(r, accepted, limit)
			require.GreaterOrEqual(r, l.remaining, int64(0))
			require.LessOrEqual(r, l.remaining, limit-1)
			if seen {
				require.Less(r, l.remaining, last.remaining, "it falls with each request")
			}
			if n == 1 {
				require.Equal(r, limit-accepted, l.remaining)
			}
		}
	})
}

func TestLimitHoldsUnderParallelRequests(t *testing.T) {
	t.Parallel()
	const limit, callers, each = 150, 8, 25 // each server alone is asked for more than the limit
	_, f := setup(t)
	key := f.limited(t, limit)
	var accepted, refused atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		c := client{url: f.process(t, time.Now), key: key}
		for range callers {
			wg.Go(func() {
				for range each {
					switch status, _ := c.ask(t, whoami); status {
					case http.StatusOK:
						accepted.Add(1)
					case http.StatusTooManyRequests:
						refused.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	require.EqualValues(t, limit, accepted.Load())
	require.EqualValues(t, 2*callers*each-limit, refused.Load())
}

// ask sends a reading request from any goroutine.
func (c client) ask(tb testing.TB, path string) (int, error) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, c.url+path, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

func TestEveryAnswerToALimitedKeySaysWhereItStands(t *testing.T) {
	t.Parallel()
	all, f := setup(t)
	c := client{url: f.url, key: f.limited(t, 4)} // without a scope
	require.EqualValues(t, 3, limitsOf(t, c.call(t, http.StatusOK, "GET", whoami, "")).remaining)
	require.EqualValues(t, 2, limitsOf(t, c.call(t, http.StatusForbidden, "GET", "/api/v1/deliveries", "")).remaining)
	require.EqualValues(t, 1, limitsOf(t, c.call(t, http.StatusForbidden, "POST", "/api/v1/deliveries", "{}")).remaining)
	require.EqualValues(t, 0, limitsOf(t, c.call(t, http.StatusOK, "HEAD", whoami, "")).remaining)
	limitsOf(t, c.call(t, http.StatusTooManyRequests, "GET", whoami, ""))
	limitsOf(t, c.call(t, http.StatusTooManyRequests, "POST", "/api/v1/deliveries", "{}"))
	for name := range all.call(t, http.StatusOK, "GET", whoami, "").header {
		require.NotContains(t, strings.ToLower(name), "ratelimit", "a key without a limit")
	}
}

func TestEveryOperationTellsOfLimits(t *testing.T) {
	t.Parallel()
	for path, item := range contract().doc.Paths.Map() {
		for _, spec := range item.Operations() {
			if spec.Security != nil {
				continue
			}
			for status, response := range spec.Responses.Map() {
				if status != "401" { // to nobody's key
					require.Contains(t, response.Value.Headers, "RateLimit", "%s of %s lacks <<: *limits in its headers", status, spec.OperationID)
				}
			}
			require.Contains(t, spec.Responses.Map(), "429", "%s on %s", spec.OperationID, path)
		}
	}
}
