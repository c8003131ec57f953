package rest_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// dispatched hands a company over and records that its dispatch failed for good, or, without a fault, was
// delivered.
func (c client) dispatched(t *testing.T, f *fixtures, things map[string]string, id, fault string) {
	t.Helper()
	_, a := c.qualify(t, things["delivery_id"], company(id))
	handOver := domain.HandOverID(a.items(t)[0]["delivery_id"].(string))
	about := map[string]string{"delivery_id": things["delivery_id"], "destination_id": things["destination_id"]}
	about["dispatch_id"] = string(domain.DispatchIDFor(handOver, domain.DestinationID(things["destination_id"])))
	f.attempted(t, about, fault)
}

// giveUp disables a destination of which 2 dispatches failed since a time.
func (f *fixtures) giveUp(t *testing.T, things map[string]string, since time.Time) {
	t.Helper()
	stream := domain.DeliveryStream(domain.DeliveryID(things["delivery_id"]))
	known, err := eventstore.Load[domain.Delivery, domain.Event](t.Context(), f.store, stream)
	require.NoError(t, err)
	o, err := eventstore.Execute(t.Context(), f.store, domain.GiveUpDestination{
		Delivery: known.State.ID, Destination: domain.DestinationID(things["destination_id"]), Revision: known.State.Revision,
		Exhausted: 2, FailingSince: since, Tolerance: domain.Tolerance{Dispatches: 2},
	})
	require.NoError(t, err)
	require.Positive(t, o.Commit.Position)
	f.shown(t, projections.Deliveries())
	f.shown(t, projections.Dispatches())
}

// failing makes dispatches of a destination: one that failed long ago, one that was delivered, and two that failed
// since. It returns when the first of these did.
func (c client) failing(t *testing.T, f *fixtures, things map[string]string) time.Time {
	t.Helper()
	f.attempted(t, things, "it failed long ago")
	c.dispatched(t, f, things, "comp_2", "")
	c.dispatched(t, f, things, "comp_3", "it failed")
	health, err := projections.NewViews(f.pool).Health(t.Context(), domain.DestinationID(things["destination_id"]))
	require.NoError(t, err)
	c.dispatched(t, f, things, "comp_4", "it failed")
	return *health.FailingSince
}

func TestEnablingReplaysWhatFailedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, disable := range map[string]func(*testing.T, *fixtures, map[string]string, time.Time){
		"given up": func(t *testing.T, f *fixtures, things map[string]string, since time.Time) {
			t.Helper()
			f.giveUp(t, things, since)
		},
		"gone": func(t *testing.T, f *fixtures, things map[string]string, _ time.Time) {
			t.Helper()
			_, err := eventstore.Execute(t.Context(), f.store, domain.DisableDestination{
				Delivery: domain.DeliveryID(things["delivery_id"]), Destination: domain.DestinationID(things["destination_id"]), Reason: "it answered 410 Gone",
			})
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, f := setup(t)
			things := c.things(t)
			since := c.failing(t, f, things)
			disable(t, f, things, since)
			enabled := c.call(t, http.StatusOK, "POST", fill(t, "/api/v1/deliveries/{delivery_id}/destinations/{destination_id}/enable", things), `{"replay_failed":true}`)
			require.Equal(t, "active", enabled.field(t, "status"))
			delivery := fill(t, "/api/v1/deliveries/{delivery_id}", things)
			job := c.call(t, http.StatusOK, "GET", delivery+"/replays/"+enabled.field(t, "replay_id"), "")
			require.EqualValues(t, 2, job.json(t)["count"])
			require.Equal(t, map[string]any{
				"status": "failed", "destination": things["destination_id"], "ended_since": since.UTC().Format(time.RFC3339Nano),
			}, job.json(t)["filter"])
			f.shown(t, projections.History())
			require.Equal(t, []string{"destination.enabled", "replay.started"}, kinds(t, c.call(t, http.StatusOK, "GET", delivery+"/events?limit=2", "")))
			again := c.call(t, http.StatusAccepted, "POST", delivery+"/replay", `{"ended_since":"`+since.UTC().Format(time.RFC3339Nano)+`"}`)
			require.EqualValues(t, 2, again.json(t)["count"], "for whoever asks by hand too")
		})
	}
}

func TestEnablingReplaysOnlyIfAskedAndNeeded(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	since := c.failing(t, f, things)
	enable := fill(t, "/api/v1/deliveries/{delivery_id}/destinations/{destination_id}/enable", things)
	head := f.head(t)
	require.NotContains(t, c.call(t, http.StatusOK, "POST", enable, `{"replay_failed":true}`).json(t), "replay_id")
	require.Equal(t, head, f.head(t), "it is not disabled")
	for _, body := range []string{"", `{}`, `{"replay_failed":false}`} {
		f.giveUp(t, things, since)
		head := f.head(t)
		a := c.call(t, http.StatusOK, "POST", enable, body)
		require.NotContains(t, a.json(t), "replay_id")
		require.Equal(t, "active", a.field(t, "status"))
		require.Equal(t, head+1, f.head(t))
	}
	f.giveUp(t, things, since)
	head = f.head(t)
	c.call(t, http.StatusPreconditionFailed, "POST", enable, `{"replay_failed":true}`, "If-Match", `"1"`)
	require.Equal(t, []string{"replay"}, c.call(t, http.StatusUnprocessableEntity, "POST", enable, `{"replay":true}`).faults(t))
	other := fill(t, "/api/v1/deliveries/{delivery_id}/destinations/dst_none/enable", things)
	c.call(t, http.StatusNotFound, "POST", other, `{"replay_failed":true}`)
	f.foreigner(t).call(t, http.StatusNotFound, "POST", enable, `{"replay_failed":true}`)
	require.Equal(t, head, f.head(t))
}

func TestEnablingAndItsReplayAreOneAndComeOnce(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	since := c.failing(t, f, things)
	f.giveUp(t, things, since)
	enable := fill(t, "/api/v1/deliveries/{delivery_id}/destinations/{destination_id}/enable", things)
	first := c.call(t, http.StatusOK, "POST", enable, `{"replay_failed":true}`, keyed("e")...)
	f.crash(t)
	head := f.head(t)
	again := c.call(t, http.StatusOK, "POST", enable, `{"replay_failed":true}`, keyed("e")...)
	require.Equal(t, first.json(t), again.json(t))
	require.Equal(t, first.header.Get("Ledger-Position"), again.header.Get("Ledger-Position"))
	require.Equal(t, head, f.head(t))

	f.giveUp(t, things, since)
	head = f.head(t)
	var all sync.WaitGroup
	started := make(chan any, 8)
	for range cap(started) {
		all.Go(func() {
			started <- c.send(t, "POST", enable, `{"replay_failed":true}`).json(t)["replay_id"]
		})
	}
	all.Wait()
	close(started)
	var jobs []any
	for id := range started {
		if id != nil {
			jobs = append(jobs, id)
		}
	}
	require.Len(t, jobs, 1)
	require.Equal(t, head+2, f.head(t), "one enabling, one replay")
}
