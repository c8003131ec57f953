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

// failed records n attempts at a destination that came to nothing, with more to come on that schedule.
func (f *fixtures) failed(t *testing.T, things map[string]string, n int, retries ...time.Duration) {
	t.Helper()
	destination := domain.DestinationID(things["destination_id"])
	for range n {
		_, err := eventstore.Execute(t.Context(), f.store, domain.RecordAttempt{
			Attempt: domain.Attempt{
				Dispatch: domain.DispatchIDFor(domain.NewHandOverID(), destination), Delivery: domain.DeliveryID(things["delivery_id"]),
				Destination: destination, Number: 1, StartedAt: time.Now().UTC(), Status: 500,
			},
			Error: "it answered 500", Retries: retries,
		})
		require.NoError(t, err)
	}
	f.shown(t, projections.Dispatches())
}

func TestHealthOfADestination(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	destination := fill(t, "/api/v1/deliveries/{delivery_id}/destinations/{destination_id}", things)
	health := func() map[string]any {
		return c.call(t, http.StatusOK, "GET", destination+"/health", "").json(t)
	}
	owing := map[string]any{"pending": 1., "retrying": 0., "held": 0., "delivered": 0., "failed": 0., "cancelled": 0.}
	fresh := health()
	require.NotEmpty(t, fresh["oldest_due_at"])
	require.Equal(t, map[string]any{
		"destination_id": things["destination_id"], "status": "active", "breaker": "closed", "consecutive_failures": 0.,
		"exhausted_dispatches": 0., "counts": owing, "oldest_due_at": fresh["oldest_due_at"],
	}, fresh)

	f.failed(t, things, domain.BreakerOpens-1, time.Hour)
	require.Equal(t, "closed", health()["breaker"])
	require.NotEmpty(t, health()["failing_since"])
	_, err := f.pool.Exec(t.Context(), `UPDATE dispatch_targets SET failing_since = failing_since - interval '1 hour'`)
	require.NoError(t, err)
	f.failed(t, things, 9, time.Hour)
	f.failed(t, things, 1)
	failing := health()
	require.Equal(t, "open", failing["breaker"])
	require.EqualValues(t, domain.BreakerOpens+9, failing["consecutive_failures"])
	require.EqualValues(t, 1, failing["exhausted_dispatches"])
	probe, err := time.Parse(time.RFC3339, failing["next_probe_at"].(string))
	require.NoError(t, err)
	require.True(t, probe.After(time.Now()), "%s", probe)

	f.attempted(t, things, "")
	recovered := health()
	require.Equal(t, "closed", recovered["breaker"])
	for _, name := range []string{"failing_since", "next_probe_at", "oldest_due_at"} {
		require.NotContains(t, recovered, name)
	}

	_, err = eventstore.Execute(t.Context(), f.store, domain.DisableDestination{
		Delivery: domain.DeliveryID(things["delivery_id"]), Destination: domain.DestinationID(things["destination_id"]), Reason: "it answered 410 Gone",
	})
	require.NoError(t, err)
	c.qualify(t, things["delivery_id"], company("comp_2"))
	f.shown(t, projections.Deliveries())
	f.shown(t, projections.Dispatches())
	require.Equal(t, "disabled", health()["status"])
	require.EqualValues(t, 1, health()["counts"].(map[string]any)["held"])

	pulled := c.call(t, http.StatusCreated, "POST", fill(t, "/api/v1/deliveries/{delivery_id}/destinations", things), `{"type":"api"}`).field(t, "id")
	things["destination_id"] = pulled
	require.Equal(t, "closed", c.call(t, http.StatusOK, "GET", fill(t, "/api/v1/deliveries/{delivery_id}/destinations/{destination_id}/health", things), "").field(t, "breaker"))
	things["destination_id"] = "dst_none"
	require.Equal(t, "DESTINATION_NOT_FOUND", c.call(t, http.StatusNotFound, "GET", fill(t, "/api/v1/deliveries/{delivery_id}/destinations/{destination_id}/health", things), "").field(t, "code"))
}
