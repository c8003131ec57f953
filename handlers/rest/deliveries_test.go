package rest_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

// What the product's documentation shows, byte for byte.
const (
	sampleDelivery = `{
"name": "CRM Sync",
"status": "active",
"schedule": "immediate"
}`
	sampleDestination = `{
"type": "webhook",
"url": "https://your-api.com/webhooks/openprospect",
"auth_type": "bearer",
"auth_token": "your-secret-token"
}`
	sampleUpdate = `{
"name": "CRM Sync (Updated)",
"status": "paused"
}`
)

func TestSamplesOfTheDocumentation(t *testing.T) {
	t.Parallel()
	c, f := setup(t)

	created := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", sampleDelivery)
	id := created.field(t, "id")
	require.Regexp(t, `^dcf_`, id)
	require.Equal(t, "CRM Sync", created.field(t, "name"))
	require.Equal(t, "active", created.field(t, "status"))
	require.Equal(t, "immediate", created.field(t, "schedule"))
	require.Regexp(t, `^[0-9a-f-]{36}$`, created.field(t, "prospect_search_id"))
	require.Equal(t, `"1"`, created.header.Get("ETag"))
	require.Equal(t, "/api/v1/deliveries/"+id, created.header.Get("Location"))
	require.Equal(t, "1", created.header.Get("Ledger-Position"))

	dst := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries/"+id+"/destinations", sampleDestination)
	require.Regexp(t, `^dst_`, dst.field(t, "id"))
	require.Equal(t, id, dst.field(t, "delivery_id"))
	require.Regexp(t, `^whsec_`, dst.field(t, "signing_secret"))
	require.NotContains(t, string(dst.body), "your-secret-token")
	require.Len(t, f.vault.secrets, 2)

	listed := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "")
	require.Len(t, listed.items(t), 1)

	read := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+id, "").json(t)
	require.Len(t, read["destinations"], 1)
	require.Equal(t, map[string]any{
		"pending": 0.0, "retrying": 0.0, "held": 0.0, "delivered": 0.0, "failed": 0.0, "cancelled": 0.0,
	}, read["counts"])

	updated := c.call(t, http.StatusOK, "PUT", "/api/v1/deliveries/"+id, sampleUpdate)
	require.Equal(t, "CRM Sync (Updated)", updated.field(t, "name"))
	require.Equal(t, "paused", updated.field(t, "status"))
	require.Equal(t, "immediate", updated.field(t, "schedule"), "an absent field keeps its value")

	c.call(t, http.StatusNoContent, "DELETE", "/api/v1/deliveries/"+id, "")
	c.call(t, http.StatusNotFound, "DELETE", "/api/v1/deliveries/"+id, "")
	c.call(t, http.StatusNotFound, "GET", "/api/v1/deliveries/"+id, "")
	require.Empty(t, c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "").items(t))
}

func TestScheduleAndTimezoneAreShownAndKept(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	shows := func(a answer, schedule, timezone string) {
		t.Helper()
		require.Equal(t, schedule, a.field(t, "schedule"))
		require.Equal(t, timezone, a.field(t, "timezone"))
	}
	created := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", `{"name":"a","schedule":"30 9 * * 1-5","timezone":"Europe/Berlin"}`)
	shows(created, "30 9 * * 1-5", "Europe/Berlin")
	path := "/api/v1/deliveries/" + created.field(t, "id")
	shows(c.call(t, http.StatusOK, "GET", path, ""), "30 9 * * 1-5", "Europe/Berlin")
	shows(c.call(t, http.StatusOK, "PUT", path, `{"name":"b"}`), "30 9 * * 1-5", "Europe/Berlin")
	shows(c.call(t, http.StatusOK, "PUT", path, `{"schedule":"0 8 * * *"}`), "0 8 * * *", "Europe/Berlin")
	shows(c.call(t, http.StatusOK, "PUT", path, `{"timezone":"Asia/Tokyo"}`), "0 8 * * *", "Asia/Tokyo")
	require.Equal(t, "Asia/Tokyo", c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "").items(t)[0]["timezone"])

	c.qualify(t, created.field(t, "id"), company("comp_1"))
	known, err := f.store.ReadStream(t.Context(), domain.HandOverStream(domain.DeliveryID(created.field(t, "id")), "comp_1"))
	require.NoError(t, err)
	var handedOver domain.CompanyQualified
	require.NoError(t, json.Unmarshal(known[0].Data, &handedOver))
	require.Equal(t, "23:00:00", handedOver.Due.UTC().Format(time.TimeOnly), "8:00 in Tokyo")

	shows(c.call(t, http.StatusOK, "PUT", path, `{"schedule":"immediate","timezone":"UTC"}`), "immediate", "UTC")
	shows(c.call(t, http.StatusOK, "GET", path, ""), "immediate", "UTC")
}
