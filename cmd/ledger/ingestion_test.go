package main

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A gate lets requests to a ledger through, but for one: that the ledger takes in, and nobody is told.
type gate struct {
	*httptest.Server
	taken chan struct{} // closed when the ledger has taken in what nobody is told of
}

// newGate returns a gate before the ledger at base. The request after so many has no answer.
func newGate(tb testing.TB, base string, answered int32) *gate {
	tb.Helper()
	at, err := url.Parse(base)
	require.NoError(tb, err)
	ledger := httputil.NewSingleHostReverseProxy(at)
	var requests atomic.Int32
	g := &gate{taken: make(chan struct{})}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) != answered+1 {
			ledger.ServeHTTP(w, r)
			return
		}
		ledger.ServeHTTP(httptest.NewRecorder(), r)
		close(g.taken)
		<-r.Context().Done()
	}))
	tb.Cleanup(g.Close)
	return g
}

// read returns the content of a file.
func read(tb testing.TB, path string) string {
	tb.Helper()
	b, err := os.ReadFile(path)
	require.NoError(tb, err)
	return string(b)
}

func TestKilledIngestGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	const lines, chunk, answered = 1000, 100, 3
	content := strings.Replace(companies(lines), `"qualification_score":85`, `"qualification_score":101`, 1)
	path := file(t, content)
	faults := path + ".faults"
	g := newGate(t, p.base, answered)
	args := ingestArgs(g.URL, c.key, delivery, path, "--chunk", strconv.Itoa(chunk), "--faults", faults)
	killed, _ := launch(t, nil, args...)
	<-g.taken
	killed.kill()
	require.NoError(t, os.WriteFile(faults, []byte(read(t, faults)+"half a li"), 0o600)) // which a kill can leave

	out, errs, err := verb(t, "", args...) // through the gate, which is open now
	require.EqualError(t, err, "1 lines were rejected")
	require.Equal(t, "899 accepted, 100 duplicates, 1 rejected\n", out, "of the whole file: only what had no answer was sent again")
	require.Equal(t, "going on after line 300, where the last ingest ended\n", errs)
	require.NoFileExists(t, path+".ingest")
	require.Equal(t, 1, strings.Count(read(t, faults), "\n"), "faults of before are kept, and what a kill left of one is not")
	require.True(t, strings.HasSuffix(read(t, faults), "\n"))

	whole := c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"Whole"}`)["id"].(string)
	_, _, err = verb(t, "", ingestArgs(p.base, c.key, whole, path, "--quiet")...)
	require.EqualError(t, err, "1 lines were rejected")
	require.Equal(t, c.awaitFeed(t, whole), c.awaitFeed(t, delivery), "as an uninterrupted ingest leaves them")
}

func TestIngestOfAnotherFileOrToAnotherPlaceSendsAll(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	content := companies(30)
	path := file(t, content)
	g := newGate(t, p.base, 2)
	args := ingestArgs(g.URL, c.key, delivery, path, "--chunk", "10")
	killed, _ := launch(t, nil, args...)
	<-g.taken
	killed.kill()
	mark := read(t, path+".ingest")
	for change, do := range map[string]func(){
		"within what was sent": func() { content = strings.Replace(companies(30), "Acme Corp", "Acme GmbH", 1) },
		"cut short":            func() { content = companies(5) },
		"emptied":              func() { content = "" },
	} {
		do()
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		require.NoError(t, os.WriteFile(path+".ingest", []byte(mark), 0o600))
		out, errs, err := verb(t, "", args...)
		require.NoError(t, err, change)
		require.Equal(t, path+" has changed since its lines up to 20 were sent: sending all of it\n", errs, change)
		require.Equal(t, "0 accepted, "+strconv.Itoa(strings.Count(content, "\n"))+" duplicates, 0 rejected\n", out, change)
	}
	require.NoError(t, os.WriteFile(path, []byte(companies(40)), 0o600))
	require.NoError(t, os.WriteFile(path+".ingest", []byte(mark), 0o600))
	out, _, err := verb(t, "", args...)
	require.NoError(t, err)
	require.Equal(t, "30 accepted, 10 duplicates, 0 rejected\n", out, "what was added is sent, and what was not answered")

	require.NoError(t, os.WriteFile(path+".ingest", []byte(mark), 0o600))
	other := c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"Other"}`)["id"].(string)
	out, errs, err := verb(t, "", ingestArgs(g.URL, c.key, other, path)...)
	require.NoError(t, err)
	require.Equal(t, "40 accepted, 0 duplicates, 0 rejected\n", out)
	require.Empty(t, errs)
	for _, broken := range []string{"", "{", `{"of":[]}`} {
		require.NoError(t, os.WriteFile(path+".ingest", []byte(broken), 0o600))
		out, _, err = verb(t, "", args...)
		require.NoError(t, err)
		require.Equal(t, "0 accepted, 40 duplicates, 0 rejected\n", out, "a bookmark that cannot be read is none")
	}
}

