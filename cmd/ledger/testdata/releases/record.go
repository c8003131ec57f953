// Command record records what a release keeps and answers, for the builds after it to be held to: see README.md beside it.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/migrations/localpg"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: record LEDGER FOLDER")
		os.Exit(2)
	}
	r := &recorder{program: os.Args[1], folder: os.Args[2], encryption: vault.NewKeyText()}
	r.record()
}

// check ends the program if something went wrong.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// recorder drives a release.
type recorder struct {
	program, folder, database, encryption string
	base                                  string // of the API
	acme, globex                          string // keys
	receiver                              *receiver
	conn                                  *pgx.Conn
}

// recording is what is kept beside the database.
type recording struct {
	EncryptionKey string            `json:"encryption_key"`
	Keys          map[string]string `json:"keys"` // to the API, by organisation
	PublicKey     string            `json:"public_key"`
	Checkpoint    string            `json:"checkpoint"`
	Types         map[string]int    `json:"types"`   // numbers of events in the log
	Printed       map[string]string `json:"printed"` // by verbs, with words between
	Answers       []answer          `json:"answers"`
}

// answer is one of the API's.
type answer struct {
	Key    string          `json:"key"`
	Path   string          `json:"path"`
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
}

// record records.
func (r *recorder) record() {
	ctx := context.Background()
	cluster, err := localpg.Start(ctx, localpg.Options{Ephemeral: true})
	check(err)
	defer func() { check(cluster.Stop(ctx)) }()
	r.database, err = cluster.CreateDatabase(ctx, "ledger")
	check(err)
	r.verb("migrate")
	r.conn, err = pgx.Connect(ctx, r.database)
	check(err)
	key := func(org string) string {
		return strings.TrimSpace(r.verb("keys", "create", "--organisation", org, "--scopes", "all"))
	}
	r.acme, r.globex = key("Acme"), key("Globex")
	r.receiver = newReceiver()
	api := r.serve("api")
	r.scenario()
	kept := recording{
		EncryptionKey: r.encryption, Keys: map[string]string{"acme": r.acme, "globex": r.globex}, Types: map[string]int{}, Printed: map[string]string{},
		PublicKey:  r.verb("checkpoint", "--show-key", "--encryption-key", r.encryption),
		Checkpoint: r.verb("checkpoint", "--encryption-key", r.encryption),
	}
	for _, verb := range []string{"verify", "reconcile"} {
		kept.Printed[verb] = r.verb(strings.Fields(verb)...)
	}
	conn := r.conn
	rows, _ := conn.Query(ctx, `SELECT type, count(*) FROM events GROUP BY type`)
	var name string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error { kept.Types[name] = n; return nil })
	check(err)
	for _, path := range r.paths(conn) {
		for _, who := range []string{"acme", "globex"} {
			status, body := r.ask(kept.Keys[who], http.MethodGet, path, "")
			kept.Answers = append(kept.Answers, answer{who, path, status, body})
		}
	}
	stop(api)
	check(os.MkdirAll(r.folder, 0o755))
	r.write("answers.json.gz", func(w io.Writer) {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		check(enc.Encode(kept))
	})
	r.write("database.gz", func(w io.Writer) { dump(ctx, conn, w) })
	for _, name := range slices.Sorted(maps.Keys(kept.Types)) {
		fmt.Println(name, kept.Types[name])
	}
	fmt.Println(len(kept.Types), "types,", len(kept.Answers), "answers")
}

// write writes a file in gzip.
func (r *recorder) write(name string, content func(io.Writer)) {
	f, err := os.Create(filepath.Join(r.folder, name))
	check(err)
	w, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	check(err)
	content(w)
	check(w.Close())
	check(f.Close())
}

// dump writes every table: a COPY statement, and what it takes, to a line with \.
func dump(ctx context.Context, conn *pgx.Conn, w io.Writer) {
	const query = `
		SELECT c.table_name, string_agg(quote_ident(c.column_name), ', ' ORDER BY c.ordinal_position)
		FROM information_schema.columns c
		JOIN information_schema.tables t USING (table_schema, table_name)
		WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.table_name <> 'goose_db_version' AND c.is_generated = 'NEVER'
		GROUP BY c.table_name
		ORDER BY c.table_name`
	rows, _ := conn.Query(ctx, query)
	type table struct{ Name, Columns string }
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	check(err)
	for _, t := range tables {
		fmt.Fprintf(w, "COPY %s (%s) FROM STDIN\n", t.Name, t.Columns)
		order := ""
		if t.Name == "events" {
			order = " ORDER BY position"
		}
		_, err := conn.PgConn().CopyTo(ctx, w, fmt.Sprintf("COPY (SELECT %s FROM %s%s) TO STDOUT", t.Columns, t.Name, order))
		check(err)
		fmt.Fprintln(w, `\.`)
	}
}

