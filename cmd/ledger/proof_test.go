package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// A proven is a ledger with some events, and what a customer has of it.
type proven struct {
	client
	database, encryption string
	key                  string // public
	delivery             string
	dir                  string // of files
}

// newProven returns a ledger that signs when it is asked.
func newProven(t *testing.T) *proven {
	t.Helper()
	p := &proven{database: testdb.URL(t), encryption: encryptionKey(), dir: t.TempDir()}
	p.client = serve(t, p.database, p.encryption, "--checkpoint-interval", "0").at(newKey(t, p.database))
	p.key = strings.TrimSpace(p.verb(t, "checkpoint", "--show-key", "--encryption-key", p.encryption, "--database-url", p.database))
	p.delivery = p.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"CRM"}`)["id"].(string)
	p.qualify(t, p.delivery, "comp_1")
	return p
}

// verb runs a verb, which has to do well, and returns what it prints.
func (p *proven) verb(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, err := verb(t, "", args...)
	require.NoError(t, err, errs)
	return out
}

// save saves the answer to a request, changed in these pairs of texts, and returns the file.
func (p *proven) save(t *testing.T, file, path string, changes ...string) string {
	t.Helper()
	return p.write(t, file, p.must(t, http.StatusOK, http.MethodGet, "/api/v1/audit/"+path, ""), changes...)
}

// write saves an answer likewise.
func (p *proven) write(t *testing.T, file string, answer map[string]any, changes ...string) string {
	t.Helper()
	for name, v := range answer {
		if text, ok := v.(string); ok {
			answer[name] = strings.NewReplacer(changes...).Replace(text)
		}
	}
	text, err := json.Marshal(answer)
	require.NoError(t, err)
	file = filepath.Join(p.dir, file)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return file
}

// checkpoint saves what ledger checkpoint prints, and returns the file and the number of events.
func (p *proven) checkpoint(t *testing.T, file string) (path, size string) {
	t.Helper()
	note := p.verb(t, "checkpoint", "--encryption-key", p.encryption, "--database-url", p.database)
	path = filepath.Join(p.dir, file)
	require.NoError(t, os.WriteFile(path, []byte(note), 0o600))
	return path, strings.Split(note, "\n")[1]
}

// rewrite changes the last event and computes its hash anew, as who has the whole database can, and
// has all that was signed forgotten.
func (p *proven) rewrite(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var head eventstore.Position
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT position FROM log_head`).Scan(&head))
	records, err := eventstore.ReadPage(t.Context(), conn, head-1, head)
	require.NoError(t, err)
	last := &records[1]
	last.Data = []byte(strings.Replace(string(last.Data), "Acme", "Ajax", 1))
	for _, statement := range []string{`SET session_replication_role = replica`, `TRUNCATE checkpoints, tree_hashes`, `UPDATE cursors SET position = 0 WHERE name = 'tree'`} {
		_, err := conn.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	hash := eventstore.Hash(records[0].Hash, last)
	_, err = conn.Exec(t.Context(), `UPDATE events SET data = $2, hash = $3 WHERE position = $1`, head, last.Data, hash)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `UPDATE log_head SET hash = $1`, hash)
	require.NoError(t, err)
}

func TestWhatTheLedgerProvesIsVerifiedWithoutIt(t *testing.T) {
	t.Parallel()
	p := newProven(t)
	kept, size := p.checkpoint(t, "kept.txt")
	p.qualify(t, p.delivery, "comp_2")
	later, latest := p.checkpoint(t, "later.txt")
	event := p.save(t, "event.json", "proof?position=2")
	answer := p.save(t, "checkpoint.json", "checkpoint")
	consistency := p.save(t, "consistency.json", "consistency?from="+size)

	out := p.verb(t, "verify-proof", "--key", p.key, kept, later, event, answer, consistency)
	lines := strings.Split(out, "\n")
	require.Len(t, lines, 6)
	require.Regexp(t, `kept.txt: the `+size+` events that delivery-ledger/[0-9a-f]{12} signed for \(key [0-9a-f]{8}\) have the root \S{44}$`, lines[0])
	require.Regexp(t, `event.json: event 2, company.qualified of handover/\S+, recorded at \S+Z with exactly this content, is one of the \d+ events that`, lines[2])
	require.Regexp(t, `consistency.json: the `+size+` events of \S+kept.txt are the first of the \d+ events that .*: none was changed, removed or put in between$`, lines[4])
	note, err := os.ReadFile(kept)
	require.NoError(t, err)
	out, _, err = verb(t, string(note), "verify-proof", "--key", p.key, "-")
	require.NoError(t, err)
	require.Contains(t, out, "-: the "+size+" events that")

	answers := p.must(t, http.StatusOK, http.MethodGet, "/api/v1/audit/proof?position=2", "")
	content := answers["event"].(map[string]any)
	content["data"] = strings.Replace(content["data"].(string), "comp_1", "comp_9", 1)
	changed := p.write(t, "changed.json", answers)
	forged := p.save(t, "forged.json", "checkpoint", "\n"+latest+"\n", "\n1\n")
	stranger := newProven(t).save(t, "stranger.json", "checkpoint")

	p.rewrite(t)
	forked, size2 := p.checkpoint(t, "forked.txt")
	p.qualify(t, p.delivery, "comp_3")
	p.checkpoint(t, "newest.txt")
	other := p.save(t, "other.json", "consistency?from="+size2)
	for want, files := range map[string][]string{
		"the event's content does not give its hash":                   {changed},
		"it is signed by none of the keys":                             {stranger},
		"the ledger signed two different states of":                    {later, forked},
		"the earlier checkpoint, over " + size + " events, is in none": {consistency},
		"are not the first of the":                                     {later, other},
		"no such file or directory":                                    {filepath.Join(p.dir, "none")},
		"malformed note":                                               {p.write(t, "none.json", map[string]any{})},
	} {
		_, _, err := verb(t, "", append([]string{"verify-proof", "--key", p.key}, files...)...)
		require.ErrorContains(t, err, want)
	}
	_, _, err = verb(t, "", "verify-proof", "--key", p.key, forged)
	require.ErrorContains(t, err, "invalid signature for key")
}

