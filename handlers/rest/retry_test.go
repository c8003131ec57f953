package rest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// attempted records an attempt of a dispatch, which is delivered by it, or, with a fault, fails for good.
func (f *fixtures) attempted(t *testing.T, things map[string]string, fault string) {
	t.Helper()
	known, err := eventstore.Load[domain.Dispatch, domain.Event](t.Context(), f.store, domain.DispatchStream(domain.DispatchID(things["dispatch_id"])))
	require.NoError(t, err)
	_, err = eventstore.Execute(t.Context(), f.store, domain.RecordAttempt{
		Attempt: domain.Attempt{
			Dispatch: domain.DispatchID(things["dispatch_id"]), Delivery: domain.DeliveryID(things["delivery_id"]),
			Destination: domain.DestinationID(things["destination_id"]), Number: known.State.Attempts + 1, StartedAt: time.Now().UTC(), Status: 418,
		},
		Error: fault,
	})
	require.NoError(t, err)
	f.shown(t, projections.Dispatches())
}

func TestRetryOfADispatch(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	path := fill(t, "/api/v1/dispatches/{dispatch_id}", things)
	f.attempted(t, things, "I'm a teapot")
	require.Equal(t, "failed", c.call(t, http.StatusOK, "GET", path, "").field(t, "status"))

	retried := c.call(t, http.StatusOK, "POST", path+"/retry", "")
	require.Equal(t, "pending", retried.field(t, "status"))
	require.NotEmpty(t, retried.field(t, "due_at"))
	require.NotContains(t, retried.json(t), "settled_at")
	head := f.head(t)
	c.call(t, http.StatusOK, "POST", path+"/retry", "")
	require.Equal(t, head, f.head(t), "asking again before it was attempted changes nothing")

	f.attempted(t, things, "")
	c.call(t, http.StatusOK, "POST", path+"/retry", "", "X-Request-Id", "request-8")
	shown := c.call(t, http.StatusOK, "GET", path, "").json(t)
	require.Equal(t, "pending", shown["status"])
	require.EqualValues(t, 2, shown["attempt_count"])
	asked := shown["retries"].([]any)
	require.Len(t, asked, 2)
	require.EqualValues(t, 1, asked[0].(map[string]any)["attempt_count"])
	require.EqualValues(t, 2, asked[1].(map[string]any)["attempt_count"])

	f.shown(t, projections.History())
	trail := c.call(t, http.StatusOK, "GET", fill(t, "/api/v1/deliveries/{delivery_id}/events?type=dispatch.retried", things), "").items(t)
	require.Len(t, trail, 2)
	require.Equal(t, "request-8", trail[0]["request_id"])
	require.Contains(t, trail[0]["actor"], "key_")

	c.call(t, http.StatusOK, "PUT", fill(t, "/api/v1/deliveries/{delivery_id}", things), `{"status":"paused"}`)
	f.shown(t, projections.Dispatches())
	require.Equal(t, "held", c.call(t, http.StatusOK, "POST", path+"/retry", "").field(t, "status"))
}

func TestRetryIsRefusedWhereNothingCanBeSent(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	for _, ended := range []string{"/api/v1/deliveries/{delivery_id}/destinations/{destination_id}", "/api/v1/deliveries/{delivery_id}"} {
		things := c.things(t)
		path := fill(t, "/api/v1/dispatches/{dispatch_id}/retry", things)
		c.call(t, http.StatusNoContent, "DELETE", fill(t, ended, things), "")
		f.shown(t, projections.Dispatches())
		head := f.head(t)
		require.Equal(t, "CONFLICT", c.call(t, http.StatusConflict, "POST", path, "").field(t, "code"))
		require.Equal(t, head, f.head(t))
	}
}

func TestRetryIsRepeatedSafely(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	path := fill(t, "/api/v1/dispatches/{dispatch_id}/retry", things)
	f.attempted(t, things, "")
	first := c.call(t, http.StatusOK, "POST", path, "", keyed("again")...)
	f.crash(t)
	f.attempted(t, things, "") // the retry was made meanwhile
	head := f.head(t)
	require.Equal(t, "delivered", c.call(t, http.StatusOK, "POST", path, "", keyed("again")...).field(t, "status"))
	require.Equal(t, head, f.head(t), "the request had done its work")
	requireReplay(t, c.call(t, http.StatusOK, "POST", path, "", keyed("new")...), c.call(t, http.StatusOK, "POST", path, "", keyed("new")...))
	require.Equal(t, "pending", first.field(t, "status"))
}
