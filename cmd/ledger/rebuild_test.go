package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// A phase of a rebuild is where its process is killed: while a piece that contains these texts, each on the connection on
// which all before it passed, is on its way.
type phase struct {
	name    string
	pieces  []string
	answer  bool // the last piece is Postgres's answer
	swapped bool // the new tables are there
}

var phases = []phase{
	{"before a page is applied", []string{"UPDATE rebuilds", "INSERT INTO companies"}, false, false},
	{"when the tables are built", []string{"VACUUM"}, false, false},
	{"when it has caught up", []string{"VACUUM", "INSERT INTO cursors"}, false, false},
	{"before it holds the tables", []string{"INSERT INTO cursors", "LOCK TABLE"}, false, false},
	{"before the swap's commit", []string{"SET SCHEMA", "commit"}, false, false},
	{"after the swap's commit, which it does not know of", []string{"SET SCHEMA", "COMMIT\x00"}, true, true},
}

// reached returns a channel that is closed when a process on the wire gets to the phase, where it stays.
func (p phase) reached(w *wire) <-chan struct{} {
	passed, held := map[int]int{}, make(chan struct{})
	w.hold(func(conn int, toServer bool, piece []byte) bool {
		for toServer && passed[conn] < len(p.pieces)-1 && bytes.Contains(piece, []byte(p.pieces[passed[conn]])) {
			passed[conn]++
		}
		if passed[conn] < len(p.pieces)-1 || toServer == p.answer || !bytes.Contains(piece, []byte(p.pieces[len(p.pieces)-1])) {
			return false
		}
		passed[conn] = 0
		close(held)
		return true
	})
	return held
}

// companiesTable returns which table the read model is.
func companiesTable(t *testing.T, pool *pgxpool.Pool) (oid uint32) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT 'public.companies'::regclass::oid`).Scan(&oid))
	return oid
}

func TestARebuildKilledInAnyPhaseLeavesWhatIsReadAndIsMadeGood(t *testing.T) {
	t.Parallel()
	for _, phase := range phases {
		t.Run(phase.name, func(t *testing.T) {
			t.Parallel()
			database := testdb.URL(t)
			pool := openPool(t, database)
			server := serve(t, database, encryptionKey())
			c, r := server.at(newKey(t, database)), newReceiver(t, ok)
			delivery := c.delivery(t, r.url)
			for n := range 5 {
				c.qualify(t, delivery, fmt.Sprint("comp_", n))
			}
			c.awaitCount(t, delivery, "delivered", 5)
			c.awaitCaughtUp(t)
			before, table := rowsOf(t, pool, projections.Companies()), companiesTable(t, pool)

			w := newWire(t, database)
			reached := phase.reached(w)
			process, _ := launch(t, nil, "rebuild", "companies", "--database-url", w.url+"&application_name=doomed")
			select {
			case <-reached:
			case <-process.done:
				require.FailNow(t, "the rebuild ended", process.printed())
			}
			process.kill()
			awaitNobody(t, pool, "doomed")
			require.Equal(t, before, rowsOf(t, pool, projections.Companies()))
			require.Equal(t, phase.swapped, table != companiesTable(t, pool))

			c.qualify(t, delivery, "comp_after")
			c.awaitCount(t, delivery, "delivered", 6)
			c.awaitCaughtUp(t)
			require.Len(t, c.pull(t, delivery, "2"), 6)
			out, errs, err := ledger(t, "rebuild", "companies", "--database-url", database)
			require.NoError(t, err, errs)
			require.Equal(t, "Rebuilt companies.\n", out)
			require.Len(t, c.pull(t, delivery, "2"), 6)
			var left int
			const leftovers = `
				SELECT (SELECT count(*) FROM rebuilds) + (SELECT count(*) FROM pg_class WHERE relnamespace = 'shadow'::regnamespace)`
			require.NoError(t, pool.QueryRow(t.Context(), leftovers).Scan(&left))
			require.Zero(t, left)
			c.awaitCaughtUp(t)
			require.NoError(t, server.stop(t), server.printed())
			requireSound(t, pool)
		})
	}
}

func TestRebuildVerbBuildsWhatItIsToldTo(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	c := serve(t, database, encryptionKey()).at(newKey(t, database))
	r := newReceiver(t, ok)
	delivery := c.delivery(t, r.url)
	c.qualify(t, delivery, "comp_1")
	c.awaitCount(t, delivery, "delivered", 1)

	out, errs, err := verb(t, "", "rebuild", "stats", "companies", "--database-url", database)
	require.NoError(t, err)
	require.Equal(t, "Rebuilt stats.\nRebuilt companies.\n", out)
	require.Regexp(t, `^stats: (\d+) of \d+ events\ncompanies: \d+ of \d+ events\n$`, errs)

	out, _, err = verb(t, "", "rebuild", "--all", "--database-url", database)
	require.NoError(t, err)
	for _, p := range projections.All() {
		require.Contains(t, out, "Rebuilt "+p.Name+".\n")
	}
	require.Contains(t, out, "Rebuilt tree.\n")
	require.Equal(t, 1, c.counts(t, delivery)["delivered"])

	for range 256 {
		c.qualify(t, delivery, fmt.Sprint("comp_more_", rand.Text()))
	}
	c.awaitCaughtUp(t)
	execute(t, openPool(t, database), `UPDATE tree_hashes SET hash = sha256('x')`)
	_, _, err = verb(t, "", "verify", "--database-url", database)
	require.ErrorContains(t, err, "they, or the tree, were changed later")
	out, errs, err = verb(t, "", "rebuild", "tree", "--database-url", database)
	require.NoError(t, err)
	require.Equal(t, "Rebuilt tree.\n", out)
	require.Regexp(t, `^tree: (\d+) of \d+ events\n$`, errs)
	_, _, err = verb(t, "", "verify", "--database-url", database)
	require.NoError(t, err)
}
