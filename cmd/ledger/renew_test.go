package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// execute executes a statement.
func execute(tb testing.TB, pool *pgxpool.Pool, statement string) {
	tb.Helper()
	_, err := pool.Exec(tb.Context(), statement)
	require.NoError(tb, err)
}

func TestProcessesRenewTablesOfAnOlderBuildOnceAndBeforeTheyServe(t *testing.T) {
	t.Parallel()
	database, key := testdb.URL(t), encryptionKey()
	pool := openPool(t, database)
	older := serve(t, database, key)
	c, r := older.at(newKey(t, database)), newReceiver(t, ok)
	delivery := c.delivery(t, r.url)
	c.qualify(t, delivery, "comp_1")
	c.awaitCount(t, delivery, "delivered", 1)
	c.awaitCaughtUp(t)
	require.NoError(t, older.stop(t))
	execute(t, pool, `UPDATE cursors SET version = version - 1 WHERE name IN ('companies', 'stats')`)
	execute(t, pool, `UPDATE companies SET score = 1`)
	table := companiesTable(t, pool)

	held := lock(t, pool, `LOCK TABLE companies IN ACCESS SHARE MODE`) // as a long reader does
	var processes []*process
	var addresses []<-chan string
	for _, roles := range []string{"api", "follow,attempt"} {
		p, address := launch(t, nil, "serve", "--database-url", database, "--encryption-key", key, "--listen", "127.0.0.1:0",
			"--allow-private-destinations", "--log-format", "json", "--roles", roles)
		processes, addresses = append(processes, p), append(addresses, address)
	}
	awaitBlocked(t, pool, `LOCK TABLE%companies%`)
	for _, address := range addresses {
		require.Empty(t, address, "it serves tables of another version")
	}
	held()
	for i, p := range processes {
		p.base = <-addresses[i]
	}
	api := processes[0].at(c.key)
	feed := api.must(t, http.StatusOK, http.MethodGet, "/api/v1/deliveries/"+delivery+"/companies", "")
	require.EqualValues(t, 85, feed["items"].([]any)[0].(map[string]any)["qualification_score"])
	require.NotEqual(t, table, companiesTable(t, pool))
	const told = `"follower":"companies","done"`
	require.Equal(t, 1, strings.Count(processes[0].printed()+processes[1].printed(), told), "one of them did it")

	api.qualify(t, delivery, "comp_2")
	api.awaitCount(t, delivery, "delivered", 2)
	api.awaitCaughtUp(t)
}

func TestAProcessStandsByForANewerBuildAndTellsWhenThatIsGone(t *testing.T) {
	t.Parallel()
	database, key := testdb.URL(t), encryptionKey()
	pool := openPool(t, database)
	p := serve(t, database, key)
	c, r := p.at(newKey(t, database)), newReceiver(t, ok)
	delivery := c.delivery(t, r.url)
	c.awaitCaughtUp(t)

	execute(t, pool, `UPDATE cursors SET version = version + 1 WHERE name = 'companies'`)
	require.Eventually(t, func() bool {
		return strings.Contains(p.printed(), "its tables are of a newer version, kept by a newer build")
	},
		patience, pollEvery)
	require.True(t, c.caughtUp(t), "it is ready: somebody else keeps the read model")
	execute(t, pool, `ALTER TABLE events DISABLE TRIGGER append_only`)
	c.qualify(t, delivery, "comp_1")
	execute(t, pool, `UPDATE events SET recorded_at = recorded_at - interval '1 minute' WHERE type = 'company.qualified'`)
	require.Equal(t, http.StatusServiceUnavailable, c.status(t.Context(), "/readyz"))
	require.Empty(t, c.pull(t, delivery, "10"), "it has followed tables that are not its own")
	again := serve(t, database, key)
	require.Contains(t, again.printed(), `"listening"`, "an older build may be started beside a newer one")

	_, errs, err := ledger(t, "rebuild", "companies", "--database-url", database)
	require.NoError(t, err, errs)
	require.Len(t, c.pull(t, delivery, "10"), 1)
	c.awaitCaughtUp(t)
	c.qualify(t, delivery, "comp_2")
	require.Eventually(t, func() bool { return len(c.pull(t, delivery, "10")) == 2 }, patience, pollEvery)
}
