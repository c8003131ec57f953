package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore/vault"
)

// asLedger makes this test binary be the ledger.
const asLedger = "LEDGER_TEST_AS_LEDGER"

func TestMain(m *testing.M) {
	if os.Getenv(asLedger) != "" {
		main()
		return
	}
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64 // tests have many callers
	os.Exit(m.Run())
}

// patience bounds whatever a test waits for.
const patience = 2 * time.Minute

// shorter returns n, or a fifth of it in a run with -short, which the race detector slows down.
func shorter(n int) int {
	if testing.Short() {
		return n / 5
	}
	return n
}

// pollEvery is how often a test looks at what it waits for.
const pollEvery = 10 * time.Millisecond

// ledger runs a verb as a process of its own, to its end, and returns what it printed.
func ledger(tb testing.TB, args ...string) (stdout, stderr string, err error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], withKey(args)...)
	cmd.Env = append(os.Environ(), asLedger+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// encryptionKeys are those that databases are served with, by their URLs and, since a database may be reached in other ways, by
// their names.
var encryptionKeys sync.Map

// keep notes the encryption key of the database at a URL.
func keep(database, encryptionKey string) {
	encryptionKeys.Store(database, encryptionKey)
	encryptionKeys.Store(databaseName(database), encryptionKey)
}

// kept returns the encryption key that the database at a URL was served with, and false when it was not.
func kept(database string) (string, bool) {
	key, ok := encryptionKeys.Load(database)
	if !ok {
		key, ok = encryptionKeys.Load(databaseName(database))
	}
	text, _ := key.(string)
	return text, ok
}

// databaseName returns the name of the database at a URL.
func databaseName(database string) string {
	u, err := url.Parse(database)
	if err != nil {
		return ""
	}
	return u.Path
}

// withKey returns args with the encryption key that their database is served with, where they are of a verb that may take it.
func withKey(args []string) []string {
	at := slices.Index(args, "--database-url")
	if len(args) == 0 || !slices.Contains([]string{"rebuild", "verify"}, args[0]) || at < 0 || slices.Contains(args, "--encryption-key") {
		return args
	}
	key, ok := kept(args[at+1])
	if !ok {
		return args
	}
	return append(slices.Clone(args), "--encryption-key", key)
}

// A process is a ledger that serves.
type process struct {
	cmd  *exec.Cmd
	base string // URL of its API
	done chan struct{}
	err  error // how it ended; to be read when done

	mu    sync.Mutex
	lines bytes.Buffer // that it printed
}

// serve starts ledger serve on a database, with private destinations allowed, and returns when
// it takes requests. It is killed with the test, if it still runs then.
func serve(tb testing.TB, database, encryptionKey string, args ...string) *process {
	tb.Helper()
	keep(database, encryptionKey)
	return start(tb, append([]string{
		"serve", "--database-url", database, "--encryption-key", encryptionKey,
		"--listen", "127.0.0.1:0", "--allow-private-destinations", "--log-format", "json",
	}, args...)...)
}

// start starts a verb that serves.
func start(tb testing.TB, args ...string) *process {
	tb.Helper()
	return startWith(tb, nil, args...)
}

// startWith starts a verb that serves, with variables of the form NAME=value.
func startWith(tb testing.TB, env []string, args ...string) *process {
	tb.Helper()
	p, address := launch(tb, env, args...)
	select {
	case p.base = <-address:
	case <-p.done:
		require.FailNow(tb, "the ledger ended at once", p.printed())
	case <-time.After(patience):
		require.FailNow(tb, "the ledger does not answer", p.printed())
	}
	return p
}

// launch starts any verb. The channel gets the address of its API, should it have one.
func launch(tb testing.TB, env []string, args ...string) (*process, <-chan string) {
	tb.Helper()
	p := &process{cmd: exec.Command(os.Args[0], withKey(args)...), done: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), asLedger+"=1"), env...)
	out, err := p.cmd.StdoutPipe()
	require.NoError(tb, err)
	p.cmd.Stderr = p.cmd.Stdout
	require.NoError(tb, p.cmd.Start())
	address := make(chan string, 1)
	go func() {
		defer close(p.done)
		p.read(out, address)
		p.err = p.cmd.Wait()
	}()
	tb.Cleanup(p.kill)
	return p, address
}

// read collects what the process prints, and sends the address of its API once it is told.
func (p *process) read(out io.Reader, address chan<- string) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.lines.Write(lines.Bytes())
		p.lines.WriteByte('\n')
		p.mu.Unlock()
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			address <- "http://" + line.Address
		}
		if _, rest, ok := strings.Cut(lines.Text(), "The ledger answers at "); ok {
			url, _, _ := strings.Cut(rest, ". ")
			address <- url
		}
	}
}

// printed returns what the process has printed so far.
func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines.String()
}

// kill ends the process with SIGKILL, if it still runs.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// stop asks the process to end, and returns how it did.
func (p *process) stop(tb testing.TB) error {
	tb.Helper()
	p.terminate(tb)
	return p.wait(tb)
}

// terminate asks the process to end.
func (p *process) terminate(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, p.cmd.Process.Signal(syscall.SIGTERM))
}

// wait waits until the process has ended, and returns how it did.
func (p *process) wait(tb testing.TB) error {
	tb.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		require.FailNow(tb, "the ledger does not stop", p.printed())
		return nil
	}
}

