package rest_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest/erase"
	"github.com/openprospect/delivery-ledger/projections"
)

// eraser runs what carries out erasures until the test ends.
func (f *fixtures) eraser(tb testing.TB) {
	tb.Helper()
	runner, err := erase.New(erase.Config{
		Pool: f.pool, Store: f.store, Keys: f.subjects, Vault: f.vault, Log: slog.New(slog.DiscardHandler), Poll: tick,
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

// found returns the figures of an erasure, or of a dry run.
func found(tb testing.TB, a answer) []any {
	tb.Helper()
	v := a.json(tb)
	return []any{v["prospects"], v["companies"], v["events"], v["in_clear"]}
}

func TestErasureIsTriedStartedAndShown(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	path := "/api/v1/deliveries/" + id
	c.call(t, http.StatusOK, "POST", path+"/qualifications", `[
		{"company":{"id":"a","name":"A"},"prospects":[{"id":"p1","email":"Jane@a.com"},{"id":"p2"}],"qualification_score":80},
		{"company":{"id":"b","name":"B"},"prospects":[{"id":"p1"}],"qualification_score":80}]`)
	f.shown(t, projections.History())
	head := f.head(t)
	for body, want := range map[string][]any{
		`{"prospect_id":"p1","dry_run":true}`:     {2.0, 2.0, 2.0, 0.0},
		`{"email":"jane@A.com","dry_run":true}`:   {2.0, 2.0, 2.0, 0.0}, // she is known in another company, too
		`{"company_id":"a","dry_run":true}`:       {2.0, 1.0, 1.0, 0.0},
		`{"company_id":"nobody","dry_run":true}`:  {0.0, 0.0, 0.0, 0.0},
		`{"prospect_id":"nobody","dry_run":true}`: {0.0, 0.0, 0.0, 0.0},
	} {
		a := c.call(t, http.StatusOK, "POST", "/api/v1/erasures", body)
		require.Equal(t, want, found(t, a), body)
	}
	require.Equal(t, head, f.head(t), "a dry run records nothing")

	f.eraser(t)
	started := c.call(t, http.StatusAccepted, "POST", "/api/v1/erasures", `{"email":"jane@A.com"}`)
	job := started.header.Get("Location")
	require.Equal(t, "/api/v1/erasures/"+started.field(t, "id"), job)
	ended := c.ended(t, job)
	require.Equal(t, []any{2.0, 2.0, 2.0, 0.0}, found(t, ended))
	require.Equal(t, []any{"email", true}, []any{ended.json(t)["by"], ended.json(t)["shredded"]})
	require.NotContains(t, strings.ToLower(string(ended.body)), "jane")
	f.shown(t, projections.Companies())
	items := c.call(t, http.StatusOK, "GET", path+"/companies", "").items(t)
	require.Equal(t, []any{map[string]any{"id": "p2"}}, items[0]["prospects"])
	require.Empty(t, items[1]["prospects"], "it is the same prospect")
	f.shown(t, projections.History())
	trail := c.call(t, http.StatusOK, "GET", path+"/events?type=erasure.applied", "").items(t)
	require.Len(t, trail, 1)
	require.Equal(t, started.field(t, "id"), trail[0]["data"].(map[string]any)["erasure"])

	again := c.call(t, http.StatusAccepted, "POST", "/api/v1/erasures", `{"prospect_id":"p2"}`)
	c.ended(t, again.header.Get("Location"))
	list := c.call(t, http.StatusOK, "GET", "/api/v1/erasures?limit=1", "")
	require.EqualValues(t, 2, list.json(t)["total"])
	require.Equal(t, again.field(t, "id"), list.items(t)[0]["id"], "the newest comes first")
}

func TestErasureIsOfExactlyOneSubject(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	head := f.head(t)
	for body, faults := range map[string][]string{
		`{}`:                                   {"body"},
		`{"prospect_id":"a","company_id":"b"}`: {"body"},
		`{"email":"nobody"}`:                   {"email"},
		`{"email":"nobody","prospect_id":" "}`: {"email", "prospect_id", "body"},
		`{"email":3,"prospect":"a"}`:           {"email", "prospect"},
	} {
		require.ElementsMatch(t, faults, c.call(t, http.StatusUnprocessableEntity, "POST", "/api/v1/erasures", body).faults(t), body)
	}
	require.Equal(t, head, f.head(t))
}

func TestErasureIsStartedOnce(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	first := c.call(t, http.StatusAccepted, "POST", "/api/v1/erasures", `{"email":"jane@acme.com"}`, keyed("e")...)
	f.crash(t)
	head := f.head(t)
	again := c.call(t, http.StatusAccepted, "POST", "/api/v1/erasures", `{"email":"jane@acme.com"}`, keyed("e")...)
	require.Equal(t, first.json(t), again.json(t))
	require.Equal(t, head, f.head(t))
}
