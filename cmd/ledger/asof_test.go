package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// standing returns what a table as_of in the schema reports says of the companies: none is -1.
func standing(t *testing.T, pool *pgxpool.Pool) (at int) {
	t.Helper()
	const there = `SELECT to_regclass('reports.as_of') IS NOT NULL`
	var made bool
	require.NoError(t, pool.QueryRow(t.Context(), there).Scan(&made))
	if !made {
		return -1
	}
	const query = `SELECT coalesce((SELECT position FROM reports.as_of WHERE name = 'companies'), -1)`
	require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&at))
	return at
}

// recorded returns how many companies a schema's table has.
func recorded(t *testing.T, pool *pgxpool.Pool, table string) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
	return n
}

func TestARebuildAsOfAMomentThatIsKilledHarmsNothingAndSaysWhatItStandsFor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		phase
		standsFor int // -1: nothing is there
		companies int
	}{
		{phase{name: "before its schema is there", pieces: []string{"CREATE SCHEMA", "CREATE TABLE"}}, -1, 0},
		{phase{name: "before its tables are there", pieces: []string{"ADD CONSTRAINT", "commit"}}, -1, 0},
		{phase{name: "before a page is applied", pieces: []string{"INSERT INTO companies"}}, 0, 0},
		{phase{name: "before a page's commit", pieces: []string{"INSERT INTO companies", "commit"}}, 0, 0},
		{phase{name: "when all is applied", pieces: []string{"VACUUM"}}, 4, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			database := testdb.URL(t)
			pool := openPool(t, database)
			server := serve(t, database, encryptionKey())
			c := server.at(newKey(t, database))
			delivery := c.must(t, 201, "POST", "/api/v1/deliveries", `{"name":"CRM Sync"}`)["id"].(string)
			c.must(t, 200, "POST", "/api/v1/deliveries/"+delivery+"/qualifications", qualification("comp_0"))
			c.must(t, 200, "POST", "/api/v1/deliveries/"+delivery+"/qualifications", qualification("comp_1"))
			c.must(t, 200, "PUT", "/api/v1/deliveries/"+delivery, `{"name":"Renamed"}`)
			c.must(t, 200, "POST", "/api/v1/deliveries/"+delivery+"/qualifications", qualification("comp_2"))
			c.awaitCaughtUp(t)
			before, table := rowsOf(t, pool, projections.Companies()), companiesTable(t, pool)

			args := []string{"rebuild", "companies", "--until", "4", "--into", "reports", "--database-url"}
			w := newWire(t, database)
			reached := test.reached(w)
			process, _ := launch(t, nil, append(args, w.url+"&application_name=doomed")...)
			select {
			case <-reached:
			case <-process.done:
				require.FailNow(t, "the rebuild ended", process.printed())
			}
			process.kill()
			awaitNobody(t, pool, "doomed")
			require.Equal(t, test.standsFor, standing(t, pool))
			if test.standsFor >= 0 {
				require.Equal(t, test.companies, recorded(t, pool, "reports.companies"))
			}

			out, errs, err := ledger(t, append(args, database)...)
			require.NoError(t, err, errs)
			require.Equal(t, "Rebuilt companies into reports, as of position 4.\n", out)
			require.Equal(t, 4, standing(t, pool))
			require.Equal(t, 2, recorded(t, pool, "reports.companies"))
			require.Equal(t, before, rowsOf(t, pool, projections.Companies()))
			require.Equal(t, table, companiesTable(t, pool))
			c.must(t, 200, "POST", "/api/v1/deliveries/"+delivery+"/qualifications", qualification("comp_3"))
			c.awaitCaughtUp(t)
			require.Len(t, c.pull(t, delivery, "2"), 4)
			require.NoError(t, server.stop(t), server.printed())
			requireSound(t, pool)
		})
	}
}

func TestRebuildVerbFindsThePositionAtATime(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	pool := openPool(t, database)
	c := serve(t, database, encryptionKey()).at(newKey(t, database))
	delivery := c.must(t, 201, "POST", "/api/v1/deliveries", `{"name":"CRM Sync"}`)["id"].(string)
	for n := range 3 {
		c.must(t, 200, "POST", "/api/v1/deliveries/"+delivery+"/qualifications", qualification(fmt.Sprint("comp_", n)))
	}
	records, err := eventstore.ReadPage(t.Context(), pool, 1, 4)
	require.NoError(t, err)
	require.Len(t, records, 4)
	between := records[2].RecordedAt.Add(records[3].RecordedAt.Sub(records[2].RecordedAt) / 2)

	out, errs, err := verb(t, "", "rebuild", "--all", "--until", between.Format(time.RFC3339Nano), "--into", "reports", "--database-url", database)
	require.NoError(t, err, errs)
	for _, p := range projections.All() {
		require.Contains(t, out, "Rebuilt "+p.Name+" into reports, as of position 3.\n")
	}
	require.Equal(t, 2, recorded(t, pool, "reports.companies"))
	const told = `SELECT bool_and(position = 3 AND recorded_at = $1) FROM reports.as_of`
	var same bool
	require.NoError(t, pool.QueryRow(t.Context(), told, records[2].RecordedAt).Scan(&same))
	require.True(t, same)

	for want, args := range map[string][]string{
		"find --until in the log: position 5, and the log ends at 4: it is yet to come":                    {"--until", "5", "--into", "reports"},
		"find --until in the log: time 2999-01-01T00:00:00Z: it is yet to come":                            {"--until", "2999-01-01T00:00:00Z", "--into", "reports"},
		"build companies into public: the ledger's own tables are in public: it takes a schema of its own": {"--until", "3", "--into", "public"},
		"build companies into shadow: the ledger's own tables are in shadow: it takes a schema of its own": {"--until", "3", "--into", "shadow"},
	} {
		_, _, err := verb(t, "", append([]string{"rebuild", "companies", "--database-url", database}, args...)...)
		require.EqualError(t, err, want)
	}
}