func TestIngestThatFailsSaysWhereItGoesOn(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	at, err := url.Parse(p.base)
	require.NoError(t, err)
	ledger := httputil.NewSingleHostReverseProxy(at)
	var requests atomic.Int32
	var refused time.Time
	var waited atomic.Int64
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch requests.Add(1) {
		case 2:
			refused = time.Now()
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		case 3:
			waited.Store(int64(time.Since(refused)))
			w.WriteHeader(http.StatusServiceUnavailable)
		case 5:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			ledger.ServeHTTP(w, r)
		}
	}))
	defer between.Close()
	path := file(t, companies(30))
	out, errs, err := verb(t, "", ingestArgs(between.URL, c.key, delivery, path, "--chunk", "10")...)
	require.EqualError(t, err, "send lines 21 to 30: the ledger answered 500 Internal Server Error")
	require.Equal(t, "20 accepted, 0 duplicates, 0 rejected\n", out)
	require.GreaterOrEqual(t, time.Duration(waited.Load()), 2*time.Second, "it waits as long as it is told")
	require.Equal(t, "the ledger does not take anything, waiting for it: the ledger answered 429 Too Many Requests\n"+
		"run the same command again: it goes on after line 20\n", errs)
}

func TestFaultsAreMendedInTheirFileAndIngestedAgain(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	long := `{"company":{"id":"comp_6","name":"` + strings.Repeat("x", maxLine) + `"}}`
	path := file(t, strings.Join([]string{
		qualification("comp_1"),
		strings.Replace(qualification("comp_<2>"), "85", "101", 1),
		`{"company":{"id":"comp_3",`,
		long,
		`"a text"`,
	}, "\n"))
	faults := path + ".faults"
	out, errs, err := verb(t, "", ingestArgs(p.base, c.key, delivery, path, "--faults", faults)...)
	require.EqualError(t, err, "4 lines were rejected")
	require.Equal(t, "1 accepted, 0 duplicates, 4 rejected\n", out)
	require.Empty(t, errs, "they are in the file")
	lines := strings.Split(strings.TrimSpace(read(t, faults)), "\n")
	require.Len(t, lines, 4)
	require.Equal(t, `{"line":2,"faults":[{"field":"qualification_score","error":"must be from 0 to 100","provided":101}],"input":`+
		strings.Replace(qualification("comp_<2>"), "85", "101", 1)+`}`, lines[0])
	require.True(t, strings.HasPrefix(lines[1], `{"line":3,`), lines[1])
	require.True(t, strings.HasSuffix(lines[1], `,"input":"{\"company\":{\"id\":\"comp_3\","}`), lines[1])
	require.JSONEq(t, `{"line":4,"faults":[{"error":"the line is longer than 1 MiB"}]}`, lines[2])

	mended := file(t, strings.Join([]string{
		strings.Replace(lines[0], `:101,"match`, `:99,"match`, 1),
		strings.Replace(lines[1], `{\"company\":{\"id\":\"comp_3\",`, `{\"company\":{\"id\":\"comp_3\",\"name\":\"c\"},\"qualification_score\":1}`, 1),
		lines[2],
		lines[3],
	}, "\n"))
	_, errs, err = verb(t, "", ingestArgs(p.base, c.key, delivery, mended)...)
	require.EqualError(t, err, "2 lines were rejected")
	require.Equal(t, "line 3: input is not there, so there is nothing to send: the line was too long to be kept\n"+
		"line 4: body must be an object\n", errs)
	require.Equal(t, []string{"comp_1", "comp_<2>", "comp_3"}, c.awaitFeed(t, delivery))

	_, _, err = verb(t, "", ingestArgs(p.base, c.key, delivery, mended, "--faults", mended)...)
	require.EqualError(t, err, "--faults must be another file than the one to ingest")
	require.NotEmpty(t, read(t, mended))
}

