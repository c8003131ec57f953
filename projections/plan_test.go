package projections_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// A statement is SQL as it was sent.
type statement struct {
	sql  string
	args []any
}

// A recorder keeps the statements that a pool sends.
type recorder struct {
	mu         sync.Mutex
	statements []statement
}

// add keeps a statement.
func (r *recorder) add(sql string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statements = append(r.statements, statement{sql, args})
}

// take returns what was kept, and begins anew.
func (r *recorder) take() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.statements
	r.statements = nil
	return taken
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.add(data.SQL, data.Args)
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (r *recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (r *recorder) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	r.add(data.SQL, data.Args)
}

func (r *recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// explain returns the plans of the statements that name a table.
func explain(t *testing.T, pool *pgxpool.Pool, statements []statement, table string) []string {
	t.Helper()
	var plans []string
	for _, s := range statements {
		if !strings.Contains(s.sql, table) {
			continue
		}
		rows, err := pool.Query(t.Context(), `EXPLAIN (COSTS OFF) `+s.sql, s.args...)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err, s.sql)
		plans = append(plans, strings.Join(lines, "\n"))
	}
	require.NotEmpty(t, plans)
	return plans
}

// seed fills the read models as n companies of one delivery with a webhook would, without
// telling the planner.
func seed(t *testing.T, b *bundle, n int) domain.Delivery {
	t.Helper()
	dst := webhook()
	d := b.delivery(t, "search", dst)
	b.follow(t)
	_, err := b.pool.Exec(t.Context(), `
		ALTER TABLE companies SET (autovacuum_enabled = false);
		ALTER TABLE dispatches SET (autovacuum_enabled = false)`)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `
		INSERT INTO companies (delivery_id, delivery_number, prospect_search_id, search_number, position, delivered_at, score,
			handover_id, company_id, company, prospects, match_reasons)
		SELECT $1, n, $2, n, n + 10, now() - interval '1 day' + n * interval '1 ms', 50, 'del_' || n, 'comp_' || n, '{}', '[]', '[]'
		FROM generate_series(1, $3::int) AS n`, d.ID, string(org)+"/search", n)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `
		INSERT INTO dispatches (id, sequence, position, due, destination_id, delivery_id, handover_id)
		SELECT 'dsp_' || n, n, n + 10, now() - interval '1 day' + n * interval '1 ms', $1, $2, 'del_' || n
		FROM generate_series(1, $3::int) AS n`, dst.ID, d.ID, n)
	require.NoError(t, err)
	return d
}

func TestNoReadAndNoWriteCostsMoreAsTheLedgerGrows(t *testing.T) {
	t.Parallel()
	const n = 200_000
	b := newBundle(testdb.New(t))
	d := seed(t, b, n)
	record := &recorder{}
	config := b.pool.Config()
	config.ConnConfig.Tracer = record
	traced, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	views := projections.NewViews(traced)

	reads := func(t *testing.T) {
		t.Helper()
		for _, feed := range []projections.Feed{{Delivery: d.ID}, {Search: "search", Organisation: org}} {
			for _, page := range []projections.FeedPage{{Limit: 50}, {Limit: 50, Offset: n / 2}, {Limit: 50, After: n - 10}} {
				list, err := views.Companies(t.Context(), feed, page)
				require.NoError(t, err)
				require.NotEmpty(t, list.Items)
			}
			_, err := views.NumberAt(t.Context(), feed, time.Now())
			require.NoError(t, err)
		}
		_, err := views.Feed(t.Context(), org, "search")
		require.NoError(t, err)
		_, err = views.Dispatch(t.Context(), "dsp_77")
		require.NoError(t, err)
		_, err = views.Counts(t.Context(), d.ID)
		require.NoError(t, err)
		statements := record.take()
		for _, plan := range append(explain(t, b.pool, statements, "companies"), explain(t, b.pool, statements, "dispatches d")...) {
			require.NotContains(t, plan, "Seq Scan on companies", plan)
			require.NotContains(t, plan, "Seq Scan on dispatches", plan)
			require.NotContains(t, plan, "Sort", plan)
		}
	}
	writes := func(t *testing.T) {
		t.Helper()
		tx, err := traced.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
		var page []projections.Entry
		for i := range 100 {
			page = append(page, projections.Entry{
				Record: eventstore.Record{Position: eventstore.Position(n + 100 + i), RecordedAt: time.Now()},
				Event: domain.CompanyQualified{
					HandOver: domain.HandOverID(fmt.Sprint("del_new_", i)), Organisation: org, Delivery: d.ID, Search: "search",
					CompanyID: domain.CompanyID(fmt.Sprint("comp_new_", i)), Company: []byte(`{}`), Prospects: []byte(`[]`),
				},
			}, projections.Entry{
				Record: eventstore.Record{Position: eventstore.Position(n + 1100 + i), Version: 1, RecordedAt: time.Now()},
				Event:  domain.AttemptSucceeded{Attempt: domain.Attempt{Dispatch: domain.DispatchID(fmt.Sprint("dsp_", i+1)), Number: 1}},
			})
		}
		record.take()
		for _, p := range []projections.Projection{projections.Companies(), projections.Dispatches()} {
			entries := page
			if p.Name == "companies" {
				entries = nil
				for i := 0; i < len(page); i += 2 {
					entries = append(entries, page[i])
				}
			}
			var batch pgx.Batch
			p.Apply(&batch, entries)
			require.NoError(t, tx.SendBatch(t.Context(), &batch).Close())
		}
		statements := record.take()
		for _, plan := range append(explain(t, b.pool, statements, "companies"), explain(t, b.pool, statements, "dispatches")...) {
			require.NotContains(t, plan, "Seq Scan on companies", plan)
			require.NotContains(t, plan, "Seq Scan on dispatches", plan)
		}
	}
	t.Run("before the planner knows of it, reads", reads)
	t.Run("before the planner knows of it, writes", writes)
	_, err = b.pool.Exec(t.Context(), `ANALYZE`)
	require.NoError(t, err)
	t.Run("after, reads", reads)
	t.Run("after, writes", writes)
}

func TestWhatIsDueIsReadFromItsIndexInOrder(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	d := seed(t, b, 200_000)
	const query = `
		SELECT id FROM dispatches
		WHERE destination_id = $1 AND lane = 0 AND due <= now() AND due IS NOT NULL
		ORDER BY due, sequence
		LIMIT 50`
	for id := range d.Destinations {
		for range 2 {
			plan := explain(t, b.pool, []statement{{query, []any{id}}}, "dispatches")[0]
			require.Contains(t, plan, "dispatches_owed", plan)
			require.NotContains(t, plan, "Sort", plan)
			_, err := b.pool.Exec(t.Context(), `ANALYZE dispatches`)
			require.NoError(t, err)
		}
	}
}
