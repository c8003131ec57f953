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

func TestDispatchesAreListedAndShownWithTheirAttempts(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"CRM Sync"}`)
	dst := c.call(t, http.StatusCreated, "POST", path+"/destinations", `{"type":"webhook","url":"https://a.com/x"}`).field(t, "id")
	for _, id := range []string{"comp_1", "comp_2", "comp_3"} {
		c.call(t, http.StatusOK, "POST", path+"/qualifications", company(id))
	}
	f.shown(t, projections.Dispatches())
	all := c.call(t, http.StatusOK, "GET", path+"/dispatches", "")
	require.Len(t, all.items(t), 3)
	require.EqualValues(t, 3, all.items(t)[0]["sequence"], "the newest comes first")
	one := domain.DispatchID(all.items(t)[1]["id"].(string))

	made := domain.Attempt{
		Dispatch: one, Delivery: domain.DeliveryID(strings.TrimPrefix(path, "/api/v1/deliveries/")), Destination: domain.DestinationID(dst), Number: 1,
		StartedAt: time.Date(2026, time.March, 4, 9, 30, 0, 0, time.UTC), Microseconds: 1500, Status: http.StatusServiceUnavailable,
		RequestHeaders: map[string]string{"Authorization": "[redacted]"}, ResponseHeaders: map[string]string{"Server": "x"}, ResponseBody: "down",
	}
	for _, fault := range []string{"it answered 503", ""} {
		_, err := eventstore.Execute(t.Context(), f.store, domain.RecordAttempt{Attempt: made, Error: fault, Retries: domain.DefaultRetries})
		require.NoError(t, err)
		made.Number, made.Status = 2, http.StatusOK
	}
	f.shown(t, projections.Dispatches())
	shown := c.call(t, http.StatusOK, "GET", "/api/v1/dispatches/"+string(one), "").json(t)
	require.Equal(t, "delivered", shown["status"])
	tries := shown["attempts"].([]any)
	require.Len(t, tries, 2)
	first := tries[0].(map[string]any)
	require.Equal(t, "it answered 503", first["error"])
	require.InDelta(t, 1.5, first["duration_ms"], 0)
	require.EqualValues(t, http.StatusServiceUnavailable, first["status"])
	require.Equal(t, map[string]any{"Authorization": "[redacted]"}, first["request_headers"])
	require.Equal(t, map[string]any{"Server": "x"}, first["response_headers"])
	require.Equal(t, "down", first["response_body"])
	require.NotEmpty(t, first["next_attempt_at"])
	require.NotContains(t, tries[1], "error")

	for query, want := range map[string]int{
		"status=delivered": 1, "status=pending": 2, "status=failed": 0, "destination=" + dst: 3, "destination=dst_other": 0,
		"since=2020-01-01T00:00:00Z": 3, "until=2020-01-01T00:00:00Z": 0, "since=2200-01-01T00:00:00Z": 0,
		"since=2020-01-01T00:00:00Z&until=" + url.QueryEscape("2200-01-01T00:00:00+01:00") + "&status=pending": 2,
	} {
		a := c.call(t, http.StatusOK, "GET", path+"/dispatches?"+query, "")
		require.Len(t, a.items(t), want, query)
		require.EqualValues(t, want, a.json(t)["total"], query)
	}
	var paged []any
	for next := path + "/dispatches?limit=1&status=pending"; next != ""; {
		a := c.call(t, http.StatusOK, "GET", next, "")
		paged = append(paged, a.items(t)[0]["sequence"])
		next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
	}
	require.Equal(t, []any{3.0, 1.0}, paged)
	require.Equal(t, []string{"status"}, c.call(t, http.StatusUnprocessableEntity, "GET", path+"/dispatches?status=lost", "").faults(t))
	require.Equal(t, []string{"cursor"}, c.call(t, http.StatusUnprocessableEntity, "GET", path+"/dispatches?cursor=AAAA", "").faults(t))

	stranger := f.foreigner(t)
	stranger.call(t, http.StatusNotFound, "GET", path+"/dispatches", "")
	for _, caller := range []client{c, stranger} {
		id := map[bool]string{true: "dsp_none", false: string(one)}[caller == c]
		require.Equal(t, "DISPATCH_NOT_FOUND", caller.call(t, http.StatusNotFound, "GET", "/api/v1/dispatches/"+id, "").field(t, "code"))
	}
}

func TestManyDispatchesOfAStatusSinceATimeSayThatThereAreMoreThanTotal(t *testing.T) {
	t.Parallel()
	const fill = `
		INSERT INTO dispatches (id, sequence, position, status, destination_id, delivery_id, handover_id)
		SELECT 'dsp_' || n, n, 1000 + n, 'delivered', $2, $1, 'del_' || n FROM generate_series(1, $3) AS n`
	c, f := setup(t)
	id := c.createDelivery(t, `{"name":"CRM Sync"}`)
	path := "/api/v1/deliveries/" + id
	dst := c.call(t, http.StatusCreated, "POST", path+"/destinations", `{"type":"webhook","url":"https://a.com/x"}`).field(t, "id")
	f.shown(t, projections.Dispatches())
	_, err := f.pool.Exec(t.Context(), fill, id, dst, 10_010)
	require.NoError(t, err)
	_, err = f.pool.Exec(t.Context(), `UPDATE dispatch_targets SET last_sequence = 10010, delivered = 10010`)
	require.NoError(t, err)
	since := "since=" + url.QueryEscape(time.Now().UTC().Format(time.RFC3339Nano))

	a := c.call(t, http.StatusOK, "GET", path+"/dispatches?status=delivered&"+since, "")
	require.EqualValues(t, 10_000, a.json(t)["total"])
	require.Equal(t, true, a.json(t)["total_is_least"])
	a = c.call(t, http.StatusOK, "GET", path+"/dispatches?status=delivered&limit=5&offset=10000&"+since, "")
	require.EqualValues(t, 10_006, a.json(t)["total"], "more than what was shown")
	for _, query := range []string{"status=delivered", since, since + "&destination=" + dst} {
		a = c.call(t, http.StatusOK, "GET", path+"/dispatches?limit=5&offset=10005&"+query, "")
		require.EqualValues(t, 10_010, a.json(t)["total"], query)
		require.NotContains(t, a.json(t), "total_is_least", query)
		require.Len(t, a.items(t), 5, query)
		require.Equal(t, "dsp_5", a.items(t)[0]["id"], query)
		require.Equal(t, false, a.json(t)["has_more"], query)
	}
}
