package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// promisedWebhook returns what a running ledger says that it sends to destinations of an event, by its name
// among the callbacks.
func (c client) promisedWebhook(tb testing.TB, name string) *routers.Route {
	tb.Helper()
	_, _, text, err := c.do(tb.Context(), http.MethodGet, "/openapi.json", "", "")
	require.NoError(tb, err)
	doc, err := openapi3.NewLoader().LoadFromData(text)
	require.NoError(tb, err)
	callback := doc.Paths.Find("/api/v1/deliveries/{delivery_id}/destinations").Post.Callbacks[name].Value
	item := callback.Value("{$request.body#/url}")
	return &routers.Route{Spec: doc, Method: http.MethodPost, PathItem: item, Operation: item.Post}
}

func TestWebhookIsWhatTheContractSays(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	c := serve(t, database, encryptionKey(), "--retry-schedule", "1ms").at(newKey(t, database))
	r := newReceiver(t, func(n int) int { return map[bool]int{true: 500, false: 200}[n == 1] })
	c.qualify(t, c.delivery(t, r.url), "comp_1")
	for _, got := range r.await(t, 2) {
		c.holdToContract(t, got, "companyQualified")
	}
}

func TestOperationalWebhooksAreWhatTheContractSays(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	c := serve(t, database, encryptionKey(), "--retry-schedule", "1ms", "--disable-after-dispatches", "1", "--disable-after-time", "1ns").at(newKey(t, database))
	bad := newReceiver(t, func(n int) int {
		return map[bool]int{true: http.StatusInternalServerError, false: http.StatusOK}[n <= 2]
	})
	r := newReceiver(t, func(int) int { return http.StatusOK })
	watching := c.must(t, http.StatusCreated, "POST", "/api/v1/deliveries", `{"name":"Operations"}`)["id"].(string)
	c.must(t, http.StatusCreated, "POST", "/api/v1/deliveries/"+watching+"/destinations",
		`{"type":"webhook","url":"`+r.url+`","events":["dispatch.failed","destination.disabled","destination.recovered"]}`)
	delivery := c.delivery(t, bad.url)
	c.qualify(t, delivery, "comp_1")
	r.await(t, 2)
	path := "/api/v1/deliveries/" + delivery
	list := c.must(t, http.StatusOK, "GET", path+"/destinations", "")
	c.must(t, http.StatusOK, "POST", path+"/destinations/"+list["items"].([]any)[0].(map[string]any)["id"].(string)+"/enable", "")
	c.qualify(t, delivery, "comp_2")
	names := map[string]string{
		"dispatch.failed": "dispatchFailed", "destination.disabled": "destinationDisabled", "destination.recovered": "destinationRecovered",
	}
	for _, got := range r.await(t, 3) {
		var told struct{ Event string }
		require.NoError(t, json.Unmarshal([]byte(got.body), &told))
		require.Contains(t, names, told.Event)
		c.holdToContract(t, got, names[told.Event])
		delete(names, told.Event)
	}
	c.awaitCaughtUp(t)
	require.EqualValues(t, 1, c.must(t, http.StatusOK, "GET", path+"/events?type=destination.recovered", "")["total"])
}

// holdToContract holds a request that a receiver got against what is promised.
func (c client) holdToContract(t *testing.T, got webhook, name string) {
	t.Helper()
	promised := c.promisedWebhook(t, name)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://receiver.example", strings.NewReader(got.body))
	require.NoError(t, err)
	req.Header = got.header
	require.NoError(t, openapi3filter.ValidateRequest(t.Context(), &openapi3filter.RequestValidationInput{
		Request: req, Route: promised, Options: &openapi3filter.Options{MultiError: true},
	}))
	for header := range got.header {
		listed := slices.ContainsFunc(promised.Operation.Parameters, func(p *openapi3.ParameterRef) bool { return strings.EqualFold(p.Value.Name, header) })
		require.True(t, listed || slices.Contains([]string{"Content-Type", "Content-Length", "Accept-Encoding"}, header), "%s is sent and not listed", header)
	}
	schema := promised.Operation.RequestBody.Value.Content["application/json"].Schema.Value
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.body), &fields))
	require.ElementsMatch(t, keysOf(fields), keysOf(schema.Properties))
	require.ElementsMatch(t, keysOf(fields["data"].(map[string]any)), keysOf(schema.Properties["data"].Value.Properties))
}
