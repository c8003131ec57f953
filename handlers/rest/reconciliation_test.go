package rest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/projections"
)

func TestReconciliationSumsUpWhatBecameOfEachCompany(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, `{"name":"CRM Sync"}`)
	path := "/api/v1/deliveries/" + id
	c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_0"))
	dst := c.call(t, http.StatusCreated, "POST", path+"/destinations", `{"type":"webhook","url":"https://a.com/x"}`).field(t, "id")
	handOver := c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_1")).json(t)["items"].([]any)[0].(map[string]any)["delivery_id"]
	f.shown(t, projections.Companies())
	f.shown(t, projections.Dispatches())

	sums := map[string]any{
		"destination_id": dst, "owed": 1.0,
		"counts": map[string]any{"pending": 1.0, "retrying": 0.0, "held": 0.0, "delivered": 0.0, "failed": 0.0, "cancelled": 0.0},
	}
	want := map[string]any{
		"balanced": true, "handed_over": 2.0, "feed": 2.0, "destinations": []any{sums}, "differences": []any{},
	}
	r := c.call(t, http.StatusOK, "GET", path+"/reconciliation", "").json(t)
	require.Equal(t, want, without(r, "position"))

	_, err := f.pool.Exec(t.Context(), `DELETE FROM dispatches WHERE delivery_id = $1`, id)
	require.NoError(t, err)
	want["balanced"] = false
	want["differences"] = []any{map[string]any{"destination_id": dst, "logged": "pending", "count": 1.0, "delivery_ids": []any{handOver}}}
	r = c.call(t, http.StatusOK, "GET", path+"/reconciliation", "").json(t)
	require.Equal(t, want, without(r, "position"))

	r = c.call(t, http.StatusOK, "GET", path+"/reconciliation?until=2020-01-01T00:00:00Z", "").json(t)
	require.Zero(t, r["handed_over"])
	require.Equal(t, true, r["balanced"])
	c.call(t, http.StatusNotFound, "GET", "/api/v1/deliveries/dcf_none/reconciliation", "")
}
