package rest_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

// customer returns a client of another organisation, whose key may do everything that does not
// reach over organisations.
func (f *fixtures) customer(tb testing.TB) client {
	tb.Helper()
	org, err := f.keys.CreateOrganisation(tb.Context(), "Globex")
	require.NoError(tb, err)
	scopes := slices.DeleteFunc(apikey.Scopes(), func(s apikey.Scope) bool { return s == apikey.Admin })
	return f.client(tb, org.ID, scopes...)
}

// said returns what an answer says, less what differs between requests: the request's name, and
// the IDs that it was about.
func (a answer) said(tb testing.TB, ids map[string]string) map[string]any {
	tb.Helper()
	text := string(a.body)
	for name, id := range ids {
		text = strings.ReplaceAll(text, id, name)
	}
	v := answer{body: []byte(text)}.json(tb)
	delete(v, "instance")
	return v
}

// TestWhatIsAnothersIsAbsent walks the contract, also the routes that it does not have yet.
func TestWhatIsAnothersIsAbsent(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	bySearch, absent := maps.Clone(things), map[string]string{}
	search := c.call(t, http.StatusOK, "GET", fill(t, "/api/v1/deliveries/{delivery_id}", things), "").field(t, "prospect_search_id")
	bySearch["delivery_id"] = search // which some paths take in its place
	for name := range things {
		absent[name] = "absent_" + name
	}
	foreign := f.customer(t)
	for path, item := range contract().doc.Paths.Map() {
		for method, spec := range item.Operations() {
			if spec.Security != nil {
				continue
			}
			body := exampleOf(t, spec)
			if slices.Contains(asList(spec.Extensions["x-required-scopes"]), any("admin")) {
				require.True(t, strings.HasPrefix(path, "/api/v1/admin/"), "what needs admin is told by its path: %s", path)
				own := foreign.call(t, http.StatusForbidden, method, fill(t, path, things), body)
				none := foreign.call(t, http.StatusForbidden, method, fill(t, path, absent), body)
				require.Equal(t, none.said(t, absent), own.said(t, things), "it cannot be told whether there is such a thing")
				continue
			}
			if strings.Contains(path, "{") {
				none := foreign.call(t, http.StatusNotFound, method, fill(t, path, absent), body)
				before, err := f.store.Head(t.Context())
				require.NoError(t, err)
				for _, ids := range []map[string]string{things, bySearch} {
					a := foreign.call(t, http.StatusNotFound, method, fill(t, path, ids), body)
					require.Equal(t, none.said(t, absent), a.said(t, ids), "%s %s: another's is as if it were absent", method, path)
				}
				after, err := f.store.Head(t.Context())
				require.NoError(t, err)
				require.Equal(t, before, after, "%s %s: nothing happens", method, path)
				continue
			}
			a := foreign.send(t, method, path+requiredQuery(spec), body)
			if a.status == http.StatusNotFound && spec.OperationID == "proveEvent" {
				continue // TestProofsAreOfOnesOwnEvents
			}
			require.Less(t, a.status, 300, "%s %s: %s", method, path, a.body)
			for name, id := range bySearch {
				require.NotContains(t, string(a.body), id, "%s %s shows another's %s", method, path, name)
			}
			require.NotContains(t, string(a.body), things["delivery_id"], "%s %s", method, path)
		}
	}
	require.Len(t, c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "").items(t), 1, "nor does the other see what was made here")
}
