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
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/eventstore/shred"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/handlers/rest"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/handlers/rest/idempotency"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/personal"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

// How long something may take that happens by itself, and how often tests look.
const (
	waitFor = 2 * time.Minute
	tick    = 20 * time.Millisecond
)

// fixtures are what a test has besides its server.
type fixtures struct {
	pool   *pgxpool.Pool
	store  *eventstore.Store
	keys   *apikey.Keys
	vault  *memoryVault
	notary *proof.Notary
	log    *lockedBuffer
	org    domain.OrganisationID
	url    string

	subjects *shred.Keys // which seal what is personal
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

// Keep keeps a secret, unless there is one.
func (v *memoryVault) Keep(_ context.Context, id, fresh string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.secrets[id]; !ok {
		v.secrets[id] = fresh
	}
	return v.secrets[id], nil
}

// Open returns a secret.
func (v *memoryVault) Open(_ context.Context, id string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.secrets[id], nil
}

// Delete forgets a secret.
func (v *memoryVault) Delete(_ context.Context, id string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.secrets, id)
	return nil
}

// testers stand in for the sender of webhooks, which this package does not know: each test is
// answered as if the destination had refused it.
type testers struct{ *fixtures }

// Test records a test of d.
func (f testers) Test(ctx context.Context, delivery domain.DeliveryID, d domain.Destination) (domain.DestinationTested, eventstore.Commit, error) {
	tested := domain.DestinationTested{
		Test: domain.NewTestID(), Delivery: delivery, Destination: d.ID, StartedAt: time.Now().UTC().Truncate(time.Microsecond),
		Microseconds: 48_211, Status: http.StatusUnauthorized, ResponseHeaders: map[string]string{"X-Why": "token"},
		ResponseBody: "who are you?", Error: "the destination answered 401 Unauthorized",
	}
	o, err := eventstore.Execute(ctx, f.store, domain.RecordTest(tested))
	return tested, o.Commit, err
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
func setup(tb testing.TB, adjust ...func(*rest.Config)) (client, *fixtures) {
	tb.Helper()
	f := &fixtures{pool: testdb.New(tb), vault: &memoryVault{secrets: map[string]string{}}, log: &lockedBuffer{}}
	f.store, f.subjects = projectionstest.NewSealingStore(tb, f.pool, newSealer(f.pool))
	f.keys = apikey.New(f.pool)
	projectionstest.FollowOpened(tb, f.pool, f.store, f.subjects)
	tb.Cleanup(func() { // one that is stopped in the middle of a page keeps its connection for a while
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), waitFor)
		defer cancel()
		f.settle(ctx, tb)
	})
	org, err := f.keys.CreateOrganisation(tb.Context(), "Acme")
	require.NoError(tb, err)
	f.org = org.ID
	f.notary, err = proof.NewNotary(tb.Context(), f.pool, f.store, newSealer(f.pool))
	require.NoError(tb, err)
	f.url = f.serve(tb, adjust...).URL
	return f.client(tb, f.org, apikey.Scopes()...), f
}

// config returns that of a server on the fixtures.
func (f *fixtures) config(adjust ...func(*rest.Config)) rest.Config {
	cfg := rest.Config{
		Store: f.store, Views: projections.NewViews(f.pool), Keys: f.keys, Vault: f.vault, Tester: testers{f},
		Patience:    waitFor,
		Idempotency: idempotency.New(f.pool, newSealer(f.pool)),
		Notary:      f.notary,
		Keyring:     personal.NewKeyring(f.subjects),
		Log:         slog.New(slog.NewJSONHandler(f.log, nil)),
	}
	for _, a := range adjust {
		a(&cfg)
	}
	return cfg
}

// serve starts a server on the fixtures.
func (f *fixtures) serve(tb testing.TB, adjust ...func(*rest.Config)) *httptest.Server {
	tb.Helper()
	server, err := rest.New(f.config(adjust...))
	require.NoError(tb, err)
	listening := httptest.NewServer(server)
	tb.Cleanup(listening.Close)
	return listening
}

// sealingKey is that of all test servers.
var sealingKey = sync.OnceValue(vault.NewKeyText)

// newSealer returns what seals the answers that are kept in pool's database.
func newSealer(pool *pgxpool.Pool) *vault.Vault {
	key, err := vault.ParseKey(sealingKey())
	if err != nil {
		panic(err)
	}
	return vault.New(pool, key)
}

// client returns a client of org whose key has those scopes.
func (f *fixtures) client(tb testing.TB, org domain.OrganisationID, scopes ...apikey.Scope) client {
	tb.Helper()
	_, text, err := f.keys.Create(tb.Context(), apikey.NewKey{Organisation: org, Name: tb.Name(), Scopes: scopes})
	require.NoError(tb, err)
	return client{url: f.url, key: text}
}

