package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

// How long something may take that happens by itself, and how often tests look.
const (
	waitFor = 10 * time.Second
	tick    = 20 * time.Millisecond
)

// fixtures are what a test has besides its server.
type fixtures struct {
	pool  *pgxpool.Pool
	store *eventstore.Store
	keys  *apikey.Keys
	vault *memoryVault
	log   *lockedBuffer
	org   domain.OrganisationID
	url   string
}

// memoryVault keeps secrets in memory.
type memoryVault struct {
	mu      sync.Mutex
	secrets map[string]string
}

// Put keeps a secret.
func (v *memoryVault) Put(_ context.Context, id, secret string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets[id] = secret
	return nil
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write adds to the log.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns the log so far.
func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setup returns a client, with a key that may do everything, of a server on a database of
// its own whose followers run.
func setup(t testing.TB, adjust ...func(*rest.Config)) (client, *fixtures) {
	t.Helper()
	f := &fixtures{pool: testdb.New(t), vault: &memoryVault{secrets: map[string]string{}}, log: &lockedBuffer{}}
	f.store = projectionstest.NewStore(t, f.pool)
	f.keys = apikey.New(f.pool)
	projectionstest.Follow(t, f.pool, f.store)
	org, err := f.keys.CreateOrganisation(t.Context(), "Acme")
	require.NoError(t, err)
	f.org = org.ID
	f.url = f.serve(t, adjust...).URL
	return f.client(t, f.org, apikey.Scopes()...), f
}

// serve starts a server on the fixtures.
func (f *fixtures) serve(t testing.TB, adjust ...func(*rest.Config)) *httptest.Server {
	t.Helper()
	cfg := rest.Config{
		Store: f.store, Views: projections.NewViews(f.pool), Keys: f.keys, Vault: f.vault,
		Log: slog.New(slog.NewJSONHandler(f.log, nil)),
	}
	for _, a := range adjust {
		a(&cfg)
	}
	server, err := rest.New(t.Context(), cfg)
	require.NoError(t, err)
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	return listening
}

// client returns a client of org whose key has those scopes.
func (f *fixtures) client(t testing.TB, org domain.OrganisationID, scopes ...apikey.Scope) client {
	t.Helper()
	_, text, err := f.keys.Create(t.Context(), apikey.NewKey{Organisation: org, Name: t.Name(), Scopes: scopes})
	require.NoError(t, err)
	return client{url: f.url, key: text}
}

// foreigner returns a client of another organisation, whose key may do everything.
func (f *fixtures) foreigner(t testing.TB) client {
	t.Helper()
	org, err := f.keys.CreateOrganisation(t.Context(), "Globex")
	require.NoError(t, err)
	return f.client(t, org.ID, apikey.Scopes()...)
}

// client calls a server and holds every answer to the contract.
type client struct {
	url, key string
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// json returns the answer's body, decoded.
func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(a.body, &v), "body: %s", a.body)
	return v
}

// field returns a field of the answer's body.
func (a answer) field(t testing.TB, name string) string {
	t.Helper()
	v, _ := a.json(t)[name].(string)
	return v
}

// items returns the items of a list.
func (a answer) items(t testing.TB) []map[string]any {
	t.Helper()
	var v struct{ Items []map[string]any }
	require.NoError(t, json.Unmarshal(a.body, &v), "body: %s", a.body)
	return v.Items
}

// faults returns the fields that the answer says are wrong.
func (a answer) faults(t testing.TB) []string {
	t.Helper()
	var v struct {
		Details struct {
			Faults []domain.Fault `json:"validation_errors"`
		}
	}
	require.NoError(t, json.Unmarshal(a.body, &v), "body: %s", a.body)
	var fields []string
	for _, f := range v.Details.Faults {
		fields = append(fields, f.Field)
	}
	return fields
}

// call sends a request with a JSON body, "" for none, and expects that status.
func (c client) call(t testing.TB, status int, method, path, body string, header ...string) answer {
	t.Helper()
	a := c.send(t, method, path, body, header...)
	require.Equal(t, status, a.status, "%s %s: %s", method, path, a.body)
	return a
}

// send sends a request with a JSON body, "" for none, and headers in pairs of name and value.
func (c client) send(t testing.TB, method, path, body string, header ...string) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.url+path, reader)
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	a := answer{status: res.StatusCode, header: res.Header, body: b}
	holdToContract(t, r, a)
	return a
}

// contract is the document that the server shows, and its routes.
var contract = sync.OnceValue(func() (c struct {
	doc    *openapi3.T
	router routers.Router
}) {
	var err error
	if c.doc, err = openapi3.NewLoader().LoadFromFile("openapi.yaml"); err != nil {
		panic(err)
	}
	if c.router, err = gorillamux.NewRouter(c.doc); err != nil {
		panic(err)
	}
	return c
})

// holdToContract fails the test when the contract does not allow the answer.
func holdToContract(t testing.TB, r *http.Request, a answer) {
	t.Helper()
	require.NotEmpty(t, a.header.Get("X-Request-Id"), "every answer names its request")
	if a.status >= 400 && a.header.Get("Content-Type") != "application/json" {
		holdToProblem(t, a)
	}
	bare, err := http.NewRequestWithContext(t.Context(), r.Method, strings.TrimSuffix(r.URL.Scheme+"://"+r.URL.Host+r.URL.EscapedPath(), "/"), nil)
	require.NoError(t, err)
	if bare.Method == http.MethodHead {
		bare.Method = http.MethodGet
	}
	route, params, err := contract().router.FindRoute(bare)
	if err != nil { // no such route: the general rules are all that there is
		require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNoContent}, a.status)
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: params},
		Status:                 a.status,
		Header:                 a.header,
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, ExcludeResponseBody: r.Method == http.MethodHead},
	}
	input.SetBodyBytes(a.body)
	require.NoError(t, openapi3filter.ValidateResponse(t.Context(), input), "%s %s answered %d: %s", r.Method, r.URL, a.status, a.body)
}

// holdToProblem fails the test when an error's answer has not the form that all have.
func holdToProblem(t testing.TB, a answer) {
	t.Helper()
	if len(a.body) == 0 { // of a HEAD
		return
	}
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	v := a.json(t)
	for _, name := range []string{"code", "message", "type", "title", "status", "detail", "instance"} {
		require.NotEmpty(t, v[name], "%s in %s", name, a.body)
	}
	require.EqualValues(t, a.status, v["status"])
}

// createDelivery creates a delivery and returns its ID.
func (c client) createDelivery(t testing.TB, body string) string {
	t.Helper()
	return c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", body).field(t, "id")
}

// company returns a qualification of the company of that ID.
func company(id string) string {
	return `{"company":{"id":"` + id + `","name":"Acme Corp","domain":"acme.com"},` +
		`"prospects":[{"id":"pros_456def","email":"jane.doe@acme.com"}],` +
		`"qualification_score":85,"match_reasons":["Uses HubSpot","Revenue > $10M"]}`
}