// verb runs a verb of the release, and returns what it prints.
func (r *recorder) verb(words ...string) string {
	cmd := exec.Command(r.program, append(words, "--database-url", r.database)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	check(err)
	return string(out)
}

// serve starts a process with roles, and returns when it takes requests. That of the API is the one that is asked.
func (r *recorder) serve(roles string) *exec.Cmd {
	cmd := exec.Command(r.program, "serve", "--roles", roles, "--database-url", r.database, "--encryption-key", r.encryption, "--listen", "127.0.0.1:0",
		"--allow-private-destinations", "--log-format", "json", "--checkpoint-interval", "0", "--disable-after-dispatches", "3", "--disable-after-time", "1ms")
	out, err := cmd.StdoutPipe()
	check(err)
	cmd.Stderr = cmd.Stdout
	check(cmd.Start())
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var line struct{ Msg, Address, Level string }
			switch {
			case json.Unmarshal(lines.Bytes(), &line) != nil || line.Level == "ERROR":
				fmt.Fprintln(os.Stderr, lines.Text())
			case line.Msg == "listening":
				address <- "http://" + line.Address
			}
		}
		close(address)
	}()
	base, ok := <-address
	if !ok {
		panic("the ledger ended")
	}
	if roles == "api" {
		r.base = base
	}
	return cmd
}

// stop ends a process.
func stop(cmd *exec.Cmd) {
	check(cmd.Process.Signal(syscall.SIGTERM))
	check(cmd.Wait())
}

// ask sends a request, and returns the answer.
func (r *recorder) ask(key, method, path, body string) (int, json.RawMessage) {
	req, err := http.NewRequest(method, r.base+path, strings.NewReader(body))
	check(err)
	req.Header.Set("Authorization", "Bearer "+key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	}
	res, err := http.DefaultClient.Do(req)
	check(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	check(err)
	if len(text) == 0 {
		text = []byte("null")
	}
	return res.StatusCode, text
}

// do sends a request that has to succeed, and returns the fields of the answer.
func (r *recorder) do(key, method, path, body string) map[string]any {
	status, text := r.ask(key, method, "/api/v1"+path, body)
	if status >= 300 {
		panic(fmt.Sprint(method, " ", path, " ", body, ": ", status, " ", string(text)))
	}
	var fields map[string]any
	check(json.Unmarshal(text, &fields))
	return fields
}

// acmes sends a request of Acme's that has to succeed, and returns the ID in the answer.
func (r *recorder) acmes(method, path, body string) string {
	id, _ := r.do(r.acme, method, path, body)["id"].(string)
	return id
}

// await waits until a condition holds.
func await(what string, holds func() bool) {
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			panic("no " + what)
		}
	}
}

// awaitEvent waits until a delivery's audit trail has n events of a type.
func (r *recorder) awaitEvent(delivery, eventType string, n int) {
	await(fmt.Sprint(n, " ", eventType, " of ", delivery), func() bool {
		return r.do(r.acme, "GET", "/deliveries/"+delivery+"/events?type="+eventType, "")["total"].(float64) >= float64(n)
	})
}

// awaitCaughtUp waits until the read models show all.
func (r *recorder) awaitCaughtUp() {
	await("end of the log", func() bool {
		_, text := r.ask("", http.MethodGet, "/readyz", "")
		var report struct{ Checks []struct{ Lag int } }
		check(json.Unmarshal(text, &report))
		for _, c := range report.Checks {
			if c.Lag > 0 {
				return false
			}
		}
		return len(report.Checks) > 1
	})
}

// company returns a qualification, or a candidate, of a company.
func company(id string, technologies ...string) string {
	host := strings.ReplaceAll(id, "_", "-")
	if technologies == nil {
		return fmt.Sprintf(`{"company":{"id":%q,"name":"Müller & Söhne <%s>","domain":"%s.example","employees":50,"revenue":1e400},`+
			`"prospects":[{"id":"pros_%s","first_name":"Jane","email":"jane@%s.example"}],"qualification_score":85,"match_reasons":["Uses HubSpot"]}`, id, id, host, id, host)
	}
	list, _ := json.Marshal(technologies)
	return fmt.Sprintf(`{"company":{"id":%q,"name":"Initech","domain":"%s.example","technologies":%s},"prospects":[],"attributes":{"funding":{"round":"B"}}}`, id, host, list)
}

