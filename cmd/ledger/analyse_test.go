package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// analyses returns the README's statements for DuckDB, and those for psql.
func analyses(tb testing.TB) (duckdb, psql string) {
	tb.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(tb, err)
	_, section, _ := strings.Cut(string(readme), "\n## Analyse it\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := strings.Split(section, "```sql\n")
	require.Len(tb, blocks, 3)
	duckdb, _, _ = strings.Cut(blocks[1], "```")
	psql, _, _ = strings.Cut(blocks[2], "```")
	return duckdb, psql
}

// newAnalysed returns the database of a ledger that handed two companies over, of which the first attempt of one failed,
// and a folder with what the README's commands export of it.
func newAnalysed(tb testing.TB) (database, dir string) {
	tb.Helper()
	database, dir = testdb.URL(tb), tb.TempDir()
	c := serve(tb, database, encryptionKey(), "--retry-schedule", "1s").at(newKey(tb, database))
	r := newReceiver(tb, func(n int) int {
		if n == 1 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	delivery := c.delivery(tb, r.url)
	c.qualify(tb, delivery, "comp_1")
	c.qualify(tb, delivery, "comp_2")
	c.awaitCount(tb, delivery, "delivered", 2)
	c.awaitCaughtUp(tb)
	readme, err := os.ReadFile("../../README.md")
	require.NoError(tb, err)
	_, section, _ := strings.Cut(string(readme), "\n## Analyse it\n")
	_, section, _ = strings.Cut(section, "```\n")
	section, _, _ = strings.Cut(section, "```")
	for line := range strings.Lines(section) {
		words := strings.Fields(strings.Replace(line, "postgres://…", database, 1))
		for i, word := range words {
			if word == "--out" {
				words[i+1] = filepath.Join(dir, words[i+1])
			}
		}
		_, _, err := verb(tb, "", words[1:]...)
		require.NoError(tb, err, line)
	}
	return database, dir
}

func TestWhatTheREADMESaysAnalyses(t *testing.T) {
	t.Parallel()
	database, dir := newAnalysed(t)
	require.EqualValues(t, 2, parquetRows(t, filepath.Join(dir, "companies.parquet")))
	require.EqualValues(t, 2, parquetRows(t, filepath.Join(dir, "dispatches.parquet")))
	require.EqualValues(t, 2, parquetRows(t, filepath.Join(dir, "daily.parquet")), "of the delivery, and its destination")
	require.EqualValues(t, 2, parquetRows(t, filepath.Join(dir, "reasons.parquet")), "it matched by one, and failed by another")
	lines, err := os.ReadFile(filepath.Join(dir, "log.ndjson"))
	require.NoError(t, err)
	require.EqualValues(t, strings.Count(string(lines), "\n"), parquetRows(t, filepath.Join(dir, "log.parquet")))

	_, psql := analyses(t)
	pool := openPool(t, database)
	want := []map[string]any{{"companies": int64(2)}, {"delivered": int64(2)}, {"delivered": int64(2)}, {"companies": int64(2)}, {"attempts": int64(1)}}
	statements := strings.Split(strings.TrimSuffix(strings.TrimSpace(psql), ";"), ";\n")
	require.Len(t, statements, len(want))
	for i, statement := range statements {
		rows, err := pool.Query(t.Context(), statement)
		require.NoError(t, err)
		found, err := pgx.CollectRows(rows, pgx.RowToMap)
		require.NoError(t, err)
		require.Len(t, found, 1, statement)
		for column, value := range want[i] {
			require.Equal(t, value, found[0][column], statement)
		}
	}
}
