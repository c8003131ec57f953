package rest_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestBackfillIsCountedStartedShownAndCancelled(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery)
	c.call(t, http.StatusOK, "POST", path+"/qualifications", "["+company("comp_1")+","+company("comp_2")+"]")
	dst := c.call(t, http.StatusCreated, "POST", path+"/destinations", sampleDestination).field(t, "id")
	c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_3"))
	fill := path + "/destinations/" + dst + "/backfill"
	head := f.head(t)
	for body, want := range map[string]int{
		`{"dry_run":true}`: 2,
		`{"dry_run":true,"since":"2020-01-01T00:00:00Z","until":"2200-01-01T00:00:00+01:00"}`: 2,
		`{"dry_run":true,"since":"2200-01-01T00:00:00Z"}`:                                     0,
		`{"dry_run":true,"until":"2020-01-01T00:00:00Z"}`:                                     0,
	} {
		require.EqualValues(t, want, c.call(t, http.StatusOK, "POST", fill, body).json(t)["count"], body)
	}
	require.Equal(t, head, f.head(t), "a dry run records nothing")

	started := c.call(t, http.StatusAccepted, "POST", fill, `{"since":"2020-01-01T01:00:00+01:00"}`)
	job := started.header.Get("Location")
	require.Equal(t, path+"/replays/"+started.field(t, "id"), job)
	require.Equal(t, []string{"backfill", "running"}, []string{started.field(t, "kind"), started.field(t, "status")})
	require.EqualValues(t, 2, started.json(t)["count"])
	require.Equal(t, map[string]any{"destination": dst, "since": "2020-01-01T00:00:00Z"}, started.json(t)["filter"])
	require.Equal(t, started.json(t), c.call(t, http.StatusOK, "GET", job, "").json(t))
	require.EqualValues(t, 2, c.call(t, http.StatusAccepted, "POST", fill, "").json(t)["count"], "the body may be left out")
	require.Equal(t, "replay", c.call(t, http.StatusAccepted, "POST", path+"/replay", "").field(t, "kind"))
	require.Len(t, c.call(t, http.StatusOK, "GET", path+"/replays", "").items(t), 3)
	require.Equal(t, "cancelled", c.call(t, http.StatusOK, "POST", job+"/cancel", "").field(t, "status"))
	f.shown(t, projections.History())
	require.Equal(t, []string{"backfill.started", "backfill.started"}, kinds(t, c.call(t, http.StatusOK, "GET", path+"/events?type=backfill.started", "")))
}

func TestBackfillOfNothingThereIsIsRefused(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery)
	base := path + "/destinations/"
	dst := c.call(t, http.StatusCreated, "POST", path+"/destinations", sampleDestination).field(t, "id")
	pulled := c.call(t, http.StatusCreated, "POST", path+"/destinations", `{"type":"api"}`).field(t, "id")
	operational := c.call(t, http.StatusCreated, "POST", path+"/destinations", `{"type":"webhook","url":"https://a.com/x","events":["dispatch.failed"]}`).field(t, "id")
	head := f.head(t)
	for body, fields := range map[string][]string{
		`{"since":"2025-01-01T00:00:00Z","until":"2025-01-01T00:00:00Z"}`: {"until"},
		`{"since":"yesterday","status":"failed"}`:                         {"status", "since"},
	} {
		require.ElementsMatch(t, fields, c.call(t, http.StatusUnprocessableEntity, "POST", base+dst+"/backfill", body).faults(t), body)
	}
	require.Equal(t, "CONFLICT", c.call(t, http.StatusConflict, "POST", base+pulled+"/backfill", "").field(t, "code"))
	require.Equal(t, "CONFLICT", c.call(t, http.StatusConflict, "POST", base+operational+"/backfill", "").field(t, "code"))
	require.Equal(t, "DESTINATION_NOT_FOUND", c.call(t, http.StatusNotFound, "POST", base+"dst_none/backfill", "").field(t, "code"))
	require.Equal(t, head, f.head(t))
}

func TestWhatIsBackfilledIsShownWithWhatIsSent(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	path := "/api/v1/deliveries/" + id
	handOver := c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_1")).items(t)[0]["delivery_id"].(string)
	dst := c.call(t, http.StatusCreated, "POST", path+"/destinations", sampleDestination).field(t, "id")
	before := int(f.head(t))
	delivery, err := eventstore.Load[domain.Delivery, domain.Event](t.Context(), f.store, domain.DeliveryStream(domain.DeliveryID(id)))
	require.NoError(t, err)
	records, err := f.store.ReadStream(t.Context(), domain.HandOverStream(domain.DeliveryID(id), "comp_1"))
	require.NoError(t, err)
	dispatch := domain.DispatchIDFor(domain.HandOverID(handOver), domain.DestinationID(dst))
	_, err = eventstore.Execute(t.Context(), f.store, domain.BackfillDispatch{
		Dispatch: dispatch, Destination: domain.DestinationID(dst), HandOver: domain.HandOverID(handOver), Position: int64(records[0].Position),
		Delivery: delivery.State, Replay: "rpl_1",
	})
	require.NoError(t, err)
	f.settled(t)

	shown := c.call(t, http.StatusOK, "GET", "/api/v1/dispatches/"+string(dispatch), "")
	require.Equal(t, []any{"pending", handOver, 1.0}, []any{shown.json(t)["status"], shown.json(t)["delivery_id"], shown.json(t)["sequence"]})
	require.Contains(t, shown.field(t, "payload"), `"delivery_id":"`+handOver+`"`)
	require.Equal(t, "pending", c.call(t, http.StatusOK, "GET", path+"/companies", "").items(t)[0]["status"])
	past := "?as_of=" + strconv.Itoa(before)
	require.Equal(t, "delivered", c.call(t, http.StatusOK, "GET", path+"/companies"+past, "").items(t)[0]["status"])
	require.Empty(t, c.call(t, http.StatusOK, "GET", path+"/dispatches"+past, "").items(t))
	c.call(t, http.StatusNotFound, "GET", "/api/v1/dispatches/"+string(dispatch)+past, "")
	require.Equal(t, true, c.call(t, http.StatusOK, "GET", path+"/reconciliation", "").json(t)["balanced"])
	f.shown(t, projections.History())
	sentences := ""
	for _, e := range c.call(t, http.StatusOK, "GET", "/api/v1/companies/comp_1/explanation", "").items(t) {
		sentences += e["sentence"].(string)
	}
	require.Contains(t, sentences, "The back-fill rpl_1 made "+handOver+" owed to "+dst)
}
