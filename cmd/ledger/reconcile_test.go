package main

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestReconcileTellsWhatIsShownOtherwiseThanTheLogSays(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	c := serve(t, database, encryptionKey()).at(newKey(t, database))
	r := newReceiver(t, ok)
	delivery := c.delivery(t, r.url)
	c.qualify(t, delivery, "comp_1")
	c.qualify(t, delivery, "comp_2")
	c.awaitCount(t, delivery, "delivered", 2)
	c.awaitCaughtUp(t)

	out, _, err := verb(t, "", "reconcile", delivery, "--database-url", database)
	require.NoError(t, err)
	lines := strings.Split(out, "\n")
	require.Equal(t, []string{delivery, "pull", "feed", "2"}, strings.Fields(lines[1]))
	require.Equal(t, []string{"2", "2", "0", "0", "0", "0", "0"}, strings.Fields(lines[2])[2:])
	require.Equal(t, "What the log says is what is shown.", lines[3])

	execute(t, openPool(t, database), `DELETE FROM companies WHERE company_id = 'comp_2'`)
	_, errs, err := ledger(t, "reconcile", "--database-url", database)
	require.Equal(t, 1, exitCode(t, err))
	require.Regexp(t, delivery+", pull feed: the log says handed over, shown is nothing, of 1 hand-overs: del_", errs)
}

// An outcome is what the log says of an attempt.
type outcome struct {
	Dispatch   string
	Attempt    int
	Type       string
	Status     int // 0: there was no answer
	RecordedAt time.Time
}

// key names the attempt that the outcome is of.
func (o outcome) key() callKey { return callKey{o.Dispatch, o.Attempt} }

// outcomes returns what the log says of all attempts, in its order.
func outcomes(tb testing.TB, pool *pgxpool.Pool) []outcome {
	tb.Helper()
	const query = `
		SELECT substr(stream, length('dispatch/') + 1) AS dispatch, (data->>'attempt')::int AS attempt, type,
			coalesce((data->>'status')::int, 0) AS status, recorded_at
		FROM events
		WHERE type IN ('attempt.succeeded', 'attempt.failed')
		ORDER BY position`
	rows, _ := pool.Query(tb.Context(), query) // CollectRows reports the error
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[outcome])
	require.NoError(tb, err)
	return all
}

// reconcile holds the log against what the receiver got, when everything was delivered: each attempt
// that either knows of is known to the other, an answer is recorded as it was given, a dispatch's
// attempts are numbered without a gap, end with a success and all carry the same bytes.
func reconcile(tb testing.TB, pool *pgxpool.Pool, j *journal) {
	tb.Helper()
	answers, bodies := map[callKey]map[int]bool{}, map[string]string{}
	for _, c := range j.all() {
		if answers[c.key()] == nil {
			answers[c.key()] = map[int]bool{}
		}
		answers[c.key()][c.status] = true
		if first, ok := bodies[c.dispatch]; ok {
			require.Equal(tb, first, c.body, "the attempts of %s differ", c.dispatch)
		}
		bodies[c.dispatch] = c.body
	}
	last := map[string]outcome{}
	for _, o := range outcomes(tb, pool) {
		before := last[o.Dispatch]
		require.Equal(tb, before.Attempt+1, o.Attempt, "attempts of %s in the log", o.Dispatch)
		require.NotEqual(tb, "attempt.succeeded", before.Type, "%s was attempted after it was delivered", o.Dispatch)
		last[o.Dispatch] = o
		if o.Status != 0 {
			require.Contains(tb, answers[o.key()], o.Status, "the receiver did not answer so: %v", o)
		}
		delete(answers, o.key())
	}
	require.Empty(tb, answers, "the receiver got attempts that the log does not have")
	for dispatch, o := range last {
		require.Equal(tb, "attempt.succeeded", o.Type, dispatch)
	}
}

// requireSound checks the log by ledger verify, what it says against what is shown by ledger reconcile, and
// that each read model, built again, is what it was. Nobody may be at work on the database.
func requireSound(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	out, errs, err := ledger(tb, "verify", "--database-url", pool.Config().ConnString())
	require.NoError(tb, err, out+errs)
	out, errs, err = ledger(tb, "reconcile", "--database-url", pool.Config().ConnString())
	require.NoError(tb, err, out+errs)
	var flags encryptionFlags
	flags.EncryptionKey, _ = kept(pool.Config().ConnString())
	reader, err := flags.reader(pool)
	require.NoError(tb, err)
	for _, p := range projections.All() {
		live := rowsOf(tb, pool, p)
		require.NoError(tb, projections.Rebuild(tb.Context(), pool, reader, p))
		require.True(tb, live == rowsOf(tb, pool, p), "%s comes out otherwise when it is rebuilt", p.Name) //nolint:testifylint // the rows are many
	}
}

// awaitCaughtUp waits until every read model shows the whole log.
func (c client) awaitCaughtUp(tb testing.TB) {
	tb.Helper()
	require.Eventually(tb, func() bool { return c.caughtUp(tb) }, patience, pollEvery, "the read models are behind")
}

// rowsOf returns every row of a projection's tables, as text.
func rowsOf(tb testing.TB, pool *pgxpool.Pool, p projections.Projection) string {
	tb.Helper()
	var text strings.Builder
	for _, table := range p.Tables {
		name := pgx.Identifier{table}.Sanitize()
		rows, _ := pool.Query(tb.Context(), `SELECT t::text FROM `+name+` t ORDER BY t::text COLLATE "C"`) // CollectRows reports the error
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(tb, err)
		text.WriteString(table + "\n" + strings.Join(lines, "\n") + "\n")
	}
	return text.String()
}

// openPool returns a pool on a database, which is closed with the test.
func openPool(tb testing.TB, database string) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgxpool.New(tb.Context(), database)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	return pool
}