func TestVerifyFindsAHistoryThatWasRewrittenAgainstWhatWasKept(t *testing.T) {
	t.Parallel()
	p := newProven(t)
	kept, size := p.checkpoint(t, "kept.txt")
	verify := []string{"verify", "--database-url", p.database}
	held := append(verify, "--checkpoint", kept, "--key", p.key)
	require.Contains(t, p.verb(t, verify...), "It agrees with 1 checkpoint, of which the largest is over "+size+" events.\n")
	require.Contains(t, p.verb(t, held...), "It agrees with 2 checkpoints, of which the largest is over "+size+" events.\n")

	p.rewrite(t)
	require.Contains(t, p.verb(t, verify...), "The log is sound", "all that the database holds agrees")
	_, _, err := verb(t, "", held...)
	require.ErrorContains(t, err, "the first "+size+" events are not those that were signed for: history was rewritten")
	_, _, err = verb(t, "", append(verify, "--checkpoint", kept)...)
	require.ErrorContains(t, err, "--checkpoint needs --key")
	_, _, err = verb(t, "", append(verify, "--checkpoint", kept, "--key", newProven(t).key)...)
	require.ErrorContains(t, err, "it is signed by none of the keys")
}

func TestTheLogIsSignedAtAnInterval(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	c := serve(t, database, encryptionKey(), "--checkpoint-interval", "10ms").at(newKey(t, database))
	c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"CRM"}`)
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	require.Eventually(t, func() bool {
		var signed bool
		return conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM checkpoints WHERE size = 1)`).Scan(&signed) == nil && signed
	}, patience, pollEvery)
}

func TestWhatTheREADMESaysProves(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	p := newProven(t)
	_, section, _ := strings.Cut(string(readme), "## Prove it\n")
	section, _, _ = strings.Cut(section, "\n## ")
	size := func() string {
		var checkpoint struct{ Size json.Number }
		text, _ := os.ReadFile(filepath.Join(p.dir, "checkpoint.json")) // absent at first
		_ = json.Unmarshal(text, &checkpoint)
		return checkpoint.Size.String()
	}
	said := ""
	for line := range strings.Lines(section) {
		line = strings.NewReplacer("$URL", p.base(), "$KEY", p.client.key, "$PUBLIC_KEY", p.key, "{position}", "2", "{size}", size(),
			"postgres://…", p.database).Replace(line)
		switch words := shellWords(line); {
		case strings.HasPrefix(line, "curl "):
			c := newCurl(t, words)
			if c.output == "consistency.json" { // some time later
				p.qualify(t, p.delivery, "comp_2")
				p.checkpoint(t, "newest.txt")
			}
			p.write(t, c.output, c.send(t, http.StatusOK))
		case strings.HasPrefix(line, "ledger "):
			said += p.shell(t, words[1:])
		}
	}
	for _, want := range []string{
		p.key + "\n", "proof.json: event 2, company.qualified of handover/", "checkpoint.json are the first of the ", "It agrees with ",
	} {
		require.Contains(t, said, want)
	}
}

// shell runs a verb as words of a command line in the folder, and returns what it prints.
func (p *proven) shell(t *testing.T, words []string) string {
	t.Helper()
	for i, word := range words {
		if strings.HasSuffix(word, ".json") || strings.HasSuffix(word, ".txt") {
			words[i] = filepath.Join(p.dir, word)
		}
	}
	if words[0] == "checkpoint" { // which others have in their environment
		words = slices.Insert(words, 1, "--encryption-key", p.encryption)
	}
	to := slices.Index(words, ">")
	if to < 0 {
		return p.verb(t, words...)
	}
	require.NoError(t, os.WriteFile(words[to+1], []byte(p.verb(t, words[:to]...)), 0o600))
	return ""
}
