package rest_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest"
)

func TestTestOfADestinationIsAnsweredWithWhatCameOfIt(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"CRM","status":"paused"}`) + "/destinations"
	created := c.call(t, http.StatusCreated, "POST", path, sampleDestination)
	one := path + "/" + created.field(t, "id")

	a := c.call(t, http.StatusOK, "POST", one+"/test", "")
	v := a.json(t)
	require.Equal(t, created.field(t, "id"), v["destination_id"])
	require.Equal(t, false, v["success"])
	require.InDelta(t, http.StatusUnauthorized, v["status"], 0)
	require.InDelta(t, 48.211, v["duration_ms"], 0)
	require.Equal(t, map[string]any{"X-Why": "token"}, v["response_headers"])
	require.Equal(t, "who are you?", v["response_body"])
	require.Equal(t, "the destination answered 401 Unauthorized", v["error"])
	require.NotEmpty(t, a.header.Get("Ledger-Position"))
	require.Equal(t, created.header.Get("ETag"), c.call(t, http.StatusOK, "GET", one, "").header.Get("ETag"), "it changes nothing")

	pulled := path + "/" + c.call(t, http.StatusCreated, "POST", path, `{"type":"api"}`).field(t, "id")
	require.Equal(t, "CONFLICT", c.call(t, http.StatusConflict, "POST", pulled+"/test", "").field(t, "code"))
	require.Equal(t, "DESTINATION_NOT_FOUND", c.call(t, http.StatusNotFound, "POST", path+"/dst_none/test", "").field(t, "code"))
	f.foreigner(t).call(t, http.StatusNotFound, "POST", one+"/test", "")
}

// slow takes longer than the server has patience with a database.
type slow struct{ testers }

// Test records a test after a while, unless it is given up.
func (s slow) Test(ctx context.Context, delivery domain.DeliveryID, d domain.Destination) (domain.DestinationTested, eventstore.Commit, error) {
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
	}
	return s.testers.Test(ctx, delivery, d)
}

func TestTestMayTakeTheTimeOfItsDestination(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/destinations"
	one := path + "/" + c.call(t, http.StatusCreated, "POST", path, sampleDestination).field(t, "id")
	c.url = f.serve(t, func(cfg *rest.Config) {
		cfg.Tester, cfg.Patience = slow{cfg.Tester.(testers)}, time.Second
	}).URL
	c.call(t, http.StatusOK, "POST", one+"/test", "")
}
