//go:build snippets

package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// setupSnippets returns a ledger that serves, a client, and the variables that snippets know.
func setupSnippets(tb testing.TB) (p *process, c client, env []string) {
	tb.Helper()
	database := testdb.URL(tb)
	p = serve(tb, database, encryptionKey())
	c = p.at(newKey(tb, database))
	return p, c, append(os.Environ(), "OPENPROSPECT_URL="+p.base, "OPENPROSPECT_API_KEY="+c.key)
}

// snippet runs a program to its end, which has to be a good one, and returns what it printed.
func snippet(tb testing.TB, env []string, name string, args ...string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), name, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	require.NoError(tb, err, "%s: %s", args, out)
	return string(out)
}

// expressReceiver starts the documentation's receiver on express and returns its URL, and what
// returns the lines that it has printed since.
func expressReceiver(tb testing.TB) (url string, printed func() []string) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "node", "testdata/snippets/listen.js", "testdata/snippets/receiver.js")
	out, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	cmd.Stderr = os.Stderr
	require.NoError(tb, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(tb, lines.Scan(), "express does not listen")
	url = lines.Text()
	var mu sync.Mutex
	var got []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines.Scan() {
			mu.Lock()
			got = append(got, lines.Text())
			mu.Unlock()
		}
	}()
	tb.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-done
		_ = cmd.Wait()
	})
	return url, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), got...)
	}
}

func TestSnippetCurl(t *testing.T) {
	t.Parallel()
	p, c, env := setupSnippets(t)
	url, printed := expressReceiver(t)
	home := t.TempDir() // curl fails when an answer is no success
	require.NoError(t, os.WriteFile(filepath.Join(home, ".curlrc"), []byte("silent\nshow-error\nfail-with-body\n"), 0o600))
	commands := strings.Split(strings.TrimSpace(seedRequests), "\n\n")
	require.Len(t, commands, seedSamples)
	id := ""
	run := func(sample int) map[string]any {
		command := strings.NewReplacer("https://api.openprospect.io", p.base, "https://your-api.com/webhooks/openprospect", url,
			"/deliveries/123/", "/deliveries/"+id+"/", "{id}", id, "{prospect_search_id}", id).Replace(commands[sample])
		out := snippet(t, append(env, "CURL_HOME="+home), "bash", "-c", command)
		var fields map[string]any
		if out != "" {
			require.NoError(t, json.Unmarshal([]byte(out), &fields), out)
		}
		return fields
	}

	id = run(createDelivery)["id"].(string)
	require.Equal(t, "webhook", run(addDestination)["type"])
	c.qualify(t, id, "comp_1")
	require.Eventually(t, func() bool { return len(printed()) == 1 }, patience, pollEvery)
	require.Equal(t, []string{"Received qualified lead: Acme Corp"}, printed())
	require.Equal(t, "webhook", run(addDestinationFirst)["type"])
	require.EqualValues(t, 1, run(listDeliveries)["total"])
	require.Len(t, run(readDelivery)["destinations"], 2)
	require.Equal(t, []string{"comp_1"}, c.awaitFeed(t, id))
	require.Len(t, run(fetchCompanies)["items"], 1)
	require.Len(t, run(fetchCompaniesSince)["items"], 1)
	require.Equal(t, "paused", run(updateDelivery)["status"])
	require.Nil(t, run(deleteDelivery))
	c.must(t, http.StatusNotFound, http.MethodGet, "/api/v1/deliveries/"+id, "")
}

func TestSnippetFetchAndExpress(t *testing.T) {
	t.Parallel()
	_, _, env := setupSnippets(t)
	url, printed := expressReceiver(t)
	out := snippet(t, append(env, "RECEIVER_URL="+url), "node", "testdata/snippets/fetch.mjs")
	require.Contains(t, out, "Pulled: Acme Corp, Grüezi AG, Kōbe Robotics\n")
	require.Contains(t, out, "GET /deliveries/dcf_none: 404 DELIVERY_NOT_FOUND: ")
	require.Eventually(t, func() bool { return len(printed()) == 3 }, patience, pollEvery)
	require.ElementsMatch(t, []string{
		"Received qualified lead: Acme Corp", "Received qualified lead: Grüezi AG", "Received qualified lead: Kōbe Robotics",
	}, printed())
}

func TestSnippetPython(t *testing.T) {
	t.Parallel()
	_, _, env := setupSnippets(t)
	require.Equal(t, "Pulled: 7\n422 VALIDATION_ERROR ['nam', 'name']\n", snippet(t, env, "python3", "testdata/snippets/pull.py"))
}

func TestSnippetDuckDB(t *testing.T) {
	t.Parallel()
	_, dir := newAnalysed(t)
	statements, _ := analyses(t)
	script, err := filepath.Abs("testdata/snippets/duckdb.js")
	require.NoError(t, err)
	out := snippet(t, os.Environ(), "bash", "-c", `cd "$0" && node "$1" <<<"$2"`, dir, script, statements)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 5, out)
	require.Contains(t, lines[0], `"companies":"2"`)
	require.Contains(t, lines[1], `"delivered":"2"`)
	require.Regexp(t, `"delivered":"2","p50_ms":[0-9.]+,.*"failing":0.333`, lines[2])
	require.Contains(t, lines[3], `"companies":"2"`)
	require.Contains(t, lines[4], `"attempts":"1"`)
}

func TestSnippetPsql(t *testing.T) {
	t.Parallel()
	database, _ := newAnalysed(t)
	_, statements := analyses(t)
	out := snippet(t, os.Environ(), "psql", database, "--no-psqlrc", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--command", statements)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 5, out)
	require.Contains(t, lines[0], "|2|85.0")
	require.Contains(t, lines[1], "|2|")
	require.Regexp(t, `\|2\|[0-9.]+\|[0-9.]+\|[0-9.]+\|0\.333$`, lines[2])
	require.Contains(t, lines[3], "|2")
	require.Contains(t, lines[4], "|1")
}
