package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations"
	"github.com/openprospect/delivery-ledger/migrations/localpg"
)

// A backup is made of a cluster whose ledger serves, and returns what restores it into another cluster.
type backup func(t *testing.T, from *localpg.Server) (restore func(t *testing.T, to *localpg.Server))

// newCluster starts a cluster of its own, with an empty database named ledger.
func newCluster(t *testing.T) (*localpg.Server, string) {
	t.Helper()
	cluster, err := localpg.Start(t.Context(), localpg.Options{Ephemeral: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Stop(context.WithoutCancel(t.Context()))) })
	url, err := cluster.CreateDatabase(t.Context(), "ledger")
	require.NoError(t, err)
	return cluster, url
}

// told returns the answer to a query for a text in a cluster's database.
func told(t *testing.T, url, query string) (text string) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&text))
	return text
}

// program runs a program to its end.
func program(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	require.NoError(t, err, string(out))
}

// dumped is a backup by pg_dump, of the bin folder.
func dumped(bin string) backup {
	return func(t *testing.T, from *localpg.Server) func(*testing.T, *localpg.Server) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "ledger.dump")
		program(t, filepath.Join(bin, "pg_dump"), "--format=custom", "--file="+file, from.URL("ledger"))
		return func(t *testing.T, to *localpg.Server) {
			t.Helper()
			program(t, filepath.Join(bin, "pg_restore"), "--exit-on-error", "--dbname="+to.URL("ledger"), file)
		}
	}
}

// copied is a backup of the files, as they were at one instant: that at which the cluster is killed.
func copied(t *testing.T, from *localpg.Server) func(*testing.T, *localpg.Server) {
	t.Helper()
	const folder = `SHOW data_directory`
	source := told(t, from.URL("postgres"), folder)
	target := filepath.Join(filepath.Dir(source), "copy")
	require.NoError(t, from.Kill(t.Context()))
	program(t, "cp", "-a", source, target)
	require.NoError(t, os.Remove(filepath.Join(target, "postmaster.pid")))
	require.NoError(t, from.Restart(t.Context()))
	return func(t *testing.T, to *localpg.Server) {
		t.Helper()
		place := told(t, to.URL("postgres"), folder)
		require.NoError(t, to.Kill(t.Context()))
		require.NoError(t, os.RemoveAll(place))
		program(t, "cp", "-a", target, place)
		require.NoError(t, to.Restart(t.Context()))
	}
}

// backups returns all kinds that the machine's Postgres has programs for.
func backups(t *testing.T) map[string]backup {
	t.Helper()
	kinds := map[string]backup{"the files": copied}
	cluster, _ := newCluster(t)
	bin := told(t, cluster.URL("postgres"), `SELECT setting FROM pg_config WHERE name = 'BINDIR'`)
	if _, err := os.Stat(filepath.Join(bin, "pg_dump")); err == nil { // those that are fetched have none
		kinds["pg_dump"] = dumped(bin)
	}
	return kinds
}

func TestALedgerThatWasRestoredGoesOnFromItsBackup(t *testing.T) {
	t.Parallel()
	for name, backup := range backups(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, source := newCluster(t)
			require.NoError(t, migrations.Up(t.Context(), source))
			key, gate := encryptionKey(), make(chan struct{})
			apiKey := newKey(t, source)
			j := newJournal(t, func(w http.ResponseWriter, r *http.Request, c call, tell func(int)) {
				if c.company == "comp_under_way" && c.attempt == 1 {
					select { // the first ledger never gets an answer
					case <-gate:
					case <-r.Context().Done():
						return
					}
				}
				taken(w, r, c, tell)
			})
			first := serve(t, source, key)
			c := first.at(apiKey)
			delivery, paused := c.delivery(t, j.url), c.delivery(t, j.url)
			destination := c.must(t, http.StatusOK, http.MethodGet, "/api/v1/deliveries/"+delivery+"/destinations", "")["items"].([]any)[0].(map[string]any)["id"].(string)
			c.must(t, http.StatusOK, http.MethodPut, "/api/v1/deliveries/"+delivery+"/destinations/"+destination, `{"timeout_seconds":60}`)
			c.must(t, http.StatusOK, http.MethodPut, "/api/v1/deliveries/"+paused, `{"status":"paused"}`)
			acked := []string{"comp_under_way"}
			for n := range 5 {
				acked = append(acked, fmt.Sprint("comp_", n))
				c.qualify(t, delivery, acked[n+1])
			}
			c.qualify(t, paused, "comp_held")
			c.awaitCount(t, delivery, "delivered", 5)
			c.awaitCount(t, paused, "held", 1)
			c.qualify(t, delivery, "comp_under_way")
			j.await(t, 6)
			c.awaitCaughtUp(t)

			restore := backup(t, from)
			require.Eventually(t, func() bool { return c.caughtUp(t) }, patience, pollEvery)
			c.qualify(t, delivery, "comp_lost") // which the backup has not
			c.awaitCount(t, delivery, "delivered", 6)
			kept := filepath.Join(t.TempDir(), "kept.txt")
			note, errs, err := ledger(t, "checkpoint", "--encryption-key", key, "--database-url", source)
			require.NoError(t, err, errs)
			require.NoError(t, os.WriteFile(kept, []byte(note), 0o600))
			public, errs, err := ledger(t, "checkpoint", "--show-key", "--encryption-key", key, "--database-url", source)
			require.NoError(t, err, errs)
			first.kill()
			close(gate)

			to, target := newCluster(t)
			restore(t, to)
			pool := openPool(t, target)
			const head = `SELECT position::text FROM log_head`
			position := told(t, target, head)
			second := serve(t, target, key)
			c = second.at(apiKey)
			c.awaitCount(t, delivery, "delivered", 6) // what was under way too
			c.qualify(t, delivery, "comp_after")
			acked = append(acked, "comp_after")
			c.must(t, http.StatusOK, http.MethodPut, "/api/v1/deliveries/"+paused, `{"status":"active"}`)
			settle(t, c, target, delivery, j, acked)
			settle(t, c, target, paused, j, []string{"comp_held"})
			require.Equal(t, told(t, target, `SELECT count(*)::text FROM events`), told(t, target, head))
			const next = `SELECT string_agg(type, ' ' ORDER BY position) FROM events WHERE position > `
			require.Contains(t, told(t, target, next+position), "attempt.succeeded")
			require.NoError(t, second.stop(t), second.printed())
			for _, company := range append(acked[1:], "comp_held", "comp_lost") {
				require.Len(t, j.of(company), 1, "%s was sent again", company)
			}
			again := j.of("comp_under_way")
			require.Len(t, again, 2)
			require.Equal(t, again[0].dispatch, again[1].dispatch)
			require.Equal(t, again[0].body, again[1].body)
			requireSound(t, pool)
			_, errs, err = ledger(t, "verify", "--checkpoint", kept, "--key", public[:len(public)-1], "--database-url", target)
			require.Error(t, err)
			require.Contains(t, errs, "were signed for")
		})
	}
}
