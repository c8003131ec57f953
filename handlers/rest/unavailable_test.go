package rest_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/handlers/rest"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestDatabaseIsAway(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	gone, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(gone.Close)
	store := eventstore.New(gone, eventstore.NewRegistry(domain.Events()...), eventstore.Options{})
	withoutLog := c // knows keys, but neither log nor views
	withoutLog.url = f.serve(t, func(cfg *rest.Config) {
		cfg.Store, cfg.Views, cfg.Patience = store, projections.NewViews(gone), 200*time.Millisecond
	}).URL
	withoutKeys := c
	withoutKeys.url = f.serve(t, func(cfg *rest.Config) { cfg.Keys = apikey.New(gone) }).URL

	for _, op := range operations(t, things) {
		if op.open {
			withoutKeys.call(t, http.StatusOK, op.method, op.path, "")
			continue
		}
		for _, c := range []client{withoutLog, withoutKeys} {
			if (len(op.scopes) == 0 || slices.Contains(op.scopes, "admin")) && c == withoutLog { // which need keys alone
				continue
			}
			begun := time.Now()
			a := c.call(t, http.StatusServiceUnavailable, op.method, op.path, op.body)
			require.Equal(t, "UNAVAILABLE", a.field(t, "code"))
			require.Equal(t, "1", a.header.Get("Retry-After"))
			require.NotContains(t, string(a.body), "127.0.0.1")
			require.Less(t, time.Since(begun), waitFor)
		}
	}
}

func TestDatabaseGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	server := testdb.NewServer(t)
	pool := testdb.NewOn(t, server)
	store := eventstore.New(pool, eventstore.NewRegistry(domain.Events()...), eventstore.Options{})
	f := &fixtures{pool: pool, store: store, keys: apikey.New(pool), vault: &memoryVault{secrets: map[string]string{}}, log: &lockedBuffer{}}
	org, err := f.keys.CreateOrganisation(t.Context(), "Acme")
	require.NoError(t, err)
	f.notary, err = proof.NewNotary(t.Context(), pool, store, newSealer(pool))
	require.NoError(t, err)
	f.url = f.serve(t, func(cfg *rest.Config) { cfg.Patience = 5 * time.Second }).URL
	c := f.client(t, org.ID, apikey.Scopes()...)
	id := c.createDelivery(t, sampleDelivery) // though nobody follows the log
	path := "/api/v1/deliveries/" + id + "/qualifications"

	// The database dies in the middle of a stream: what is in is in, and the answer is 503.
	r, w := io.Pipe()
	answered := make(chan answer, 1)
	go func() { answered <- c.stream(t, path, r) }()
	var lines strings.Builder
	for i := range 500 {
		lines.WriteString(company("c"+string(rune('a'+i%26))+strings.Repeat("x", i/26)) + "\n")
	}
	_, err = io.WriteString(w, lines.String())
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		head, err := store.Head(t.Context())
		return err == nil && head == 501
	}, waitFor, tick)
	require.NoError(t, server.Kill(t.Context()))
	_, _ = io.WriteString(w, company("last")+"\n") // unless the answer came before
	require.NoError(t, w.Close())
	a := <-answered
	require.Equal(t, http.StatusServiceUnavailable, a.status, "%s", a.body)

	require.NoError(t, server.Restart(t.Context()))
	require.Eventually(t, func() bool {
		return c.send(t, "POST", path, company("last")).status == http.StatusOK
	}, waitFor, tick)
	c.url = f.serve(t).URL
	s, _ := c.qualify(t, id, lines.String()+company("last"), ndjson...)
	require.Equal(t, 501, s.Duplicates, "nothing acknowledged is lost, and nothing is in twice")
}

// stream sends a body as it comes, with headers in pairs of name and value.
func (c client) stream(tb testing.TB, path string, body io.Reader, header ...string) answer {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, c.url+path, body)
	if err != nil {
		return answer{}
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Content-Type", "application/x-ndjson")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{body: []byte(err.Error())}
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body) // what is missing is seen in the body
	return answer{status: res.StatusCode, header: res.Header, body: b}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	lag := int64(7)
	report := rest.ReadyReport{Checks: []rest.ReadyCheck{{Name: "database", OK: true}, {Name: "follower companies", OK: true, Lag: &lag}}}
	registry := prometheus.NewRegistry()
	c, _ := setup(t, func(cfg *rest.Config) {
		cfg.Ready = func(context.Context) rest.ReadyReport { return report }
		cfg.Metrics = registry
	})
	open := client{url: c.url}
	a := open.call(t, http.StatusOK, "GET", "/readyz", "")
	require.Equal(t, []string{
		`{"ready":true,"checks":[`, `{"name":"database","ok":true},`, `{"name":"follower companies","ok":true,"lag":7}`, `]}`, ``,
	}, strings.Split(string(a.body), "\n"))
	report.Checks[1] = rest.ReadyCheck{Name: "follower companies", Fault: "page 8 to 9 cannot be applied"}
	require.Contains(t, string(open.call(t, http.StatusServiceUnavailable, "GET", "/readyz/", "").body), "cannot be applied")

	c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "")
	open.call(t, http.StatusNotFound, "GET", "/no/such/path", "")
	metrics := string(open.call(t, http.StatusOK, "GET", "/metrics", "").body)
	require.Contains(t, metrics, `ledger_http_requests_total{method="GET",route="/api/v1/deliveries",status="200"} 1`)
	require.Contains(t, metrics, `ledger_http_requests_total{method="any",route="none",status="404"} 1`)
}
