package rest_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest"
)

// keyed is the header of a request that may be repeated.
func keyed(key string) []string { return []string{"Idempotency-Key", key} }

// head returns the end of the log.
func (f *fixtures) head(tb testing.TB) eventstore.Position {
	tb.Helper()
	head, err := f.store.Head(tb.Context())
	require.NoError(tb, err)
	return head
}

// crash leaves what a process leaves that dies between the commit and the answer.
func (f *fixtures) crash(tb testing.TB) {
	tb.Helper()
	tag, err := f.pool.Exec(tb.Context(), `UPDATE idempotency_keys SET answer = NULL, held_until = '-infinity'`)
	require.NoError(tb, err)
	require.Positive(tb, tag.RowsAffected())
}

// requireReplay fails the test unless again is first, told again.
func requireReplay(tb testing.TB, first, again answer) {
	tb.Helper()
	require.Equal(tb, "true", again.header.Get("Idempotency-Replayed"))
	require.Empty(tb, first.header.Get("Idempotency-Replayed"))
	require.Equal(tb, first.status, again.status)
	require.Equal(tb, string(first.body), string(again.body))
	for _, name := range []string{"Content-Type", "Location", "ETag", "Ledger-Position", "Content-Length"} {
		require.Equal(tb, first.header.Values(name), again.header.Values(name), name)
	}
	require.NotEqual(tb, first.header.Get("X-Request-Id"), again.header.Get("X-Request-Id"), "it is another request")
}

// posts are requests to every kind of POST route, about a delivery.
func posts(delivery string) map[string]string {
	one := "/api/v1/deliveries/" + delivery
	return map[string]string{
		"/api/v1/deliveries":    sampleDelivery,
		one + "/destinations":   sampleDestination,
		one + "/qualifications": "[" + company("a") + "," + company("b") + "," + company("a") + `,{"x":1}]`,
	}
}

func TestRepeatGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	second := c
	second.url = f.serve(t).URL
	delivery := c.createDelivery(t, sampleDelivery)
	for path, body := range posts(delivery) {
		first := c.send(t, "POST", path, body, keyed("k "+path)...)
		require.Less(t, first.status, 300, "%s", first.body)
		head := f.head(t)
		for _, again := range []answer{
			c.send(t, "POST", path, body, keyed("k "+path)...),
			second.send(t, "POST", path+"/", body, keyed(`"k `+path+`"`)...),
			f.client(t, f.org, "deliveries:write", "qualifications:write").send(t, "POST", path, body, keyed("k "+path)...),
		} {
			requireReplay(t, first, again)
		}
		require.Equal(t, head, f.head(t), "nothing was done")
		fresh := c.send(t, "POST", path, body, keyed("other "+path)...)
		require.Empty(t, fresh.header.Get("Idempotency-Replayed"))
	}
	refused := c.call(t, http.StatusUnprocessableEntity, "POST", "/api/v1/deliveries", `{}`, keyed("bad")...)
	again := c.call(t, http.StatusUnprocessableEntity, "POST", "/api/v1/deliveries", `{}`, keyed("bad")...)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, refused.body, again.body)
}

