package rest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// without returns a JSON object less some of its fields.
func without(object any, names ...string) map[string]any {
	kept := map[string]any{}
	for name, v := range object.(map[string]any) {
		kept[name] = v
	}
	for _, name := range names {
		delete(kept, name)
	}
	return kept
}

func TestStatsCountWhatADeliveryDid(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, `{"name":"CRM Sync"}`)
	path := "/api/v1/deliveries/" + id
	c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_0"))
	dst := c.call(t, http.StatusCreated, "POST", path+"/destinations", `{"type":"webhook","url":"https://a.com/x"}`).field(t, "id")
	for _, company := range []string{company("comp_1"), company("comp_2")} {
		c.call(t, http.StatusOK, "POST", path+"/qualifications", company)
	}
	f.shown(t, projections.Dispatches())
	for _, d := range c.call(t, http.StatusOK, "GET", path+"/dispatches", "").items(t) {
		made := domain.Attempt{Dispatch: domain.DispatchID(d["id"].(string)), Delivery: domain.DeliveryID(id), Destination: domain.DestinationID(dst), Number: 1}
		outcomes := []string{""}
		if d["sequence"] == 2.0 {
			outcomes = []string{"it answered 503", "it answered 503"}
		}
		for _, fault := range outcomes {
			_, err := eventstore.Execute(t.Context(), f.store, domain.RecordAttempt{
				Attempt: made, Error: fault, Retries: domain.RetrySchedule{time.Second}, Owed: new(time.Now().Add(-time.Minute)),
			})
			require.NoError(t, err)
			made.Number++
		}
	}
	f.shown(t, projections.Stats())

	for query, handedOver := range map[string]float64{"": 3, "?destination=" + dst: 2} {
		stats := c.call(t, http.StatusOK, "GET", path+"/stats"+query, "").json(t)
		totals := stats["totals"].(map[string]any)
		require.Equal(t, map[string]any{
			"handed_over": handedOver, "delivered": 1.0, "failed": 1.0, "attempts": 3.0, "failed_attempts": 2.0,
		}, without(totals, "time_to_deliver"))
		times := totals["time_to_deliver"].(map[string]any)
		require.EqualValues(t, 1, times["count"])
		require.InDelta(t, 60_000, times["mean_ms"], 5_000)
		require.InDelta(t, 60_000, times["p99_ms"], 8_000)
	}
	require.Equal(t, map[string]any{"handed_over": 0.0, "delivered": 0.0, "failed": 0.0, "attempts": 0.0, "failed_attempts": 0.0},
		c.call(t, http.StatusOK, "GET", path+"/stats?destination=dst_other", "").json(t)["totals"])

	c.call(t, http.StatusNoContent, "DELETE", path, "")
	c.call(t, http.StatusOK, "GET", path+"/stats", "")
	f.foreigner(t).call(t, http.StatusNotFound, "GET", path+"/stats", "")
}

func TestStatsHaveEveryBucketOfTheirRange(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"CRM Sync"}`) + "/stats"
	f.shown(t, projections.Dispatches())
	for query, want := range map[string][]string{ // from, to, the last start
		"from=2026-03-04T09:30:00Z&to=2026-03-04T11:00:00.000001Z":     {"2026-03-04T09:00:00Z", "2026-03-04T12:00:00Z", "2026-03-04T11:00:00Z"},
		"from=2026-03-04T09:30:00%2B02:00&to=2026-03-04T08:00:00Z":     {"2026-03-04T07:00:00Z", "2026-03-04T08:00:00Z", "2026-03-04T07:00:00Z"},
		"to=2026-03-04T09:00:00Z":                                      {"2026-03-03T09:00:00Z", "2026-03-04T09:00:00Z", "2026-03-04T08:00:00Z"},
		"to=2026-03-31T09:00:00Z&bucket=day":                           {"2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-03-31T00:00:00Z"},
		"from=2024-01-01T00:00:00Z&to=2026-09-27T00:00:00Z&bucket=day": {"2024-01-01T00:00:00Z", "2026-09-27T00:00:00Z", "2026-09-26T00:00:00Z"},
	} {
		stats := c.call(t, http.StatusOK, "GET", path+"?"+query, "").json(t)
		buckets := stats["buckets"].([]any)
		require.Equal(t, want, []string{stats["from"].(string), stats["to"].(string), buckets[len(buckets)-1].(map[string]any)["start"].(string)}, query)
		require.Equal(t, want[0], buckets[0].(map[string]any)["start"])
	}
	now := c.call(t, http.StatusOK, "GET", path, "").json(t)
	require.Equal(t, "hour", now["bucket"])
	require.InDelta(t, 24, len(now["buckets"].([]any)), 1, "of the last day")
	last, err := time.Parse(time.RFC3339, now["to"].(string))
	require.NoError(t, err)
	require.Less(t, time.Until(last), time.Hour+time.Minute)
	require.Greater(t, time.Until(last), -time.Minute)

	for query, field := range map[string]string{
		"from=2026-03-04T09:00:00Z&to=2026-03-04T09:00:00Z":                            "from",
		"from=2200-01-01T00:00:00Z":                                                    "from",
		"from=2026-01-01T00:00:00Z&to=2026-02-11T16:00:01Z":                            "from", // 1,001 hours
		"from=2024-01-01T00:00:00Z&to=2026-09-28T00:00:00Z&bucket=day":                 "from",
		"from=0001-01-01T00:00:00Z&to=2026-09-28T00:00:00Z":                            "from",
		"from=1969-12-31T23:59:59Z&to=1970-01-01T00:00:00Z":                            "from",
		"from=" + url.QueryEscape("9998-12-31T23:00:00Z") + "&to=9999-01-01T00:00:00Z": "to",
		"bucket=week":  "bucket",
		"from=monday":  "from",
		"destination=": "destination",
	} {
		a := c.call(t, http.StatusUnprocessableEntity, "GET", path+"?"+query, "")
		require.Equal(t, []string{field}, a.faults(t), query)
	}
	require.Equal(t, 1000, strings.Count(string(c.call(t, http.StatusOK, "GET", path+"?from=2026-01-01T00:00:00Z&to=2026-02-11T16:00:00Z", "").body), `"start"`))
}