// verb runs a verb in this process, to its end, and returns what it printed.
func verb(tb testing.TB, stdin string, args ...string) (stdout, stderr string, err error) {
	tb.Helper()
	var out, errs bytes.Buffer
	err = run(tb.Context(), withKey(args), world{in: strings.NewReader(stdin), out: &out, err: &errs})
	return out.String(), errs.String(), err
}

// exitCode returns the exit code of a process that ended with err.
func exitCode(tb testing.TB, err error) int {
	tb.Helper()
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	require.ErrorAs(tb, err, &exit)
	return exit.ExitCode()
}

// at returns a client of a process, with an API key.
func (p *process) at(key string) client {
	return client{key: key, base: func() string { return p.base }}
}

// encryptionKey returns a key for a test's secrets.
func encryptionKey() string { return vault.NewKeyText() }

// newKey returns an API key of all scopes, made by the program itself.
func newKey(tb testing.TB, database string) string {
	tb.Helper()
	out, errs, err := ledger(tb, "keys", "create", "--organisation", "Acme", "--scopes", "all", "--database-url", database)
	require.NoError(tb, err, errs)
	return strings.TrimSpace(out)
}

// A client is somebody who uses the API.
type client struct {
	key  string
	base func() string // of a process that may be another one each time
}

// do sends a request and returns the status, the headers and the body of the answer.
func (c client) do(ctx context.Context, method, path, contentType, body string) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base()+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if body != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, answer, err
}

// must sends a request that has to be answered with status, and returns the answer's fields.
func (c client) must(tb testing.TB, status int, method, path, body string) map[string]any {
	tb.Helper()
	got, _, answer, err := c.do(tb.Context(), method, path, "application/json", body)
	require.NoError(tb, err)
	require.Equal(tb, status, got, string(answer))
	if len(answer) == 0 {
		return nil
	}
	var fields map[string]any
	require.NoError(tb, json.Unmarshal(answer, &fields), string(answer))
	return fields
}

// delivery makes a delivery with a webhook destination, which has all the time to answer, and returns its ID.
func (c client) delivery(tb testing.TB, url string) string {
	tb.Helper()
	return c.deliveryWithin(tb, url, time.Minute)
}

// deliveryWithin is delivery to a destination that has to answer within a time, in whole seconds. A lease of its dispatches ends
// that much later.
func (c client) deliveryWithin(tb testing.TB, url string, timeout time.Duration) string {
	tb.Helper()
	id := c.must(tb, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"CRM Sync"}`)["id"].(string)
	c.must(tb, http.StatusCreated, http.MethodPost, "/api/v1/deliveries/"+id+"/destinations",
		`{"type":"webhook","url":"`+url+`","auth_type":"bearer","auth_token":"your-secret-token","timeout_seconds":`+strconv.Itoa(int(timeout.Seconds()))+`}`)
	return id
}

// qualification returns the body of a company's qualification.
func qualification(company string) string {
	return `{"company":{"id":"` + company + `","name":"Acme Corp","domain":"acme.example"},` +
		`"prospects":[{"id":"pros_1","first_name":"Jane"}],"qualification_score":85,"match_reasons":["Uses HubSpot"]}`
}

// count returns how many of a delivery's dispatches are in each state.
func (c client) counts(tb testing.TB, delivery string) map[string]int {
	tb.Helper()
	counts := map[string]int{}
	for state, n := range c.must(tb, http.StatusOK, http.MethodGet, "/api/v1/deliveries/"+delivery, "")["counts"].(map[string]any) {
		counts[state] = int(n.(float64))
	}
	return counts
}

// pull returns the companies of a feed, in pages of limit, by cursor.
func (c client) pull(tb testing.TB, feed, limit string) (companies []string) {
	tb.Helper()
	for cursor := ""; ; {
		page := c.must(tb, http.StatusOK, http.MethodGet, "/api/v1/deliveries/"+feed+"/companies?limit="+limit+cursor, "")
		items := page["items"].([]any)
		for _, item := range items {
			companies = append(companies, item.(map[string]any)["id"].(string))
		}
		if !page["has_more"].(bool) {
			return companies
		}
		cursor = "&cursor=" + page["next_cursor"].(string)
	}
}

// caughtUp reports whether the process is ready and every read model shows the whole log.
func (c client) caughtUp(tb testing.TB) bool {
	tb.Helper()
	var report struct {
		Ready  bool
		Checks []struct{ Lag int }
	}
	_, _, answer, err := c.do(tb.Context(), http.MethodGet, "/readyz", "", "")
	if err != nil || json.Unmarshal(answer, &report) != nil || !report.Ready {
		return false
	}
	for _, check := range report.Checks {
		if check.Lag > 0 {
			return false
		}
	}
	return true
}

// A sink is a receiver that counts requests by webhook-id and by company.
type sink struct {
	mu        sync.Mutex
	requests  map[string]int // by webhook-id
	companies map[string]int
}

// ServeHTTP takes a webhook.
func (s *sink) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var body struct {
		Data struct {
			Company struct {
				ID string `json:"id"`
			} `json:"company"`
		} `json:"data"`
	}
	if json.NewDecoder(r.Body).Decode(&body) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests == nil {
		s.requests, s.companies = map[string]int{}, map[string]int{}
	}
	s.requests[r.Header.Get("Webhook-Id")]++
	s.companies[body.Data.Company.ID]++
}

// seen returns the numbers of requests so far by webhook-id.
func (s *sink) seen() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requests)
}

// repeats returns how many requests were not the first of their webhook-id.
func (s *sink) repeats() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, count := range s.requests {
		n += count - 1
	}
	return n
}

// got returns how many requests there were for a company.
func (s *sink) got(company string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.companies[company]
}
