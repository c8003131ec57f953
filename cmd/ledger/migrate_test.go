package main

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// emptyDatabase returns the URL of a database that is not migrated.
func emptyDatabase(tb testing.TB) string {
	tb.Helper()
	database := testdb.URL(tb)
	conn, err := pgx.Connect(tb.Context(), database)
	require.NoError(tb, err)
	defer conn.Close(tb.Context())
	_, err = conn.Exec(tb.Context(), `DROP SCHEMA public CASCADE; CREATE SCHEMA public`)
	require.NoError(tb, err)
	return database
}

func TestServeRefusesADatabaseUntilItIsMigrated(t *testing.T) {
	t.Parallel()
	database, key := emptyDatabase(t), encryptionKey()
	_, errs, err := ledger(t, "serve", "--database-url", database, "--encryption-key", key, "--listen", "127.0.0.1:0")
	require.Equal(t, 1, exitCode(t, err))
	require.Equal(t, "ledger: the database's schema is not of this build: run ledger migrate\n", errs)

	for range 2 {
		out, _, err := verb(t, "", "migrate", "--database-url", database)
		require.NoError(t, err)
		require.Equal(t, "The schema is up to date.\n", out)
	}
	require.NoError(t, serve(t, database, key).stop(t))
}

func TestDatabaseThatDoesNotAnswerIsNamedByItsFlag(t *testing.T) {
	t.Parallel()
	const nobody = "postgres://ledger:hunter2@127.0.0.1:1/ledger"
	for _, args := range [][]string{
		{"serve", "--encryption-key", encryptionKey()},
		{"migrate"},
		{"verify"},
		{"keys", "create", "--organisation", "Acme"},
	} {
		_, _, err := verb(t, "", append(args, "--database-url", nobody)...)
		require.ErrorContains(t, err, "--database-url", args)
		require.ErrorContains(t, err, "connection refused", args)
		require.NotContains(t, err.Error(), "hunter2", "the password is nobody's business")
	}
}