// rules are some of a customer's.
const rules = `[{"name":"hubspot","reason":"Uses HubSpot","when":{"field":"company.technologies","op":"contains","value":"HubSpot"},"weight":40},` +
	`{"name":"size","when":{"any":[{"expression":"company.employees > 50"},{"not":{"field":"company.technologies","op":"absent"}}]},"required":true},` +
	`{"name":"cloud","when":{"all":[{"field":"company.technologies","op":"any_of","value":["AWS","GCP"]}]},"weight":60}]`

// scenario has everything happen that can.
func (r *recorder) scenario() {
	workers := r.serve("follow,attempt")
	at := r.receiver.url
	webhook := func(delivery, path, more string) string {
		return r.acmes("POST", "/deliveries/"+delivery+"/destinations", `{"type":"webhook","url":"`+at+path+`"`+more+`}`)
	}
	qualify := func(delivery string, ids ...string) {
		for _, id := range ids {
			r.acmes("POST", "/deliveries/"+delivery+"/qualifications", company(id))
		}
	}
	// A delivery that goes well, by all kinds of authentication, and one that is told of others.
	good := r.acmes("POST", "/deliveries", `{"name":"CRM Sync","prospect_search_id":"search-1","rules":`+rules+`,"threshold":60}`)
	webhook(good, "/ok", `,"auth_type":"bearer","auth_token":"your-secret-token","headers":{"X-Team":"Vertrieb Süd"},"events":["delivery.company_qualified","dispatch.failed","destination.disabled","destination.recovered"]`)
	webhook(good, "/ok", `,"auth_type":"basic","username":"openprospect","password":"pa55","signature":"v1a","ordered":true`)
	webhook(good, "/ok", `,"auth_type":"header","header_name":"X-Api-Key","header_value":"k3y","rate_limit_per_second":50,"max_in_flight":4`)
	webhook(good, "/ok", `,"auth_type":"oauth2","token_url":"`+at+`/token","client_id":"openprospect","client_secret":"s3cret","scope":"leads:write"`)
	pulled := r.acmes("POST", "/deliveries/"+good+"/destinations", `{"type":"api","name":"Pull"}`)
	qualify(good, "comp_1", "comp_2", "comp_3", "comp_1")
	r.awaitEvent(good, "attempt.succeeded", 12)
	for _, c := range []string{company("comp_hub", "HubSpot", "AWS"), company("comp_aws", "AWS"), company("comp_none", "Excel"), company("comp_cold", "HubSpot")} {
		r.acmes("POST", "/deliveries/"+good+"/candidates", c)
	}
	r.awaitEvent(good, "company.disqualified", 2)
	rotated := webhook(good, "/ok", `,"name":"Rotated"`)
	r.acmes("POST", "/deliveries/"+good+"/destinations/"+rotated+"/rotate-secret", `{"overlap_seconds":3600}`)
	r.acmes("POST", "/deliveries/"+good+"/destinations/"+rotated+"/test", ``)
	broken := webhook(good, "/fail", `,"retry_schedule":[1]`)
	r.acmes("POST", "/deliveries/"+good+"/destinations/"+broken+"/test", ``)
	r.acmes("PUT", "/deliveries/"+good+"/destinations/"+rotated, `{"timeout_seconds":30,"retry_schedule":[60,300]}`)

	// Exclusions, and companies that are judged again.
	r.do(r.acme, "POST", "/exclusions", `{"kind":"domain","value":"comp-ex.example","reason":"A customer already"}`)
	removed := r.do(r.acme, "POST", "/exclusions", `{"kind":"company","value":"comp_gone"}`)["items"].([]any)[0].(map[string]any)["id"].(string)
	qualify(good, "comp_gone", "comp_ex")
	r.ask(r.acme, "DELETE", "/api/v1/exclusions/"+removed, "")
	r.acmes("PUT", "/deliveries/"+good, `{"name":"CRM Sync (Updated)","rules":[{"name":"hubspot","when":{"field":"company.technologies","op":"contains","value":"HubSpot"}}],"threshold":50}`)
	r.awaitCaughtUp()
	r.acmes("POST", "/deliveries/"+good+"/requalify", `{}`)
	r.awaitEvent(good, "requalification.ended", 1)

	// Failures: for good, gone, given up, recovered, under way when the destination went.
	bad := r.acmes("POST", "/deliveries", `{"name":"Trouble","schedule":"immediate"}`)
	gone := webhook(bad, "/gone", ``)
	failing := webhook(bad, "/toggle", `,"retry_schedule":[1]`)
	qualify(bad, "comp_1", "comp_2", "comp_3", "comp_4")
	r.awaitEvent(bad, "dispatch.failed", 3)
	r.awaitEvent(bad, "destination.disabled", 2)
	r.receiver.works.Store(true)
	r.acmes("POST", "/deliveries/"+bad+"/destinations/"+failing+"/enable", `{"replay_failed":true}`)
	r.awaitEvent(bad, "destination.recovered", 1)
	r.awaitEvent(bad, "replay.ended", 1)
	r.acmes("POST", "/deliveries/"+bad+"/destinations/"+gone+"/enable", ``)

	// A destination that goes while one of its dispatches is claimed.
	r.awaitCaughtUp()
	stop(workers)
	doomed := webhook(bad, "/ok", ``)
	workers = r.serve("follow")
	qualify(bad, "comp_late")
	r.awaitCaughtUp()
	late := r.do(r.acme, "GET", "/deliveries/"+bad+"/dispatches?destination="+doomed, "")["items"].([]any)[0].(map[string]any)["id"].(string)
	r.ask(r.acme, "DELETE", "/api/v1/deliveries/"+bad+"/destinations/"+doomed, "")
	check(exec.Command(r.program+"-cancel", r.database, late, bad, doomed).Run())
	r.awaitCaughtUp()
	stop(workers)
	workers = r.serve("follow,attempt")

	// Retried by hand, replayed, and jobs that are cancelled, which is sure where nobody carries them out.
	r.awaitCaughtUp()
	ended := r.do(r.acme, "GET", "/deliveries/"+good+"/dispatches?status=delivered", "")["items"].([]any)[0].(map[string]any)["id"].(string)
	r.acmes("POST", "/dispatches/"+ended+"/retry", ``)
	r.acmes("POST", "/deliveries/"+good+"/replay", `{"status":"delivered"}`)
	r.awaitEvent(good, "replay.ended", 1)
	r.awaitEvent(good, "replay.advanced", 1)
	r.awaitCaughtUp()
	stop(workers)
	hold := func(function string) {
		for _, lock := range []int64{7_310_575_174_993_603_432, 7_310_575_174_993_603_433} { // of who carries out replays, and requalifications
			_, err := r.conn.Exec(context.Background(), `SELECT `+function+`($1)`, lock)
			check(err)
		}
	}
	hold("pg_advisory_lock")
	workers = r.serve("follow,attempt")
	replay := r.acmes("POST", "/deliveries/"+bad+"/replay", `{"status":"failed","since":"2020-01-01T00:00:00Z"}`)
	r.awaitCaughtUp()
	r.acmes("POST", "/deliveries/"+bad+"/replays/"+replay+"/cancel", ``)
	requalification := r.acmes("POST", "/deliveries/"+good+"/requalify", `{"since":"2020-01-01T00:00:00Z"}`)
	r.awaitCaughtUp()
	r.acmes("POST", "/deliveries/"+good+"/requalifications/"+requalification+"/cancel", ``)
	r.awaitCaughtUp()
	r.acmes("POST", "/deliveries/"+good+"/requalify", `{}`)
	r.acmes("PUT", "/deliveries/"+good, `{"threshold":55}`)
	hold("pg_advisory_unlock")
	r.awaitEvent(good, "requalification.ended", 2)

	// What is held, due later, and gone; and another customer.
	held := r.acmes("POST", "/deliveries", `{"name":"Held","schedule":"30 9 * * 1-5","timezone":"Europe/Berlin"}`)
	webhook(held, "/ok", ``)
	qualify(held, "comp_1", "comp_2")
	r.acmes("PUT", "/deliveries/"+held, `{"status":"paused"}`)
	qualify(held, "comp_3")
	r.acmes("PUT", "/deliveries/"+held, `{"status":"active"}`)
	r.acmes("PUT", "/deliveries/"+held, `{"status":"paused","schedule":"daily"}`)
	waiting := r.acmes("POST", "/deliveries", `{"name":"Waiting"}`)
	webhook(waiting, "/fail", `,"retry_schedule":[86000]`)
	qualify(waiting, "comp_1")
	r.awaitEvent(waiting, "attempt.failed", 1)
	deleted := r.acmes("POST", "/deliveries", `{"name":"Deleted"}`)
	webhook(deleted, "/ok", ``)
	qualify(deleted, "comp_1")
	r.awaitEvent(deleted, "attempt.succeeded", 1)
	r.ask(r.acme, "DELETE", "/api/v1/deliveries/"+deleted, "")
	r.ask(r.acme, "DELETE", "/api/v1/deliveries/"+good+"/destinations/"+pulled, "")
	other, _ := r.do(r.globex, "POST", "/deliveries", `{"name":"Globex"}`)["id"].(string)
	r.do(r.globex, "POST", "/deliveries/"+other+"/qualifications", company("comp_1"))
	r.awaitCaughtUp()
	time.Sleep(3 * time.Second) // what follows from what followed
	r.awaitCaughtUp()
	stop(workers)
}

