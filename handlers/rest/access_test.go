package rest_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

// An operation is a route of the contract with a request that it accepts.
type operation struct {
	id, method, path, body string
	scopes                 []string
	open                   bool
}

// slashed returns the path with slash behind it.
func (op operation) slashed(slash string) string {
	path, query, has := strings.Cut(op.path, "?")
	if has {
		query = "?" + query
	}
	return path + slash + query
}

// operations returns every operation of the contract, about those things.
func operations(t *testing.T, things map[string]string) []operation {
	t.Helper()
	var ops []operation
	for path, item := range contract().doc.Paths.Map() {
		for method, spec := range item.Operations() {
			op := operation{
				id: spec.OperationID, method: method, open: spec.Security != nil, path: fill(t, path, things) + requiredQuery(spec),
			}
			for _, scope := range asList(spec.Extensions["x-required-scopes"]) {
				op.scopes = append(op.scopes, scope.(string))
			}
			op.body = exampleOf(t, spec)
			ops = append(ops, op)
		}
	}
	require.NotEmpty(t, ops)
	return ops
}

// asList returns v as a list, nil when it is none.
func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// exampleOf returns the body that the contract gives as an example, "" when there is none.
func exampleOf(t *testing.T, spec *openapi3.Operation) string {
	t.Helper()
	if spec.RequestBody == nil {
		return ""
	}
	example := spec.RequestBody.Value.Content["application/json"].Example
	require.NotNil(t, example, "%s shows no example", spec.OperationID)
	return encode(t, example)
}

func TestEveryOperationAsksForAKeyAndItsScopes(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	scopeless := f.client(t, f.org)
	for _, op := range operations(t, c.things(t)) {
		t.Run(op.id, func(t *testing.T) {
			for _, slash := range []string{"", "/"} {
				path := op.slashed(slash)
				if op.open {
					client{url: f.url}.call(t, http.StatusOK, op.method, path, "")
					continue
				}
				for _, key := range []string{"", "nonsense", "lnc_live_", "lnc_live_unknown"} {
					a := client{url: f.url, key: key}.call(t, http.StatusUnauthorized, op.method, path, op.body)
					require.Equal(t, "UNAUTHORIZED", a.field(t, "code"))
					require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"))
				}
				if len(op.scopes) == 0 {
					scopeless.call(t, http.StatusOK, op.method, path, op.body)
				} else {
					a := scopeless.call(t, http.StatusForbidden, op.method, path, op.body)
					require.Equal(t, "AUTHORIZATION_ERROR", a.field(t, "code"))
					details := a.json(t)["details"].(map[string]any)
					require.Len(t, details["required_scopes"], len(op.scopes))
					require.Equal(t, []any{}, details["user_scopes"])
				}
			}
		})
	}
	require.Len(t, c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "").items(t), 1, "nobody else did anything")
}

func TestEveryOperationAnswersWithAndWithoutFinalSlash(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	for _, slash := range []string{"", "/"} {
		ops := operations(t, c.things(t))
		slices.SortStableFunc(ops, func(a, b operation) int { // what is deepest is deleted first, and all that last
			if deletes := a.method == http.MethodDelete; deletes != (b.method == http.MethodDelete) {
				return map[bool]int{true: 1, false: -1}[deletes]
			}
			return len(b.path) - len(a.path)
		})
		for _, op := range ops {
			a := c.send(t, op.method, op.slashed(slash), op.body)
			require.Less(t, a.status, 300, "%s %s: %s", op.method, op.slashed(slash), a.body)
		}
	}
	require.NotContains(t, f.log.String(), `"level":"ERROR"`)
}

func TestFeedNeedsBothScopes(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/companies"
	f.client(t, f.org, apikey.CompaniesRead).call(t, http.StatusForbidden, "GET", path, "")
	f.client(t, f.org, apikey.ProspectsRead).call(t, http.StatusForbidden, "GET", path, "")
	f.client(t, f.org, apikey.CompaniesRead, apikey.ProspectsRead).call(t, http.StatusOK, "GET", path, "")
}

