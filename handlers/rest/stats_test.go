package rest_test

import (
	"net/http"
	"net/url"
	"strconv"
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
	f.shown(t, projections.Daily())

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
		reasons := stats["reasons"].(map[string]any)
		failure := func(count float64) map[string]any {
			return map[string]any{"other": 0.0, "items": []any{map[string]any{"destination_id": dst, "reason": "other", "count": count}}}
		}
		require.Equal(t, failure(2), reasons["failed_attempts"])
		require.Equal(t, failure(1), reasons["failed"])
		if query == "" {
			require.Equal(t, map[string]any{"other": 0.0, "items": []any{
				map[string]any{"reason": "Revenue > $10M", "count": 3.0}, map[string]any{"reason": "Uses HubSpot", "count": 3.0},
			}}, reasons["matched"])
		}
	}
	require.Equal(t, map[string]any{"handed_over": 0.0, "delivered": 0.0, "failed": 0.0, "attempts": 0.0, "failed_attempts": 0.0},
		c.call(t, http.StatusOK, "GET", path+"/stats?destination=dst_other", "").json(t)["totals"])

	c.call(t, http.StatusNoContent, "DELETE", path, "")
	c.call(t, http.StatusOK, "GET", path+"/stats", "")
	f.foreigner(t).call(t, http.StatusNotFound, "GET", path+"/stats", "")
}

func TestStatsTellWhyCompaniesWereDisqualified(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"CRM Sync","threshold":60,"rules":[
		{"name":"Has a site","when":{"field":"company.domain","op":"exists"},"required":true},
		{"name":"In Europe","when":{"field":"company.region","op":"eq","value":"EU"}}]}`)
	c.call(t, http.StatusOK, "POST", "/api/v1/exclusions", `[{"kind":"domain","value":"a.example","reason":"A customer already"},{"kind":"company","value":"comp_6"}]`)
	for id, fields := range map[string]string{
		"comp_1": `"region":"EU"`, "comp_2": `"region":"US"`, "comp_3": `"domain":"c.example"`, "comp_4": `"domain":"a.example"`,
		"comp_5": `"domain":"www.a.example"`, "comp_6": `"domain":"f.example","region":"EU"`, "comp_7": `"domain":"g.example","region":"EU"`,
	} {
		c.call(t, http.StatusOK, "POST", path+"/candidates", `{"company":{"id":"`+id+`","name":"Acme Corp",`+fields+`}}`)
	}
	f.shown(t, projections.Daily())
	stats := c.call(t, http.StatusOK, "GET", path+"/stats?bucket=day", "").json(t)
	reasons := stats["reasons"].(map[string]any)
	require.Equal(t, []any{stats["from"], stats["to"]}, []any{reasons["from"], reasons["to"]})
	reason := func(kind, reason string, count float64) any {
		return map[string]any{"kind": kind, "reason": reason, "count": count}
	}
	require.Equal(t, map[string]any{"other": 0.0, "items": []any{
		reason("rule_not_met", "Has a site", 2), reason("excluded", "A customer already", 2),
		reason("below_threshold", "score too low", 1), reason("excluded", "comp_6", 1),
	}}, reasons["disqualified"])
	require.Equal(t, map[string]any{"other": 0.0, "items": []any{
		map[string]any{"reason": "Has a site", "count": 1.0}, map[string]any{"reason": "In Europe", "count": 1.0},
	}}, reasons["matched"])
}

func TestTotalsAreThoseOfAllDeliveriesOfTheOrganisation(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	quiet, busy := c.createDelivery(t, `{"name":"Quiet"}`), c.createDelivery(t, `{"name":"Busy"}`)
	c.createDelivery(t, `{"name":"Idle"}`)
	for i, id := range []string{busy, quiet, busy} {
		c.call(t, http.StatusOK, "POST", "/api/v1/deliveries/"+id+"/qualifications", company("comp_"+strconv.Itoa(i)))
	}
	c.call(t, http.StatusNoContent, "DELETE", "/api/v1/deliveries/"+busy, "")
	for _, p := range []projections.Projection{projections.Dispatches(), projections.Stats(), projections.Daily()} {
		f.shown(t, p)
	}
	counts := func(n float64) map[string]any {
		return map[string]any{"handed_over": n, "delivered": 0.0, "failed": 0.0, "attempts": 0.0, "failed_attempts": 0.0}
	}
	of := func(id string, n float64) map[string]any {
		all := counts(n)
		all["delivery_id"] = id
		return all
	}
	for query, buckets := range map[string]int{"": 31, "?bucket=hour": 25} {
		totals := c.call(t, http.StatusOK, "GET", "/api/v1/stats"+query, "").json(t)
		require.Equal(t, counts(3), totals["totals"])
		require.Equal(t, []any{of(busy, 2), of(quiet, 1)}, totals["deliveries"], "the busiest first, and deleted ones too")
		require.Zero(t, totals["more_deliveries"])
		require.InDelta(t, buckets, len(totals["buckets"].([]any)), 1)
	}
	require.Equal(t, counts(0), c.call(t, http.StatusOK, "GET", "/api/v1/stats?to=2020-01-01T00:00:00Z", "").json(t)["totals"])
	require.Equal(t, counts(0), f.customer(t).call(t, http.StatusOK, "GET", "/api/v1/stats", "").json(t)["totals"], "others have their own")
	for query, field := range map[string]string{
		"from=2026-01-01T00:00:00Z&to=2026-04-11T00:00:01Z": "from", // 101 days
		"from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "from",
		"bucket=week": "bucket",
	} {
		require.Equal(t, []string{field}, c.call(t, http.StatusUnprocessableEntity, "GET", "/api/v1/stats?"+query, "").faults(t), query)
	}
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
