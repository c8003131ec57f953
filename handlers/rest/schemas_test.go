package rest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

func TestEveryTypeOfEventIsDescribedToAnybody(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	anybody := client{url: f.url}
	list := anybody.call(t, http.StatusOK, "GET", "/api/v1/event-types", "")
	items := list.items(t)
	require.Len(t, items, len(domain.Schemas()))
	require.EqualValues(t, len(items), list.json(t)["total"])
	for i, s := range domain.Schemas() {
		require.Equal(t, map[string]any{
			"type": s.Type, "version": float64(s.Version), "current": s.Current, "description": s.Description,
		}, items[i])
		path := "/api/v1/event-types/" + s.Type + "?version=" + encode(t, s.Version)
		a := anybody.call(t, http.StatusOK, "GET", path, "")
		require.Equal(t, "application/schema+json", a.header.Get("Content-Type"))
		require.Equal(t, string(s.Document), string(a.body))
		if s.Current {
			require.Equal(t, a.body, anybody.call(t, http.StatusOK, "GET", "/api/v1/event-types/"+s.Type, "").body)
		}
	}
	for path, status := range map[string]int{
		"company.forgotten": http.StatusNotFound, "delivery.paused?version=99": http.StatusNotFound,
		"delivery.paused?version=0": http.StatusUnprocessableEntity, "delivery.paused?version=one": http.StatusUnprocessableEntity,
	} {
		anybody.call(t, status, "GET", "/api/v1/event-types/"+path, "")
	}

	delivery := c.createDelivery(t, sampleDelivery)
	f.settled(t)
	for _, event := range c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+delivery+"/events", "").items(t) {
		anybody.call(t, http.StatusOK, "GET", "/api/v1/event-types/"+event["type"].(string)+"?version="+encode(t, event["schema_version"]), "")
	}
}