func TestKeyIsForOneRequest(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	one := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery)
	first := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", `{"name":"a"}`, keyed("k")...)
	for path, body := range map[string]string{
		"/api/v1/deliveries":     `{"name":"b"}`,
		"/api/v1/deliveries?x=1": `{"name":"a"}`,
		one + "/qualifications":  `{"name":"a"}`,
	} {
		require.Equal(t, "CONFLICT", c.call(t, http.StatusConflict, "POST", path, body, keyed("k")...).field(t, "code"))
	}
	theirs := f.foreigner(t).call(t, http.StatusCreated, "POST", "/api/v1/deliveries", `{"name":"a"}`, keyed("k")...)
	require.NotEqual(t, first.field(t, "id"), theirs.field(t, "id"), "keys are an organisation's own")

	for _, key := range []string{"", `""`, `"a`, "a\tb", "ü", strings.Repeat("x", 256), `"a"b`} {
		a := c.call(t, http.StatusUnprocessableEntity, "POST", "/api/v1/deliveries", `{"name":"a"}`, keyed(key)...)
		require.Equal(t, []string{"Idempotency-Key"}, a.faults(t), key)
	}
	longest := strings.Repeat("x", 255)
	long := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", `{"name":"a"}`, keyed(longest)...)
	requireReplay(t, long, c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", `{"name":"a"}`, keyed(`"`+longest+`"`)...))
	odd := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", `{"name":"a"}`, keyed(`a"b\c`)...)
	requireReplay(t, odd, c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", `{"name":"a"}`, keyed(`"a\"b\\c"`)...))

	_, err := f.pool.Exec(t.Context(), `UPDATE idempotency_keys SET created_at = created_at - interval '24 hours'`)
	require.NoError(t, err)
	c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", `{"name":"c"}`, keyed("k")...)
	var left int
	require.NoError(t, f.pool.QueryRow(t.Context(), `SELECT count(*) FROM idempotency_keys`).Scan(&left))
	require.Equal(t, 1, left, "after a day a key is free, and old ones are removed")
}

func TestOfManyRepeatsAtOnceOneIsExecuted(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	second := c
	second.url = f.serve(t).URL
	delivery := c.createDelivery(t, sampleDelivery)
	const callers = 20
	for path, body := range posts(delivery) {
		before := f.head(t)
		var answers [callers]answer
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() { answers[i] = []client{c, second}[i%2].send(t, "POST", path, body, keyed("k"+path)...) })
		}
		all.Wait()
		executed := 0
		for _, a := range answers {
			require.Less(t, a.status, 300, "%s", a.body)
			require.Equal(t, string(answers[0].body), string(a.body))
			if a.header.Get("Idempotency-Replayed") == "" {
				executed++
			}
		}
		require.Equal(t, 1, executed)
		require.LessOrEqual(t, f.head(t)-before, eventstore.Position(2))
	}
}

func TestRepeatAfterACrashFindsWhatWasDone(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	delivery := c.createDelivery(t, sampleDelivery)
	paths := posts(delivery)
	for path, body := range paths {
		first := c.send(t, "POST", path, body, keyed("k"+path)...)
		require.Less(t, first.status, 300, "%s", first.body)
		head := f.head(t)
		f.crash(t)
		again := c.send(t, "POST", path, body, keyed("k"+path)...)
		require.Equal(t, first.status, again.status)
		require.Equal(t, string(first.body), string(again.body), "the same IDs and the same secret")
		require.Equal(t, first.header.Get("Location"), again.header.Get("Location"))
		require.Equal(t, first.header.Get("Ledger-Position"), again.header.Get("Ledger-Position"))
		require.Equal(t, head, f.head(t), "one event in the log")
		require.Equal(t, "true", c.send(t, "POST", path, body, keyed("k"+path)...).header.Get("Idempotency-Replayed"))
	}
	// One that was rotated again meanwhile is not rotated a third time.
	dst := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries/"+delivery+"/destinations", sampleDestination).field(t, "id")
	rotate := "/api/v1/deliveries/" + delivery + "/destinations/" + dst + "/rotate-secret"
	first := c.call(t, http.StatusOK, "POST", rotate, `{}`, keyed("r1")...)
	c.call(t, http.StatusOK, "POST", rotate, `{}`, keyed("r2")...)
	head := f.head(t)
	f.crash(t)
	again := c.call(t, http.StatusOK, "POST", rotate, `{}`, keyed("r1")...)
	require.Equal(t, first.field(t, "signing_secret"), again.field(t, "signing_secret"))
	require.Equal(t, head, f.head(t))
}

func TestRepeatAfterACrashFindsTheOrganisationAndTheKey(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	count := func(query string) (n int) {
		require.NoError(t, f.pool.QueryRow(t.Context(), query).Scan(&n))
		return n
	}
	repeated := func(path, body string) answer {
		first := c.call(t, http.StatusCreated, "POST", path, body, keyed("k"+path)...)
		f.crash(t)
		again := c.call(t, http.StatusCreated, "POST", path, body, keyed("k"+path)...)
		require.Empty(t, again.header.Get("Idempotency-Replayed"), "it was done again")
		require.Equal(t, string(first.body), string(again.body), "the same ID and the same text")
		require.Equal(t, first.header.Get("Location"), again.header.Get("Location"))
		return again
	}
	org := repeated(organisations, `{"name":"Globex"}`)
	require.Equal(t, 1, count(`SELECT count(*) FROM organisations WHERE name = 'Globex'`))

	keys, body := org.header.Get("Location")+"/keys", `{"name":"CRM","scopes":["deliveries:read"],"tier":"pro","test":true}`
	made := repeated(keys, body)
	require.Equal(t, 1, count(`SELECT count(*) FROM api_keys WHERE name = 'CRM'`))
	key := client{url: c.url, key: made.field(t, "key")}
	require.Regexp(t, "^lnc_test_", key.key)
	key.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "")

	// What became of it since is not undone.
	c.call(t, http.StatusNoContent, "DELETE", made.header.Get("Location"), "")
	f.crash(t)
	again := c.call(t, http.StatusCreated, "POST", keys, body, keyed("k"+keys)...)
	require.Equal(t, key.key, again.field(t, "key"))
	require.Equal(t, "revoked", again.field(t, "status"))
	key.call(t, http.StatusUnauthorized, "GET", "/api/v1/deliveries", "")
}

func TestCrashAtAnyInstantOfAStreamMakesNoDifference(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/qualifications"
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		var lines []string
		for i := range rapid.IntRange(1, 8).Draw(rt, "lines") {
			lines = append(lines, company("c"+strconv.Itoa(n)+"_"+strconv.Itoa(rapid.IntRange(0, i).Draw(rt, "company"))))
		}
		key := keyed("k" + strconv.Itoa(n))
		first := c.call(t, http.StatusOK, "POST", path, strings.Join(lines, "\n"), append(key, ndjson...)...)
		head := f.head(t)
		f.crash(t)
		again := c.call(t, http.StatusOK, "POST", path, strings.Join(lines, "\n"), append(key, ndjson...)...)
		require.Equal(rt, string(first.body), string(again.body), "accepted is accepted still")
		require.Equal(rt, head, f.head(t))
	})
}

func TestAnswersThatSayTryAgainAreNotKept(t *testing.T) {
	t.Parallel()
	broken := true
	c, _ := setup(t, func(cfg *rest.Config) {
		cfg.CheckURL = func(string) error {
			if broken {
				panic("broken")
			}
			return nil
		}
	})
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/destinations"
	c.call(t, http.StatusInternalServerError, "POST", path, sampleDestination, keyed("k")...)
	broken = false
	a := c.call(t, http.StatusCreated, "POST", path, sampleDestination, keyed("k")...)
	require.Empty(t, a.header.Get("Idempotency-Replayed"))
}

func TestStoredAnswersHoldNoSecretInClear(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/destinations"
	a := c.call(t, http.StatusCreated, "POST", path, sampleDestination, keyed("k")...)
	var row string
	require.NoError(t, f.pool.QueryRow(t.Context(), `SELECT encode(answer || request || seed, 'escape') FROM idempotency_keys`).Scan(&row))
	for _, clear := range []string{a.field(t, "signing_secret"), "whsec_", "your-secret-token", "dst_", "webhook"} {
		require.NotContains(t, row, clear)
	}
}

func TestKeyedStreamsAreBounded(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/qualifications"
	body := company("a") + strings.Repeat("\n", 10<<20)
	a := c.call(t, http.StatusRequestEntityTooLarge, "POST", path, body, append(keyed("k"), ndjson...)...)
	require.Contains(t, a.field(t, "message"), "leave the header out")
	c.call(t, http.StatusOK, "POST", path, body, ndjson...)
}

func TestRepeatWaitsForOneThatIsUnderWay(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	c, f := setup(t, func(cfg *rest.Config) {
		cfg.CheckURL = func(string) error {
			close(entered) // a second call would panic
			<-leave
			return nil
		}
	})
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/destinations"
	var first, second answer
	var all sync.WaitGroup
	all.Go(func() { first = c.send(t, "POST", path, sampleDestination, keyed("k")...) })
	<-entered
	var answered atomic.Bool
	all.Go(func() {
		second = c.send(t, "POST", path, sampleDestination, keyed("k")...)
		answered.Store(true)
	})
	require.Never(t, answered.Load, 10*tick, tick)
	close(leave)
	all.Wait()
	requireReplay(t, first, second)
	require.EqualValues(t, 2, f.head(t))
}

func TestEveryPostMayBeRepeated(t *testing.T) {
	t.Parallel()
	for path, item := range contract().doc.Paths.Map() {
		if item.Post == nil || item.Post.Security != nil {
			continue
		}
		require.NotNil(t, item.Post.Parameters.GetByInAndName("header", "Idempotency-Key"),
			"POST %s: give it the parameter IdempotencyKey; the server honours it on every POST", path)
		for _, status := range []int{400, 409, 413, 422, 503} {
			require.NotNil(t, item.Post.Responses.Status(status), "POST %s: under an Idempotency-Key it may answer %d", path, status)
		}
	}
}
