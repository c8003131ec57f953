package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain/domaintest"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// A release is what a build before kept in its database, and answered from it.
type release struct {
	folder        string
	EncryptionKey string            `json:"encryption_key"`
	Keys          map[string]string `json:"keys"`
	PublicKey     string            `json:"public_key"`
	Checkpoint    string            `json:"checkpoint"`
	Types         map[string]int    `json:"types"`
	Printed       map[string]string `json:"printed"`
	Answers       []struct {
		Key    string `json:"key"`
		Path   string `json:"path"`
		Status int    `json:"status"`
		Body   any    `json:"body"`
	} `json:"answers"`
}

// releases returns all that were recorded, by the last migration that they had.
func releases(t *testing.T) map[int64]release {
	t.Helper()
	folders, err := filepath.Glob("testdata/releases/0*")
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	all := map[int64]release{}
	for _, folder := range folders {
		r := release{folder: folder}
		decodeExactly(t, r.open(t, "answers.json.gz"), &r)
		version, err := strconv.ParseInt(filepath.Base(folder), 10, 64)
		require.NoError(t, err)
		all[version] = r
	}
	return all
}

// decodeExactly reads JSON, with numbers as they are written.
func decodeExactly(t *testing.T, from io.Reader, v any) {
	t.Helper()
	dec := json.NewDecoder(from)
	dec.UseNumber()
	require.NoError(t, dec.Decode(v))
}

// open returns what is in a file.
func (r release) open(t *testing.T, name string) io.Reader {
	t.Helper()
	f, err := os.Open(filepath.Join(r.folder, name))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	unzipped, err := gzip.NewReader(f)
	require.NoError(t, err)
	return unzipped
}

// restore puts the rows of the release's tables, or of those that are named, into a database.
func (r release) restore(t *testing.T, url string, tables ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `SET session_replication_role = replica`)
	require.NoError(t, err)
	lines := bufio.NewReader(r.open(t, "database.gz"))
	for {
		statement, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		var rows strings.Builder
		for line := ""; line != "\\.\n"; line, err = lines.ReadString('\n') {
			require.NoError(t, err)
			rows.WriteString(line)
		}
		table := strings.Fields(statement)[1]
		if len(tables) > 0 && !slices.Contains(tables, table) {
			continue
		}
		_, err = conn.Exec(t.Context(), `DELETE FROM `+table) // what migrations put there
		require.NoError(t, err)
		_, err = conn.PgConn().CopyFrom(t.Context(), strings.NewReader(rows.String()), statement)
		require.NoError(t, err)
	}
}

// requireSame fails the test unless the build that serves on the database answers what the release did. It may say more.
func (r release) requireSame(t *testing.T, url string) {
	t.Helper()
	server := serve(t, url, r.EncryptionKey, "--roles", "api,follow", "--checkpoint-interval", "0")
	c := server.at("")
	require.Eventually(t, func() bool { return c.caughtUp(t) }, patience, pollEvery, "the read models are built")
	for _, a := range r.Answers {
		status, _, body, err := server.at(r.Keys[a.Key]).do(t.Context(), http.MethodGet, a.Path, "", "")
		require.NoError(t, err)
		require.Equal(t, a.Status, status, "%s %s: %s", a.Key, a.Path, body)
		var now any
		decodeExactly(t, bytes.NewReader(body), &now)
		if status < http.StatusBadRequest {
			require.Empty(t, lacking("", a.Body, now), "%s %s: %s", a.Key, a.Path, body)
		}
	}
	require.NoError(t, server.stop(t), server.printed())
	kept := filepath.Join(t.TempDir(), "kept.txt")
	require.NoError(t, os.WriteFile(kept, []byte(r.Checkpoint), 0o600))
	for verbs, printed := range r.Printed {
		out, _, err := verb(t, "", append(strings.Fields(verbs), "--database-url", url)...)
		require.NoError(t, err)
		require.Equal(t, printed, out)
	}
	out, _, err := verb(t, "", "verify", "--projections", "--checkpoint", kept, "--key", r.PublicKey, "--database-url", url)
	require.NoError(t, err)
	require.Contains(t, out, "The log is sound: ")
	for _, p := range projections.All() {
		require.Contains(t, out, "Read model "+p.Name+" is what the log makes it: ")
	}
}

// lacking returns the paths of what was said and is not now.
func lacking(path string, was, now any) (paths []string) {
	switch was := was.(type) {
	case map[string]any:
		fields, _ := now.(map[string]any)
		for name, value := range was {
			paths = append(paths, lacking(path+"."+name, value, fields[name])...)
		}
	case []any:
		items, _ := now.([]any)
		if len(items) != len(was) {
			return []string{path}
		}
		for i, value := range was {
			paths = append(paths, lacking(path+"["+strconv.Itoa(i)+"]", value, items[i])...)
		}
	default:
		if !reflect.DeepEqual(was, now) {
			return []string{path}
		}
	}
	return paths
}

func TestTheLogOfAReleaseIsSoundAndMakesTheReadModelsThatItHad(t *testing.T) {
	t.Parallel()
	for _, r := range releases(t) {
		database := testdb.URL(t)
		r.restore(t, database, "events", "log_head", "organisations", "api_keys", "secrets", "checkpoints")
		pool := openPool(t, database)
		records, err := eventstore.ReadPage(t.Context(), pool, 1, 1<<60)
		require.NoError(t, err)
		found := map[string]int{}
		for _, rec := range records {
			found[rec.Type]++
			require.NoError(t, domaintest.Fits(rec.Type, int(rec.SchemaVersion), rec.Data), "position %d", rec.Position)
		}
		require.Equal(t, r.Types, found)
		types, err := os.ReadFile(filepath.Join(r.folder, "types.txt"))
		require.NoError(t, err)
		require.Equal(t, strings.Fields(string(types)), slices.Sorted(maps.Keys(found)), "it has every type that there was")
		r.requireSame(t, database)
	}
}

func TestTheDatabaseOfAReleaseIsServedOnFrom(t *testing.T) {
	t.Parallel()
	for version, r := range releases(t) {
		_, database := newCluster(t)
		config, err := pgx.ParseConfig(database)
		require.NoError(t, err)
		db := stdlib.OpenDB(*config)
		t.Cleanup(func() { db.Close() })
		schema, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS)
		require.NoError(t, err)
		_, err = schema.UpTo(t.Context(), version)
		require.NoError(t, err)
		r.restore(t, database)
		require.NoError(t, migrations.Up(t.Context(), database))
		r.requireSame(t, database)
	}
}
