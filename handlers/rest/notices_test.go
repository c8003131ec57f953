package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestOperationalWebhooksAreShownLikeAllDispatches(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"CRM Sync"}`)
	dst := c.call(t, http.StatusCreated, "POST", path+"/destinations", `{"type":"webhook","url":"https://a.com/x"}`).field(t, "id")
	watching := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"Operations"}`)
	c.call(t, http.StatusCreated, "POST", watching+"/destinations", `{"type":"webhook","url":"https://a.com/ops","events":["dispatch.failed"]}`)
	c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_1"))
	c.call(t, http.StatusOK, "POST", watching+"/qualifications", company("comp_1"))
	f.shown(t, projections.Dispatches())
	failed := c.call(t, http.StatusOK, "GET", path+"/dispatches", "").items(t)[0]
	require.Equal(t, "delivery.company_qualified", failed["event"])
	require.Empty(t, c.call(t, http.StatusOK, "GET", watching+"/dispatches", "").items(t), "it is told of no companies")

	_, err := eventstore.Execute(t.Context(), f.store, domain.RecordAttempt{Error: "it answered 503", Attempt: domain.Attempt{
		Dispatch: domain.DispatchID(failed["id"].(string)), HandOver: domain.HandOverID(failed["delivery_id"].(string)),
		Delivery: domain.DeliveryID(strings.TrimPrefix(path, "/api/v1/deliveries/")), Destination: domain.DestinationID(dst), Number: 1,
	}})
	require.NoError(t, err)
	f.shown(t, projections.Dispatches())
	told := c.call(t, http.StatusOK, "GET", watching+"/dispatches?status=pending", "").items(t)
	require.Len(t, told, 1)
	require.Equal(t, "dispatch.failed", told[0]["event"])
	require.EqualValues(t, 1, told[0]["sequence"])
	require.NotContains(t, told[0], "delivery_id")
	require.Equal(t, strings.TrimPrefix(watching, "/api/v1/deliveries/"), told[0]["delivery_configuration_id"])

	one := "/api/v1/dispatches/" + told[0]["id"].(string)
	for _, caller := range []client{c, f.client(t, f.org, apikey.DeliveriesRead)} {
		payload := caller.call(t, http.StatusOK, "GET", one, "").field(t, "payload")
		require.Contains(t, payload, `{"event":"dispatch.failed",`)
		require.Contains(t, payload, `"dispatch_id":"`+failed["id"].(string)+`"`)
	}
	f.foreigner(t).call(t, http.StatusNotFound, "GET", one, "")
}
