package rest_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

func TestDestinationIsChangedFieldByField(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	delivery := c.createDelivery(t, sampleDelivery)
	path := "/api/v1/deliveries/" + delivery + "/destinations"
	a := c.call(t, http.StatusCreated, "POST", path, `{"type":"webhook","url":"https://a.com/x","name":"CRM","auth_type":"bearer","auth_token":"t",
		"headers":{"x-team":"sales"},"timeout_seconds":20,"max_in_flight":3,"retry_schedule":[1,2.5],"ordered":true}`)
	one := path + "/" + a.field(t, "id")
	require.Equal(t, one, a.header.Get("Location"))
	read := c.call(t, http.StatusOK, "GET", one, "")
	require.Equal(t, a.header.Get("ETag"), read.header.Get("ETag"))
	v := read.json(t)
	require.NotContains(t, v, "signing_secret", "it is shown once")
	require.Equal(t, map[string]any{"X-Team": "sales"}, v["headers"])
	require.Equal(t, []any{1.0, 2.5}, v["retry_schedule"])
	require.Equal(t, true, a.json(t)["ordered"])
	require.Equal(t, true, v["ordered"])

	changed := c.call(t, http.StatusOK, "PUT", one, `{"timeout_seconds":30,"headers":{}}`)
	want := read.json(t)
	want["timeout_seconds"] = 30.0
	delete(want, "headers")
	got := changed.json(t)
	want["updated_at"] = got["updated_at"]
	require.Equal(t, want, got)
	require.NotEqual(t, read.header.Get("ETag"), changed.header.Get("ETag"))
	require.Equal(t, changed.body, c.call(t, http.StatusOK, "GET", one, "").body, "one reads what one wrote")

	require.NotContains(t, c.call(t, http.StatusOK, "PUT", one, `{"ordered":false}`).json(t), "ordered", "which it has where it is absent")
	told := c.call(t, http.StatusOK, "PUT", one, `{"events":["dispatch.failed","delivery.company_qualified"]}`).json(t)["events"]
	require.Equal(t, []any{"delivery.company_qualified", "dispatch.failed"}, told)
	require.Equal(t, told, c.call(t, http.StatusOK, "PUT", one, `{"timeout_seconds":31}`).json(t)["events"])
	require.NotContains(t, c.call(t, http.StatusOK, "PUT", one, `{"events":["delivery.company_qualified"]}`).json(t), "events")
	require.Equal(t, true, c.call(t, http.StatusOK, "PUT", one, `{"ordered":true}`).json(t)["ordered"])
	c.call(t, http.StatusOK, "PUT", one, `{"auth_type":"none"}`)
	c.call(t, http.StatusUnprocessableEntity, "PUT", one, `{"auth_type":"bearer"}`) // the token is gone

	_, err := eventstore.Execute(t.Context(), f.store, domain.DisableDestination{
		Delivery: domain.DeliveryID(delivery), Destination: domain.DestinationID(a.field(t, "id")), Reason: "410 Gone",
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.call(t, http.StatusOK, "GET", one, "").field(t, "disabled_reason") == "410 Gone" }, waitFor, tick)
	require.Equal(t, "disabled", c.call(t, http.StatusOK, "GET", one, "").field(t, "status"))
	require.Equal(t, "active", c.call(t, http.StatusOK, "PUT", one, `{}`).field(t, "status"))

	c.call(t, http.StatusNoContent, "DELETE", one, "")
	c.call(t, http.StatusNotFound, "DELETE", one, "")
	c.call(t, http.StatusNotFound, "PUT", one, `{}`)
	require.Equal(t, "DESTINATION_NOT_FOUND", c.call(t, http.StatusNotFound, "GET", one, "").field(t, "code"))
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	var ids []string
	for i := range 25 {
		status := []string{"active", "paused"}[i%2]
		ids = append(ids, c.createDelivery(t, `{"name":"`+strconv.Itoa(i)+`","status":"`+status+`","prospect_search_id":"s`+strconv.Itoa(i)+`"}`))
	}
	first := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "").json(t)
	require.Len(t, first["items"], 20)
	require.EqualValues(t, 25, first["total"])
	require.Equal(t, true, first["has_more"])

	for _, path := range []string{"/api/v1/deliveries?limit=7", "/api/v1/prospect-searches?limit=7"} {
		var seen int
		for next := path; next != ""; {
			a := c.call(t, http.StatusOK, "GET", next, "")
			seen += len(a.items(t))
			next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
			require.Equal(t, next != "", a.json(t)["has_more"])
		}
		require.Equal(t, 25, seen)
	}
	paused := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries?status=paused&limit=5", "")
	require.EqualValues(t, 12, paused.json(t)["total"])
	require.Contains(t, paused.header.Get("Link"), "status=paused")
	require.Equal(t, ids[23], paused.items(t)[0]["id"], "the newest comes first")

	c.createDelivery(t, `{"name":"another","prospect_search_id":"s1"}`)
	searches := c.call(t, http.StatusOK, "GET", "/api/v1/prospect-searches?limit=2", "")
	require.JSONEq(t, `[{"id":"s0","name":"0","status":"active"},{"id":"s1","name":"1","status":"active"}]`, encode(t, searches.json(t)["items"]))
}