func TestKeysEnd(t *testing.T) {
	t.Parallel()
	_, f := setup(t)
	past := time.Now().Add(-time.Minute)
	_, expired, err := f.keys.Create(t.Context(), apikey.NewKey{Organisation: f.org, ExpiresAt: &past})
	require.NoError(t, err)
	client{url: f.url, key: expired}.call(t, http.StatusUnauthorized, "GET", "/api/v1/auth/validate", "")

	key, text, err := f.keys.Create(t.Context(), apikey.NewKey{Organisation: f.org, Scopes: []apikey.Scope{apikey.DeliveriesRead}, Test: true})
	require.NoError(t, err)
	require.Regexp(t, `^lnc_test_`, text)
	a := client{url: f.url, key: text}.call(t, http.StatusOK, "GET", "/api/v1/auth/validate", "")
	require.JSONEq(t, `{"valid": true, "scopes": ["deliveries:read"]}`, string(a.body))
	revoked, err := f.keys.Revoke(t.Context(), key.ID)
	require.NoError(t, err)
	require.True(t, revoked)
	client{url: f.url, key: text}.call(t, http.StatusUnauthorized, "GET", "/api/v1/auth/validate", "")
}

func TestRequestIsNamedAndRecorded(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	a := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", sampleDelivery, "X-Request-Id", "my-request.1")
	require.Equal(t, "my-request.1", a.header.Get("X-Request-Id"))
	records, err := f.store.ReadStream(t.Context(), "delivery/"+a.field(t, "id"))
	require.NoError(t, err)
	require.Regexp(t, `"actor":"key_.*"request":"my-request.1"`, string(records[0].Metadata))
	require.Contains(t, f.log.String(), `"route":"/api/v1/deliveries","status":201`)
	require.Contains(t, f.log.String(), `"request":"my-request.1"`)

	a = c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "", "X-Request-Id", "no good\tone")
	require.Regexp(t, `^[0-9a-f-]{36}$`, a.header.Get("X-Request-Id"))
	a = c.call(t, http.StatusNotFound, "GET", "/api/v1/deliveries/dcf_absent", "", "X-Request-Id", "my-request.2")
	require.Equal(t, "urn:request:my-request.2", a.field(t, "instance"))
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	require.Equal(t, "ENTITY_NOT_FOUND", c.call(t, http.StatusNotFound, "GET", "/api/v1/nonsense", "").field(t, "code"))
	c.call(t, http.StatusNotFound, "GET", "/api/v1/deliveries/a%00b", "")
	c.call(t, http.StatusNotFound, "GET", "/api/v1/deliveries/a%FFb/companies", "")
	c.call(t, http.StatusNotFound, "GET", "/api/v1/deliveries/a%25b%2Fc/companies", "")

	a := c.call(t, http.StatusMethodNotAllowed, "PATCH", "/api/v1/deliveries", "{}")
	require.Equal(t, "METHOD_NOT_ALLOWED", a.field(t, "code"))
	require.ElementsMatch(t, []string{"GET", "HEAD", "OPTIONS", "POST"}, strings.Split(a.header.Get("Allow"), ", "))
	a = client{url: c.url}.call(t, http.StatusNoContent, "OPTIONS", "/api/v1/deliveries", "")
	require.Contains(t, a.header.Get("Allow"), "POST")

	id := c.createDelivery(t, sampleDelivery)
	a = c.call(t, http.StatusOK, "HEAD", "/api/v1/deliveries/"+id, "")
	require.Empty(t, a.body)
	require.Equal(t, `"1"`, a.header.Get("ETag"))
}

func TestLargeAnswersAreCompressed(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	for range 20 {
		c.createDelivery(t, `{"name":"`+strings.Repeat("x", 100)+`"}`)
	}
	plain := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "", "Accept-Encoding", "identity")
	require.Empty(t, plain.header.Get("Content-Encoding"))
	for _, path := range []string{"/api/v1/deliveries", "/openapi.json"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+path, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+c.key)
		r.Header.Set("Accept-Encoding", "gzip")
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, "gzip", res.Header.Get("Content-Encoding"), path)
		require.Contains(t, res.Header.Values("Vary"), "Accept-Encoding")
	}
	unpacked := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "") // the client's transport unpacks
	require.True(t, bytes.Equal(plain.body, unpacked.body))
}

func TestLargeErrorComesWhole(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	long := strings.Repeat("x", 3000)
	a := c.call(t, http.StatusNotFound, "GET", "/api/v1/deliveries/"+long, "", "Accept-Encoding", "gzip")
	require.Empty(t, a.header.Get("Content-Encoding"))
	require.Contains(t, a.field(t, "message"), long)
}
