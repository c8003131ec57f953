package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// setupIngest returns a ledger, a client and a delivery without destinations.
func setupIngest(tb testing.TB) (p *process, c client, delivery string) {
	tb.Helper()
	database := testdb.URL(tb)
	p = serve(tb, database, encryptionKey())
	c = p.at(newKey(tb, database))
	return p, c, c.must(tb, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"Ingest"}`)["id"].(string)
}

// file returns a new file with that content.
func file(tb testing.TB, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "companies.ndjson")
	require.NoError(tb, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// companies returns n lines to ingest.
func companies(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(qualification(company(i)) + "\n")
	}
	return b.String()
}

// ingestArgs returns the command line of an ingest.
func ingestArgs(server, key, delivery, path string, more ...string) []string {
	return append([]string{"ingest", path, "--server", server, "--api-key", key, "--delivery", delivery}, more...)
}

// awaitFeed waits until the feed shows what is in the log, and returns its companies.
func (c client) awaitFeed(tb testing.TB, delivery string) []string {
	tb.Helper()
	require.Eventually(tb, func() bool { return c.caughtUp(tb) }, patience, pollEvery)
	return c.pull(tb, delivery, "100")
}

func TestBadLineIsReportedWithItsNumberAndHarmsNoOther(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	path := file(t, strings.Join([]string{
		qualification("comp_1"),
		`{"company":`,
		"",
		strings.Replace(qualification("comp_4"), "85", "101", 1),
		qualification("comp_5"),
		`{"company":{"id":"comp_6","name":"` + strings.Repeat("x", maxLine) + `"}}`,
		qualification("comp_7"),
	}, "\n")) // the last line has no end

	out, errs, err := ledger(t, ingestArgs(p.base, c.key, delivery, path, "--chunk", "3")...)
	require.Equal(t, 1, exitCode(t, err))
	require.Equal(t, "3 accepted, 0 duplicates, 3 rejected\n", out)
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	require.Len(t, lines, 4, errs)
	require.Regexp(t, "^line 2: .*JSON", lines[0])
	require.Regexp(t, "^line 4: qualification_score .*100", lines[1])
	require.Equal(t, "line 6: the line is longer than 1 MiB", lines[2])
	require.Equal(t, "ledger: 3 lines were rejected", lines[3])
	require.Equal(t, []string{"comp_1", "comp_5", "comp_7"}, c.awaitFeed(t, delivery))
}

func TestFileIngestedTwiceIsAllDuplicates(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	path := file(t, companies(700))
	out, errs, err := verb(t, "", ingestArgs(p.base, c.key, delivery, path, "--quiet")...)
	require.NoError(t, err)
	require.Equal(t, "700 accepted, 0 duplicates, 0 rejected\n", out)
	require.Empty(t, errs, "there is nothing to tell")
	out, _, err = verb(t, "", ingestArgs(p.base, c.key, delivery, path)...)
	require.NoError(t, err)
	require.Equal(t, "0 accepted, 700 duplicates, 0 rejected\n", out)
	require.Len(t, c.awaitFeed(t, delivery), 700)
}

func TestCandidatesAreIngestedAndJudged(t *testing.T) {
	t.Parallel()
	p, c, _ := setupIngest(t)
	delivery := c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries",
		`{"name":"Judged","rules":[{"name":"Uses HubSpot","when":{"field":"company.technologies","op":"contains","value":"hubspot"}}]}`)["id"].(string)
	path := file(t, `{"company":{"id":"comp_1","name":"a","technologies":["HubSpot"]}}`+"\n"+`{"company":{"id":"comp_2","name":"b"}}`+"\n{}\n")
	out, errs, err := ledger(t, ingestArgs(p.base, c.key, delivery, path, "--candidates")...)
	require.Equal(t, 1, exitCode(t, err))
	require.Equal(t, "1 disqualified, 1 accepted, 0 duplicates, 1 rejected\n", out)
	require.Contains(t, errs, "line 3: ")
	require.Equal(t, []string{"comp_1"}, c.awaitFeed(t, delivery))
}

func TestStandardInputIsIngested(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	out, _, err := verb(t, companies(3), ingestArgs(p.base+"/", c.key, delivery, "-")...)
	require.NoError(t, err)
	require.Equal(t, "3 accepted, 0 duplicates, 0 rejected\n", out)
}

func TestKilledIngestIsSimplyRunAgainAlsoToAnotherAddress(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	const lines, chunk, answered = 1000, 100, 3
	g := newGate(t, p.base, answered)
	path := file(t, companies(lines))
	killed, _ := launch(t, nil, ingestArgs(g.URL, c.key, delivery, path, "--chunk", strconv.Itoa(chunk))...)
	<-g.taken
	killed.kill()

	out, _, err := verb(t, "", ingestArgs(p.base, c.key, delivery, path)...)
	require.NoError(t, err)
	require.Equal(t, "600 accepted, 400 duplicates, 0 rejected\n", out)
	got := c.awaitFeed(t, delivery)
	require.Len(t, got, lines)
	for n := range lines {
		require.Equal(t, company(n), got[n], "in the file's order")
	}
}

func TestIngestWaitsWhileTheDatabaseIsAwayAndGoesOn(t *testing.T) {
	t.Parallel()
	server := testdb.NewServer(t)
	database := testdb.URLOn(t, server)
	c := serve(t, database, encryptionKey()).at(newKey(t, database))
	delivery := c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"Ingest"}`)["id"].(string)
	in, feed := io.Pipe()
	done := make(chan error, 1)
	var out, errs strings.Builder
	var waits atomic.Int32
	go func() {
		done <- run(t.Context(), ingestArgs(c.base(), c.key, delivery, "-", "--chunk", "10"),
			world{in: in, out: &out, err: writerFunc(func(b []byte) { errs.Write(b); waits.Add(1) })})
	}()
	write := func(lines string) {
		_, err := io.WriteString(feed, lines)
		require.NoError(t, err)
	}
	write(companies(10))
	require.Eventually(t, func() bool { return len(c.pull(t, delivery, "100")) == 10 }, patience, pollEvery)
	require.NoError(t, server.Kill(t.Context()))
	write(companies(20)[len(companies(10)):])
	require.Eventually(t, func() bool { return waits.Load() == 1 }, patience, pollEvery, "it does not say that it waits")
	require.NoError(t, server.Restart(t.Context()))
	write(companies(30)[len(companies(20)):])
	require.NoError(t, feed.Close())
	require.NoError(t, <-done)
	require.Equal(t, "30 accepted, 0 duplicates, 0 rejected\n", out.String())
	require.Contains(t, errs.String(), "waiting for it: the ledger answered 503 Service Unavailable")
	require.Len(t, c.awaitFeed(t, delivery), 30)
}

// writerFunc is a function as a writer.
type writerFunc func([]byte)

// Write calls the function.
func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

func TestIngestThatCannotSucceedSaysWhy(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	path := file(t, companies(1))
	for want, args := range map[string][]string{
		"send lines 1 to 1: the ledger answered 401 Unauthorized: an active API key is required": ingestArgs(p.base, "lnc_live_no", delivery, path),
		"the ledger answered 404 Not Found: there is no prospect search or delivery dcf_no":      ingestArgs(p.base, c.key, "dcf_no", path),
		"open file to ingest: open /no/file: no such file or directory":                          ingestArgs(p.base, c.key, delivery, "/no/file"),
		`--server must be an address such as http://127.0.0.1:8080: "localhost" is none`:         ingestArgs("localhost", c.key, delivery, path),
	} {
		_, _, err := verb(t, "", args...)
		require.ErrorContains(t, err, want)
	}
}