func TestGzipIsUnpackedWhateverItsNameAndAByteOrderMarkIsNone(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	var packed bytes.Buffer
	for n := range 2 { // members follow each other, as cat makes them
		w := gzip.NewWriter(&packed)
		_, err := w.Write([]byte(strings.Repeat("\ufeff", 1-n) + qualification(company(n)) + "\n"))
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	out, _, err := verb(t, "", ingestArgs(p.base, c.key, delivery, file(t, packed.String()))...)
	require.NoError(t, err)
	require.Equal(t, "2 accepted, 0 duplicates, 0 rejected\n", out)
	out, _, err = verb(t, packed.String(), ingestArgs(p.base, c.key, delivery, "-")...)
	require.NoError(t, err)
	require.Equal(t, "0 accepted, 2 duplicates, 0 rejected\n", out)
	_, _, err = verb(t, "", ingestArgs(p.base, c.key, delivery, file(t, packed.String()[:packed.Len()-1]))...)
	require.EqualError(t, err, "read file to ingest: unexpected EOF", "a file that was cut off is not taken for a whole one")
	_, _, err = verb(t, "\xff\xfe{\x00", ingestArgs(p.base, c.key, delivery, "-")...)
	require.ErrorContains(t, err, "read file to ingest: it is UTF-16 and must be UTF-8")
}

func TestTallyTellsLinesRateOutcomesAndShare(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	s := sums{Accepted: 10, Duplicates: 2, Rejected: 1}
	feed := func(tl *tally) {
		for second := range 21 {
			tl.set(began.Add(time.Duration(second)*time.Second), 100+50*second, s, 0.5)
		}
		tl.say("a fault")
	}
	var out strings.Builder
	feed(newTally(&out, false, began, 100))
	require.Equal(t, "ingest: 600 lines, 50/s, 10 accepted, 2 duplicates, 1 rejected, 50 %\n"+
		"ingest: 1100 lines, 50/s, 10 accepted, 2 duplicates, 1 rejected, 50 %\na fault\n", out.String(), "a line now and then")

	out.Reset()
	quiet := newTally(&out, true, began, 100)
	feed(quiet)
	require.Equal(t, "a fault\n", out.String())

	out.Reset()
	drawn := newTally(&out, false, began, 0)
	drawn.terminal = true
	drawn.set(began.Add(time.Second), 7, s, -1)
	drawn.set(began.Add(time.Second+renewEvery/2), 8, s, -1)
	drawn.set(began.Add(2*time.Second), 20, s, -1)
	drawn.say("a fault")
	require.Equal(t, "ingest: 7 lines, 7/s, 10 accepted, 2 duplicates, 1 rejected"+
		"\r\x1b[Kingest: 20 lines, 10/s, 10 accepted, 2 duplicates, 1 rejected\r\x1b[Ka fault\n", out.String())
}
