package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/projections"
)

func TestReplayIsCountedStartedShownAndCancelled(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	f.attempted(t, things, "I'm a teapot")
	path := fill(t, "/api/v1/deliveries/{delivery_id}", things)
	c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_other"))
	f.shown(t, projections.Dispatches())
	head := f.head(t)
	for body, want := range map[string]int{
		`{"dry_run":true}`:                      1,
		`{"dry_run":true,"status":"failed"}`:    1,
		`{"dry_run":true,"status":"delivered"}`: 0,
		`{"dry_run":true,"since":"2020-01-01T00:00:00Z","until":"2200-01-01T00:00:00+01:00"}`: 1,
		`{"dry_run":true,"since":"2200-01-01T00:00:00Z"}`:                                     0,
		`{"dry_run":true,"until":"2020-01-01T00:00:00Z"}`:                                     0,
		`{"dry_run":true,"destination":"` + things["destination_id"] + `"}`:                   1,
		`{"dry_run":true,"company_id":"` + things["company_id"] + `"}`:                        1,
		`{"dry_run":true,"company_id":"comp_other"}`:                                          0,
	} {
		require.EqualValues(t, want, c.call(t, http.StatusOK, "POST", path+"/replay", body).json(t)["count"], body)
	}
	require.Equal(t, head, f.head(t), "a dry run records nothing")

	started := c.call(t, http.StatusAccepted, "POST", path+"/replay", `{"status":"failed","since":"2020-01-01T01:00:00+01:00"}`)
	job := started.header.Get("Location")
	require.Equal(t, path+"/replays/"+started.field(t, "id"), job)
	require.Equal(t, "running", started.field(t, "status"))
	require.EqualValues(t, 1, started.json(t)["count"])
	require.EqualValues(t, 0, started.json(t)["replayed"])
	require.Equal(t, map[string]any{"status": "failed", "since": "2020-01-01T00:00:00Z"}, started.json(t)["filter"])
	require.Equal(t, started.json(t), c.call(t, http.StatusOK, "GET", job, "").json(t))
	require.EqualValues(t, 1, c.call(t, http.StatusAccepted, "POST", path+"/replay", "").json(t)["count"], "the body may be left out")

	var listed []any
	for next := path + "/replays?limit=2"; next != ""; {
		a := c.call(t, http.StatusOK, "GET", next, "")
		require.EqualValues(t, 3, a.json(t)["total"])
		for _, item := range a.items(t) {
			listed = append(listed, item["id"])
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
	}
	require.Len(t, listed, 3, "one is of the things")
	require.Equal(t, started.field(t, "id"), listed[1], "the newest comes first")

	cancelled := c.call(t, http.StatusOK, "POST", job+"/cancel", "")
	require.Equal(t, "cancelled", cancelled.field(t, "status"))
	require.NotEmpty(t, cancelled.field(t, "ended_at"))
	require.Equal(t, cancelled.json(t), c.call(t, http.StatusOK, "POST", job+"/cancel", "").json(t))
	f.shown(t, projections.History())
	require.Equal(t, []string{"replay.cancelled"}, kinds(t, c.call(t, http.StatusOK, "GET", path+"/events?type=replay.cancelled", "")))

	other := c.createDelivery(t, sampleDelivery)
	elsewhere := strings.Replace(job, things["delivery_id"], other, 1)
	require.Equal(t, "ENTITY_NOT_FOUND", c.call(t, http.StatusNotFound, "GET", elsewhere, "").field(t, "code"))
	c.call(t, http.StatusNotFound, "POST", elsewhere+"/cancel", "")
	c.call(t, http.StatusNoContent, "DELETE", path, "")
	f.shown(t, projections.Dispatches())
	c.call(t, http.StatusOK, "GET", job, "")
	require.Equal(t, "DELIVERY_NOT_FOUND", c.call(t, http.StatusNotFound, "POST", path+"/replay", "").field(t, "code"))
}

func TestReplayOfNothingThereIsIsRefused(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := fill(t, "/api/v1/deliveries/{delivery_id}/replay", c.things(t))
	head := f.head(t)
	for body, fields := range map[string][]string{
		`{"status":"pending"}`: {"status"},
		`{"since":"2025-01-01T00:00:00Z","until":"2025-01-01T00:00:00Z","destination":"dst_none"}`: {"until", "destination"},
		`{"since":"yesterday","all":true}`:                    {"all", "since"},
		`{"company_id":"comp_none","destination":"dst_none"}`: {"company_id", "destination"},
		`{"company_id":"comp\u0000"}`:                         {"company_id"},
	} {
		require.ElementsMatch(t, fields, c.call(t, http.StatusUnprocessableEntity, "POST", path, body).faults(t), body)
	}
	require.Equal(t, head, f.head(t))
}

func TestReplayIsStartedOnce(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	path := fill(t, "/api/v1/deliveries/{delivery_id}/replay", things)
	first := c.call(t, http.StatusAccepted, "POST", path, `{}`, keyed("r")...)
	f.crash(t)
	head := f.head(t)
	again := c.call(t, http.StatusAccepted, "POST", path, `{}`, keyed("r")...)
	require.Equal(t, first.json(t), again.json(t))
	require.Equal(t, head, f.head(t))
	requireReplay(t, again, c.call(t, http.StatusAccepted, "POST", path, `{}`, keyed("r")...))
}