// foreigner returns a client of another organisation, whose key may do everything.
func (f *fixtures) foreigner(tb testing.TB) client {
	tb.Helper()
	org, err := f.keys.CreateOrganisation(tb.Context(), "Globex")
	require.NoError(tb, err)
	return f.client(tb, org.ID, apikey.Scopes()...)
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
func (a answer) json(tb testing.TB) map[string]any {
	tb.Helper()
	var v map[string]any
	require.NoError(tb, json.Unmarshal(a.body, &v), "body: %s", a.body)
	return v
}

// field returns a field of the answer's body.
func (a answer) field(tb testing.TB, name string) string {
	tb.Helper()
	v, _ := a.json(tb)[name].(string)
	return v
}

// items returns the items of a list.
func (a answer) items(tb testing.TB) []map[string]any {
	tb.Helper()
	var v struct{ Items []map[string]any }
	require.NoError(tb, json.Unmarshal(a.body, &v), "body: %s", a.body)
	return v.Items
}

// faults returns the fields that the answer says are wrong.
func (a answer) faults(tb testing.TB) []string {
	tb.Helper()
	var v struct {
		Details struct {
			Faults []domain.Fault `json:"validation_errors"`
		}
	}
	require.NoError(tb, json.Unmarshal(a.body, &v), "body: %s", a.body)
	var fields []string
	for _, f := range v.Details.Faults {
		fields = append(fields, f.Field)
	}
	return fields
}

// call sends a request with a JSON body, "" for none, and expects that status.
func (c client) call(tb testing.TB, status int, method, path, body string, header ...string) answer {
	tb.Helper()
	a := c.send(tb, method, path, body, header...)
	require.Equal(tb, status, a.status, "%s %s: %s", method, path, a.body)
	return a
}

// send sends a request with a JSON body, "" for none, and headers in pairs of name and value.
func (c client) send(tb testing.TB, method, path, body string, header ...string) answer {
	tb.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(tb.Context(), method, c.url+path, reader)
	require.NoError(tb, err)
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
	require.NoError(tb, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(tb, err)
	a := answer{status: res.StatusCode, header: res.Header, body: b}
	holdToContract(tb, r, a)
	return a
}

// document is the contract and its routes.
type document struct {
	doc    *openapi3.T
	router routers.Router
}

// contract returns the contract.
var contract = sync.OnceValue(func() (c document) {
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
func holdToContract(tb testing.TB, r *http.Request, a answer) {
	tb.Helper()
	require.NotEmpty(tb, a.header.Get("X-Request-Id"), "every answer names its request")
	if a.status >= 400 && a.header.Get("Content-Type") != "application/json" {
		holdToProblem(tb, a)
	}
	bare, err := http.NewRequestWithContext(tb.Context(), r.Method, strings.TrimSuffix(r.URL.Scheme+"://"+r.URL.Host+r.URL.EscapedPath(), "/"), nil)
	require.NoError(tb, err)
	if bare.Method == http.MethodHead {
		bare.Method = http.MethodGet
	}
	route, params, err := contract().router.FindRoute(bare)
	if err != nil { // no such route: the general rules are all that there is
		require.Contains(tb, []int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNoContent}, a.status)
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: params},
		Status:                 a.status,
		Header:                 a.header,
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, ExcludeResponseBody: r.Method == http.MethodHead},
	}
	input.SetBodyBytes(a.body)
	require.NoError(tb, openapi3filter.ValidateResponse(tb.Context(), input), "%s %s answered %d: %s", r.Method, r.URL, a.status, a.body)
}

// holdToProblem fails the test when an error's answer has not the form that all have.
func holdToProblem(tb testing.TB, a answer) {
	tb.Helper()
	if len(a.body) == 0 { // of a HEAD
		return
	}
	require.Equal(tb, "application/problem+json", a.header.Get("Content-Type"))
	v := a.json(tb)
	for _, name := range []string{"code", "message", "type", "title", "status", "detail", "instance"} {
		require.NotEmpty(tb, v[name], "%s in %s", name, a.body)
	}
	require.EqualValues(tb, a.status, v["status"])
}

// createDelivery creates a delivery and returns its ID.
func (c client) createDelivery(tb testing.TB, body string) string {
	tb.Helper()
	return c.call(tb, http.StatusCreated, "POST", "/api/v1/deliveries", body).field(tb, "id")
}

// company returns a qualification of the company of that ID.
func company(id string) string {
	return `{"company":{"id":"` + id + `","name":"Acme Corp","domain":"acme.com"},` +
		`"prospects":[{"id":"pros_456def","email":"jane.doe@acme.com"}],` +
		`"qualification_score":85,"match_reasons":["Uses HubSpot","Revenue > $10M"]}`
}
