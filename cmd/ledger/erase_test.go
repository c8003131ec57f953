package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// newEcho starts a destination that answers with what it is sent, and refuses it.
func newEcho(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.Copy(w, req.Body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// awaitErased waits until an erasure has ended, in whatever process.
func (c client) awaitErased(t *testing.T, id string) (shown map[string]any) {
	t.Helper()
	require.Eventually(t, func() bool {
		status, _, body, err := c.do(t.Context(), http.MethodGet, "/api/v1/erasures/"+id, "", "")
		require.NoError(t, err)
		shown = nil
		return status == http.StatusOK && json.Unmarshal(body, &shown) == nil && shown["status"] == "ended" // 404 at first
	}, patience, pollEvery)
	return shown
}

func TestWhoIsErasedIsFoundNowhereAndProofsHold(t *testing.T) {
	t.Parallel()
	database, encryption := testdb.URL(t), encryptionKey()
	apiKey := newKey(t, database)
	p := serve(t, database, encryption)
	c := p.at(apiKey)
	delivery := c.delivery(t, newEcho(t))
	path := "/api/v1/deliveries/" + delivery
	c.must(t, http.StatusOK, http.MethodPost, path+"/qualifications", `[
		{"company":{"id":"comp_1","name":"Acme"},"prospects":[{"id":"pros_1","name":"Jane Grüezi","email":"jane.gruezi@acme.com"},{"id":"pros_2","name":"John"}],
			"qualification_score":80},
		{"company":{"id":"comp_2","name":"Acme"},"prospects":[{"id":"pros_3","name":"Joan Meier"}],"qualification_score":80}]`)
	c.awaitCount(t, delivery, "retrying", 2)
	c.awaitCaughtUp(t)
	kept := filepath.Join(t.TempDir(), "kept.txt")
	out, errs, err := verb(t, "", "checkpoint", "--encryption-key", encryption, "--database-url", database)
	require.NoError(t, err, errs)
	require.NoError(t, os.WriteFile(kept, []byte(out), 0o600))
	public, _, err := verb(t, "", "checkpoint", "--show-key", "--encryption-key", encryption, "--database-url", database)
	require.NoError(t, err)
	rows := everyRow(t, database)
	require.Contains(t, rows, "Jane", "the read model holds it")
	require.Equal(t, 1, strings.Count(rows, "Jane Gr"), "and nothing else")

	flags := []string{"--organisation", "Acme", "--encryption-key", encryption, "--database-url", database}
	out, errs, err = verb(t, "", append([]string{"erase", "--email", "JANE.gruezi@acme.com", "--dry-run"}, flags...)...)
	require.NoError(t, err, errs)
	require.Equal(t, "There is to be erased: 1 prospect of 1 company, in 1 event.\n", out)
	out, errs, err = verb(t, "", append([]string{"erase", "--email", "JANE.gruezi@acme.com"}, flags...)...)
	require.NoError(t, err, errs)
	require.Equal(t, "Erased: 1 prospect of 1 company, in 1 event.\n", out)
	started := c.must(t, http.StatusAccepted, http.MethodPost, "/api/v1/erasures", `{"company_id":"comp_2"}`)
	p.kill() // the next process goes on
	p = serve(t, database, encryption)
	c = p.at(apiKey)
	shown := c.awaitErased(t, started["id"].(string))
	require.EqualValues(t, 1, shown["prospects"])

	rows = everyRow(t, database)
	for _, gone := range []string{"Jane", "gruezi", "Grüezi", "Joan"} {
		require.NotContains(t, strings.ToLower(rows), strings.ToLower(gone))
		require.NotContains(t, p.printed(), gone)
	}
	items := c.must(t, http.StatusOK, http.MethodGet, path+"/companies", "")["items"].([]any)
	require.Equal(t, []any{map[string]any{"id": "pros_2", "name": "John"}}, items[0].(map[string]any)["prospects"])
	require.Empty(t, items[1].(map[string]any)["prospects"])
	for _, d := range c.must(t, http.StatusOK, http.MethodGet, path+"/dispatches", "")["items"].([]any) {
		shown := c.must(t, http.StatusOK, http.MethodGet, "/api/v1/dispatches/"+d.(map[string]any)["id"].(string), "")
		require.NotContains(t, shown["attempts"].([]any)[0], "response_body")
		require.NotContains(t, shown["payload"], "Jane")
		require.NotContains(t, shown["payload"], "Joan")
	}
	c.awaitCaughtUp(t)
	out, errs, err = verb(t, "", "verify", "--checkpoint", kept, "--key", strings.TrimSpace(public), "--projections", "--database-url", database)
	require.NoError(t, err, errs)
	require.Contains(t, out, "It agrees with ")
	_, _, err = verb(t, "", "rebuild", "companies", "--database-url", database, "--encryption-key", encryption)
	require.NoError(t, err)
	require.Equal(t, items, c.must(t, http.StatusOK, http.MethodGet, path+"/companies", "")["items"])
	err = run(t.Context(), []string{"rebuild", "companies", "--database-url", database}, world{out: io.Discard, err: io.Discard})
	require.ErrorContains(t, err, "there is no key: give it by --encryption-key or --encryption-key-file")
}

func TestEraseVerbIsOfExactlyOne(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--prospect", "p", "--company", "c"}, {"--email", "nobody"}} {
		_, _, err := verb(t, "", append([]string{"erase", "--organisation", "Acme", "--database-url", "postgres://127.0.0.1:1/none", "--encryption-key", encryptionKey()}, args...)...)
		require.ErrorContains(t, err, "the request is not valid")
	}
}

func TestRetentionIsSet(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	newKey(t, database)
	out, _, err := verb(t, "", "organisations", "retention", "Acme", "--days", "90", "--database-url", database)
	require.NoError(t, err)
	require.Regexp(t, `^Personal data of Acme \(org_\w+\) is kept for 90 days\.\n$`, out)
	out, _, err = verb(t, "", "organisations", "list", "--database-url", database)
	require.NoError(t, err)
	require.Regexp(t, `Z +for 90 days +Acme\n`, out)
	out, _, err = verb(t, "", "organisations", "retention", "Acme", "--forever", "--database-url", database)
	require.NoError(t, err)
	require.Contains(t, out, "is kept for ever.")
	_, _, err = verb(t, "", "organisations", "retention", "nobody", "--days", "3", "--database-url", database)
	require.ErrorContains(t, err, "there is no organisation nobody")
}
