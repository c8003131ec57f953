package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// attemptsRecorded returns how many attempts the log has outcomes of.
func attemptsRecorded(tb testing.TB, database string) (n int) {
	tb.Helper()
	const query = `SELECT count(*) FROM events WHERE stream LIKE 'dispatch/%' AND type LIKE 'attempt.%'`
	conn, err := pgx.Connect(tb.Context(), database)
	require.NoError(tb, err)
	defer conn.Close(tb.Context())
	require.NoError(tb, conn.QueryRow(tb.Context(), query).Scan(&n))
	return n
}

func TestStoppedProcessRecordsWhatIsUnderWayAndBeginsNothing(t *testing.T) {
	t.Parallel()
	database, key := testdb.URL(t), encryptionKey()
	c := client{key: newKey(t, database)}
	first := serve(t, database, key, "--attempts-per-destination", "1")
	c.base = func() string { return first.base }
	goOn := make(chan struct{})
	slow := newReceiver(t, func(int) int { <-goOn; return http.StatusOK })
	delivery := c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"CRM"}`)["id"].(string)
	c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries/"+delivery+"/destinations",
		`{"type":"webhook","url":"`+slow.url+`","timeout_seconds":60}`)
	c.qualify(t, delivery, "comp_1")
	c.qualify(t, delivery, "comp_2")
	slow.await(t, 1)

	first.terminate(t)
	require.Eventually(t, func() bool { return c.status(t.Context(), "/healthz") == 0 }, patience, pollEvery, "it still takes requests")
	require.Zero(t, attemptsRecorded(t, database))
	close(goOn)
	require.NoError(t, first.wait(t), "the exit code is 0")
	require.Len(t, slow.got(), 1, "nothing new is begun")
	require.Equal(t, 1, attemptsRecorded(t, database))

	second := serve(t, database, key)
	c.base = func() string { return second.base }
	c.awaitCount(t, delivery, "delivered", 2)
	require.Len(t, slow.got(), 2, "what was recorded is not done again")
}

func TestProcessesOfDifferentRolesDeliverTogether(t *testing.T) {
	t.Parallel()
	database, key := testdb.URL(t), encryptionKey()
	api := serve(t, database, key, "--roles", "api").at(newKey(t, database))
	work := serve(t, database, key, "--roles", "follow,attempt").at(api.key)
	r := newReceiver(t, ok)
	delivery := api.delivery(t, r.url)
	api.qualify(t, delivery, "comp_1")
	api.awaitCount(t, delivery, "delivered", 1)
	require.Len(t, r.got(), 1)

	api.awaitCaughtUp(t)
	destinations := "/api/v1/deliveries/" + delivery + "/destinations"
	list := api.must(t, http.StatusOK, http.MethodGet, destinations, "")["items"].([]any)
	one := destinations + "/" + list[0].(map[string]any)["id"].(string)
	require.Equal(t, true, api.must(t, http.StatusOK, http.MethodPost, one+"/test", "")["success"], "a test needs no other process")
	require.Contains(t, r.got()[1].body, `"event":"delivery.test"`)

	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		require.Equal(t, http.StatusOK, work.status(t.Context(), path), path)
		require.Equal(t, http.StatusOK, api.status(t.Context(), path), path)
	}
	for _, path := range []string{"/api/v1/deliveries", "/api/v1/auth/validate", "/openapi.json"} {
		require.Equal(t, http.StatusNotFound, work.status(t.Context(), path), path)
		require.Equal(t, http.StatusOK, api.status(t.Context(), path), path)
	}
}

func TestPrivateDestinationIsRefusedUnlessAllowed(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	c := start(t, "serve", "--database-url", database, "--encryption-key", encryptionKey(),
		"--listen", "127.0.0.1:0", "--log-format", "json").at(newKey(t, database))
	destinations := "/api/v1/deliveries/" +
		c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"CRM"}`)["id"].(string) + "/destinations"
	for _, host := range []string{"127.0.0.1", "localhost", "10.1.2.3", "192.168.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "0.0.0.0"} {
		refused := c.must(t, http.StatusUnprocessableEntity, http.MethodPost, destinations,
			`{"type":"webhook","url":"http://`+host+`:9/hook"}`)
		require.Equal(t, "VALIDATION_ERROR", refused["code"])
		faults := refused["details"].(map[string]any)["validation_errors"].([]any)
		require.Len(t, faults, 1, host)
		require.Equal(t, "url", faults[0].(map[string]any)["field"], host)
	}
	c.must(t, http.StatusCreated, http.MethodPost, destinations, `{"type":"webhook","url":"https://hooks.example/in"}`)
}

func TestStatusAndContractAreServed(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	c := serve(t, database, encryptionKey()).at(newKey(t, database))
	r := newReceiver(t, ok)
	delivery := c.delivery(t, r.url)
	c.qualify(t, delivery, "comp_1")
	c.awaitCount(t, delivery, "delivered", 1)

	require.Equal(t, map[string]any{"status": "ok"}, c.must(t, http.StatusOK, http.MethodGet, "/healthz", ""))
	ready := c.must(t, http.StatusOK, http.MethodGet, "/readyz", "")
	require.Equal(t, true, ready["ready"])
	var names []string
	for _, check := range ready["checks"].([]any) {
		fields := check.(map[string]any)
		require.Equal(t, true, fields["ok"])
		name := fields["name"].(string)
		names = append(names, name)
		if strings.HasPrefix(name, "follower ") {
			require.Contains(t, fields, "lag")
			require.Contains(t, fields, "lag_seconds")
		}
		if name == "attempts" {
			require.Contains(t, fields, "busy")
			require.Positive(t, fields["limit"])
		}
	}
	require.Equal(t, []string{"database", "follower tree", "follower deliveries", "follower companies", "follower dispatches", "follower erasures", "follower history", "follower replays", "follower requalifications", "follower stats", "follower daily", "attempts"}, names)

	text := c.scrape(t, 1)
	_, header, _, err := c.do(t.Context(), http.MethodGet, "/metrics", "", "")
	require.NoError(t, err)
	require.Contains(t, header.Get("Content-Type"), "text/plain")
	for _, name := range []string{
		"go_goroutines", "process_open_fds", "ledger_log_appended_events_total", "ledger_attempts_total", "ledger_http_requests_total",
	} {
		require.Positive(t, metric(t, text, name), name)
	}

	contract := c.must(t, http.StatusOK, http.MethodGet, "/openapi.json", "")
	require.Equal(t, "3.0.3", contract["openapi"])
	require.Contains(t, contract["paths"], "/api/v1/deliveries")
}

// metric returns the sum of a metric's values in the text that Prometheus reads.
func metric(tb testing.TB, text, name string) (sum float64) {
	tb.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok && strings.ContainsAny(rest[:1], "{ ") {
			fields := strings.Fields(line)
			value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			require.NoError(tb, err, line)
			sum += value
		}
	}
	return sum
}

func TestListenAddressInUseIsNamed(t *testing.T) {
	t.Parallel()
	database, key := testdb.URL(t), encryptionKey()
	p := serve(t, database, key)
	_, _, err := verb(t, "", "serve", "--database-url", database, "--encryption-key", key, "--listen", strings.TrimPrefix(p.base, "http://"))
	require.ErrorContains(t, err, "--listen")
	require.ErrorContains(t, err, "address already in use")
}
