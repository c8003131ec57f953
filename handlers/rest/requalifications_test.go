package rest_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest/requalify"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/personal"
)

// lenientRules ask for less than those of judgedDelivery.
const lenientRules = `{"rules":[{"name":"hubspot","when":{"field":"company.technologies","op":"any_of","value":["HubSpot"]}}]}`

// requalifier runs what carries out requalifications until the test ends.
func (f *fixtures) requalifier(tb testing.TB) {
	tb.Helper()
	runner, err := requalify.New(requalify.Config{
		Pool: f.pool, Store: f.store, Log: slog.New(slog.DiscardHandler), Poll: tick, Keyring: personal.NewKeyring(f.subjects),
	})
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		require.NoError(tb, <-done)
	})
}

// disqualified makes a delivery that has disqualified companies b and c, excluded d, and handed a over. It returns the
// delivery's path.
func (c client) disqualified(tb testing.TB) string {
	tb.Helper()
	id := c.createDelivery(tb, judgedDelivery)
	c.call(tb, http.StatusOK, "POST", "/api/v1/exclusions", `{"kind":"company","value":"d"}`)
	s, _ := c.judge(tb, id, "["+strings.Join([]string{candidate("a", true), candidate("b", false), candidate("c", false), candidate("d", true)}, ",")+"]")
	require.Equal(tb, []string{"accepted", "disqualified", "disqualified", "disqualified"}, s.outcomes())
	return "/api/v1/deliveries/" + id
}

// figures returns those of a requalification, or of a dry run.
func figures(tb testing.TB, a answer) []any {
	tb.Helper()
	v := a.json(tb)
	return []any{v["count"], v["seen"], v["evaluated"], v["qualified"], v["disqualified"], v["excluded"]}
}

func TestRequalificationIsTriedStartedAndShown(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	f.requalifier(t)
	path := c.disqualified(t)
	tried := func(body string) []any {
		t.Helper()
		head := f.head(t)
		a := c.call(t, http.StatusOK, "POST", path+"/requalify", body)
		require.Equal(t, head, f.head(t), "a dry run records nothing")
		require.Equal(t, true, a.json(t)["dry_run"])
		return figures(t, a)
	}
	require.Equal(t, []any{3.0, 3.0, 3.0, 0.0, 2.0, 1.0}, tried(`{"dry_run":true}`))
	c.call(t, http.StatusOK, "PUT", path, lenientRules)
	require.Equal(t, []any{3.0, 3.0, 3.0, 2.0, 0.0, 1.0}, tried(`{"dry_run":true}`))
	require.Equal(t, []any{3.0, 3.0, 3.0, 2.0, 0.0, 1.0}, tried(`{"dry_run":true,"since":"2020-01-01T00:00:00Z","until":"2200-01-01T00:00:00+01:00"}`))
	require.Equal(t, []any{0.0, 0.0, 0.0, 0.0, 0.0, 0.0}, tried(`{"dry_run":true,"since":"2200-01-01T00:00:00Z"}`))
	require.Equal(t, []any{0.0, 0.0, 0.0, 0.0, 0.0, 0.0}, tried(`{"dry_run":true,"until":"2020-01-01T00:00:00Z"}`))

	started := c.call(t, http.StatusAccepted, "POST", path+"/requalify", `{"since":"2020-01-01T01:00:00+01:00"}`)
	job := started.header.Get("Location")
	require.Equal(t, path+"/requalifications/"+started.field(t, "id"), job)
	require.Equal(t, map[string]any{"since": "2020-01-01T00:00:00Z"}, started.json(t)["filter"])
	require.InDelta(t, 3, started.json(t)["profile_version"], 0)
	ended := c.ended(t, job)
	require.Equal(t, "ended", ended.field(t, "status"))
	require.NotEmpty(t, ended.field(t, "ended_at"))
	require.Equal(t, []any{3.0, 3.0, 3.0, 2.0, 0.0, 1.0}, figures(t, ended))

	f.shown(t, projections.Companies())
	f.shown(t, projections.History())
	var fed []any
	for _, item := range c.call(t, http.StatusOK, "GET", path+"/companies", "").items(t) {
		fed = append(fed, item["id"])
	}
	require.Equal(t, []any{"a", "b", "c"}, fed)
	last := c.call(t, http.StatusOK, "GET", path+"/events?type=company.qualified&limit=1", "").items(t)[0]
	require.Equal(t, "requalifier", last["actor"])
	data := last["data"].(map[string]any)
	require.Equal(t, started.field(t, "id"), data["requalification"])
	require.InDelta(t, 3, data["profile_version"], 0)
	require.Equal(t, []any{map[string]any{"rule": "hubspot", "met": true}}, data["verdicts"])

	require.Equal(t, "CONFLICT", c.call(t, http.StatusConflict, "POST", job+"/cancel", "").field(t, "code"))
	c.call(t, http.StatusAccepted, "POST", path+"/requalify", "")
	c.call(t, http.StatusNoContent, "DELETE", path, "")
	f.shown(t, projections.Dispatches())
	c.call(t, http.StatusOK, "GET", job, "")
	require.Equal(t, "DELIVERY_NOT_FOUND", c.call(t, http.StatusNotFound, "POST", path+"/requalify", "").field(t, "code"))
}

