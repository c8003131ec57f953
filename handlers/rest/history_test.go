package rest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/projections"
)

// shown waits until a read model shows all that the log has.
func (f *fixtures) shown(t *testing.T, p projections.Projection) {
	t.Helper()
	head, err := f.store.Head(t.Context())
	require.NoError(t, err)
	require.NoError(t, f.store.Await(t.Context(), p.Name, head))
}

// kinds returns the types of a page's events.
func kinds(t *testing.T, a answer) (types []string) {
	t.Helper()
	for _, item := range a.items(t) {
		types = append(types, item["type"].(string))
	}
	return types
}

func TestAuditTrailTellsAllThatHappenedToADelivery(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, `{"name":"CRM Sync"}`)
	path := "/api/v1/deliveries/" + id
	c.call(t, http.StatusCreated, "POST", path+"/destinations", `{"type":"webhook","url":"https://a.com/x","auth_type":"bearer","auth_token":"hidden"}`)
	c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_1"), "X-Request-Id", "request-7")
	c.call(t, http.StatusOK, "PUT", path, `{"status":"paused"}`)
	f.shown(t, projections.History())

	all := c.call(t, http.StatusOK, "GET", path+"/events", "")
	require.Equal(t, []string{"delivery.paused", "company.qualified", "destination.added", "delivery.created"}, kinds(t, all))
	require.EqualValues(t, 4, all.json(t)["total"])
	require.NotContains(t, string(all.body), "hidden")
	require.NotContains(t, string(all.body), "_secret", "not even the names of secrets")
	handedOver := all.items(t)[1]
	require.Equal(t, "request-7", handedOver["request_id"])
	require.Contains(t, handedOver["actor"], "key_")
	require.Equal(t, "comp_1", handedOver["data"].(map[string]any)["company_id"])
	require.NotContains(t, string(all.body), "jane.doe", "prospects need a scope of their own")

	t.Run("page by page", func(t *testing.T) {
		t.Parallel()
		var got []string
		for next := path + "/events?limit=3"; next != ""; {
			a := c.call(t, http.StatusOK, "GET", next, "")
			got = append(got, kinds(t, a)...)
			require.Equal(t, a.json(t)["has_more"], a.header.Get("Link") != "")
			next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
		}
		require.Equal(t, kinds(t, all), got)
		require.Equal(t, []string{"company.qualified"}, kinds(t, c.call(t, http.StatusOK, "GET", path+"/events?limit=1&offset=1", "")))
	})
	t.Run("filtered", func(t *testing.T) {
		t.Parallel()
		at := url.QueryEscape(handedOver["recorded_at"].(string))
		require.Equal(t, []string{"delivery.paused"}, kinds(t, c.call(t, http.StatusOK, "GET", path+"/events?type=delivery.paused", "")))
		require.Equal(t, []string{"delivery.paused", "company.qualified"}, kinds(t, c.call(t, http.StatusOK, "GET", path+"/events?since="+at, "")))
		require.Equal(t, []string{"destination.added", "delivery.created"}, kinds(t, c.call(t, http.StatusOK, "GET", path+"/events?until="+at, "")))
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		cursor := c.call(t, http.StatusOK, "GET", path+"/events?limit=1", "").field(t, "next_cursor")
		for query, fields := range map[string][]string{
			"type=delivery.exploded":                     {"type"},
			"cursor=%21":                                 {"cursor"},
			"cursor=" + cursor + "&offset=1":             {"offset"},
			"cursor=" + cursor + "&type=delivery.paused": {"cursor"},
			"type=x&cursor=&offset=3":                    {"type", "offset", "cursor"},
		} {
			require.Equal(t, fields, c.call(t, http.StatusUnprocessableEntity, "GET", path+"/events?"+query, "").faults(t), query)
		}
		require.Equal(t, "DELIVERY_NOT_FOUND", f.foreigner(t).call(t, http.StatusNotFound, "GET", path+"/events", "").field(t, "code"))
	})
}

func TestAuditTrailOutlivesItsDelivery(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"CRM Sync"}`)
	c.call(t, http.StatusNoContent, "DELETE", path, "")
	f.shown(t, projections.History())
	f.shown(t, projections.Dispatches())
	require.Equal(t, []string{"delivery.deleted", "delivery.created"}, kinds(t, c.call(t, http.StatusOK, "GET", path+"/events", "")))
	f.foreigner(t).call(t, http.StatusNotFound, "GET", path+"/events", "")
}

func TestAuditTrailTellsOfCompaniesWithNumbersBeyondAllBounds(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	id := c.createDelivery(t, judgedDelivery)
	huge := `"company":{"id":"a","name":"x","revenue":1e400}`
	c.qualify(t, id, `{`+huge+`,"qualification_score":1}`)
	_, a := c.judge(t, id, strings.Replace(`{`+huge+`,"attributes":{"x":1e400}}`, `"a"`, `"b"`, 1))
	trail := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+id+"/events?limit=2", "", minPosition, a.header.Get("Ledger-Position"))
	require.Equal(t, []string{"company.disqualified", "company.qualified"}, kinds(t, trail))
}