// paths returns what the API is asked for.
func (r *recorder) paths(conn *pgx.Conn) []string {
	from := time.Now().UTC().Truncate(24 * time.Hour)
	recent := "from=" + from.Format(time.RFC3339) + "&to=" + from.Add(48*time.Hour).Format(time.RFC3339)
	paths := []string{"/deliveries?limit=100", "/deliveries?status=paused", "/exclusions?limit=100", "/prospect-searches?limit=100", "/audit/checkpoint", "/audit/consistency?from=5",
		"/deliveries/search-1/companies?delivered_since=2020-01-01T00:00:00Z", "/auth/validate"}
	column := func(query string) []string {
		rows, _ := conn.Query(context.Background(), query)
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		check(err)
		return list
	}
	for _, id := range column(`SELECT substr(stream, 10) FROM events WHERE type = 'delivery.created' ORDER BY position`) {
		one := "/deliveries/" + id
		paths = append(paths, one, one+"/destinations?limit=100", one+"/dispatches?limit=100", one+"/dispatches?status=delivered&limit=2", one+"/dispatches?status=failed",
			one+"/companies?limit=100", one+"/companies?limit=1", one+"/replays", one+"/requalifications", one+"/reconciliation", one+"?as_of=12", one+"?as_of=2120-01-01T00:00:00Z",
			one+"/stats?bucket=day&"+recent, one+"/stats?bucket=hour&"+recent)
		for offset := 0; offset < 400; offset += 100 {
			paths = append(paths, fmt.Sprintf("%s/events?limit=100&offset=%d", one, offset))
		}
	}
	for _, pair := range column(`SELECT (data->>'delivery') || '/destinations/' || (data->'destination'->>'id') FROM events WHERE type = 'destination.added' ORDER BY position`) {
		paths = append(paths, "/deliveries/"+pair, "/deliveries/"+pair+"/health")
	}
	for _, id := range column(`SELECT DISTINCT data->>'dispatch' FROM events WHERE data->>'dispatch' IS NOT NULL ORDER BY 1`) {
		paths = append(paths, "/dispatches/"+id)
	}
	for _, id := range []string{"comp_1", "comp_hub", "comp_none", "comp_gone", "comp_ex", "comp_late"} {
		paths = append(paths, "/companies/"+id+"/explanation")
	}
	for _, position := range column(`SELECT min(position)::text FROM events GROUP BY type ORDER BY min(position)`) {
		paths = append(paths, "/audit/proof?position="+position)
	}
	for i := range paths {
		paths[i] = "/api/v1" + paths[i]
	}
	return paths
}

// receiver takes webhooks.
type receiver struct {
	url   string
	works atomic.Bool
}

// newReceiver starts one.
func newReceiver() *receiver {
	r := &receiver{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	r.url = "http://" + l.Addr().String()
	go func() { _ = http.Serve(l, r) }()
	return r
}

// ServeHTTP answers as the path says.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body bytes.Buffer
	_, _ = body.ReadFrom(req.Body)
	switch req.URL.Path {
	case "/token":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"t0ken","token_type":"Bearer","expires_in":3600}`)
	case "/gone":
		w.WriteHeader(http.StatusGone)
	case "/fail":
		http.Error(w, "out of order", http.StatusInternalServerError)
	case "/toggle":
		if !r.works.Load() {
			http.Error(w, "out of order", http.StatusBadGateway)
		}
	default:
		fmt.Fprint(w, "thanks")
	}
}
