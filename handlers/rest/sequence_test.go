package rest_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestStretchesOfASequenceAreListedInOrder(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"CRM Sync"}`)
	hook := func() string {
		return c.call(t, http.StatusCreated, "POST", path+"/destinations", `{"type":"webhook","url":"https://a.com/x"}`).field(t, "id")
	}
	early := hook()
	c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_0"))
	late := hook() // which has numbers of its own
	for i := range 5 {
		c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_"+strconv.Itoa(i+1)))
	}
	f.shown(t, projections.Dispatches())

	for query, want := range map[string][]any{
		"destination=" + early + "&sequence_after=0":                  {1.0, 2.0, 3.0, 4.0, 5.0, 6.0},
		"destination=" + late + "&sequence_after=0":                   {1.0, 2.0, 3.0, 4.0, 5.0},
		"destination=" + late + "&sequence_after=1&sequence_until=2":  {2.0},
		"destination=" + late + "&sequence_until=2":                   {1.0, 2.0},
		"destination=" + late + "&sequence_after=3&sequence_until=99": {4.0, 5.0},
		"destination=" + late + "&sequence_after=3&sequence_until=3":  {},
		"destination=" + late + "&sequence_after=9223372036854775807": {},
		"destination=dst_other&sequence_after=0":                      {},
	} {
		a := c.call(t, http.StatusOK, "GET", path+"/dispatches?"+query, "")
		require.Equal(t, want, sequences(t, a), query)
		require.EqualValues(t, len(want), a.json(t)["total"], query)
		require.Equal(t, false, a.json(t)["has_more"], query)
	}
	require.Equal(t, []any{4.0, 5.0}, sequences(t, c.call(t, http.StatusOK, "GET", path+"/dispatches?sequence_after=1&offset=2&destination="+late, "")))
	var paged []any
	for next := path + "/dispatches?limit=2&sequence_after=1&destination=" + late; next != ""; {
		a := c.call(t, http.StatusOK, "GET", next, "")
		require.EqualValues(t, 4, a.json(t)["total"])
		paged = append(paged, sequences(t, a)...)
		next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
	}
	require.Equal(t, []any{2.0, 3.0, 4.0, 5.0}, paged)

	for query, faults := range map[string][]string{
		"sequence_after=1": {"destination"},
		"destination=" + late + "&sequence_until=1&status=failed&since=2025-01-01T00:00:00Z&until=2025-01-01T00:00:00Z": {"status", "since", "until"},
		"destination=" + late + "&sequence_after=-1&sequence_until=0":                                                   {"sequence_after", "sequence_until"},
		"destination=" + late + "&sequence_after=1&cursor=AAAA":                                                         {"cursor"},
	} {
		require.ElementsMatch(t, faults, c.call(t, http.StatusUnprocessableEntity, "GET", path+"/dispatches?"+query, "").faults(t), query)
	}
	f.foreigner(t).call(t, http.StatusNotFound, "GET", path+"/dispatches?sequence_after=1&destination="+late, "")
}

// sequences returns the numbers of the dispatches that a page lists.
func sequences(t *testing.T, a answer) []any {
	t.Helper()
	numbers := []any{}
	for _, item := range a.items(t) {
		numbers = append(numbers, item["sequence"])
	}
	return numbers
}

func TestPayloadIsForThoseWhoMayReadCompaniesAndProspects(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"CRM Sync"}`)
	c.call(t, http.StatusCreated, "POST", path+"/destinations", `{"type":"webhook","url":"https://a.com/x"}`)
	c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_1"))
	f.shown(t, projections.Dispatches())
	dispatch := "/api/v1/dispatches/" + c.call(t, http.StatusOK, "GET", path+"/dispatches", "").items(t)[0]["id"].(string)
	require.Contains(t, c.call(t, http.StatusOK, "GET", dispatch, "").field(t, "payload"), `"company":{"id":"comp_1"`)
	for _, scopes := range [][]apikey.Scope{
		{apikey.DeliveriesRead}, {apikey.DeliveriesRead, apikey.CompaniesRead}, {apikey.DeliveriesRead, apikey.ProspectsRead},
	} {
		require.NotContains(t, string(f.client(t, f.org, scopes...).call(t, http.StatusOK, "GET", dispatch, "").body), "comp_1")
	}
}