// ended waits until a job runs no more, and returns what is shown of it.
func (c client) ended(tb testing.TB, job string) (shown answer) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		shown = c.send(tb, "GET", job, "") // 404 while the read model is late
		return shown.status == http.StatusOK && shown.field(tb, "status") != "running"
	}, waitFor, tick)
	return shown
}

func TestRequalificationsAreListedAndCancelled(t *testing.T) {
	t.Parallel()
	c, f := setup(t) // nobody carries them out
	path := c.disqualified(t)
	var ids []any
	for range 3 {
		ids = append(ids, c.call(t, http.StatusAccepted, "POST", path+"/requalify", `{}`).json(t)["id"])
	}
	var listed []any
	for next := path + "/requalifications?limit=2"; next != ""; {
		a := c.call(t, http.StatusOK, "GET", next, "")
		require.EqualValues(t, 3, a.json(t)["total"])
		for _, item := range a.items(t) {
			listed = append([]any{item["id"]}, listed...)
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
	}
	require.Equal(t, ids, listed, "the newest comes first")

	job := path + "/requalifications/" + ids[0].(string)
	cancelled := c.call(t, http.StatusOK, "POST", job+"/cancel", "")
	require.Equal(t, "cancelled", cancelled.field(t, "status"))
	require.NotEmpty(t, cancelled.field(t, "ended_at"))
	require.Equal(t, cancelled.json(t), c.call(t, http.StatusOK, "POST", job+"/cancel", "").json(t))
	f.shown(t, projections.History())
	require.Equal(t, []string{"requalification.cancelled"}, kinds(t, c.call(t, http.StatusOK, "GET", path+"/events?type=requalification.cancelled", "")))

	elsewhere := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/requalifications/" + ids[0].(string)
	require.Equal(t, "ENTITY_NOT_FOUND", c.call(t, http.StatusNotFound, "GET", elsewhere, "").field(t, "code"))
	c.call(t, http.StatusNotFound, "POST", elsewhere+"/cancel", "")
}

func TestRequalificationStopsAtOtherRulesAndSaysSo(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := c.disqualified(t)
	job := c.call(t, http.StatusAccepted, "POST", path+"/requalify", "").header.Get("Location")
	c.call(t, http.StatusOK, "PUT", path, lenientRules)
	f.requalifier(t)
	ended := c.ended(t, job)
	require.Equal(t, []any{"stopped", "rules_changed", 2.0}, []any{ended.json(t)["status"], ended.json(t)["obstacle"], ended.json(t)["profile_version"]})
	c.call(t, http.StatusConflict, "POST", job+"/cancel", "")
}

func TestRequalificationOfNothingThereIsIsRefused(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := c.disqualified(t) + "/requalify"
	plain := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/requalify"
	head := f.head(t)
	require.ElementsMatch(t, []string{"until"}, c.call(t, http.StatusUnprocessableEntity, "POST", path,
		`{"since":"2025-01-01T00:00:00Z","until":"2025-01-01T00:00:00Z"}`).faults(t))
	require.ElementsMatch(t, []string{"since", "status"}, c.call(t, http.StatusUnprocessableEntity, "POST", path, `{"since":"yesterday","status":"failed"}`).faults(t))
	for _, body := range []string{`{}`, `{"dry_run":true}`} {
		require.Equal(t, "CONFLICT", c.call(t, http.StatusConflict, "POST", plain, body).field(t, "code"), "there are no rules")
	}
	require.Equal(t, head, f.head(t))
}

func TestRequalificationIsStartedOnce(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := c.disqualified(t) + "/requalify"
	first := c.call(t, http.StatusAccepted, "POST", path, `{}`, keyed("r")...)
	f.crash(t)
	head := f.head(t)
	again := c.call(t, http.StatusAccepted, "POST", path, `{}`, keyed("r")...)
	require.Equal(t, first.json(t), again.json(t))
	require.Equal(t, head, f.head(t))
}
