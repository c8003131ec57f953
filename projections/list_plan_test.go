package projections_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// crowd fills the read models as large customers would: of the organisation 50,000 deliveries, as many
// searches, and as many destinations of one; of another delivery 200,000 dispatches to five
// destinations, with as many events and the statistics of ten years. Others' rows stand between.
func crowd(t *testing.T, b *bundle) (many, busy domain.DeliveryID) {
	t.Helper()
	const deliveries = 50_000
	many, busy = "dcf_000000", "dcf_busy"
	for _, fill := range []string{
		`INSERT INTO deliveries (id, organisation_id, name, status, schedule, prospect_search_id, version, created_at, updated_at, destinations)
		SELECT 'dcf_' || lpad(n::text, 6, '0'), CASE n % 2 WHEN 0 THEN 'org_a' ELSE 'org_' || n % 500 END, 'n',
			CASE WHEN n % 1000 = 0 THEN 'paused' ELSE 'active' END, 'immediate', 'search_' || n, 1, now(), now(), 0
		FROM generate_series(0, 2 * $1::int - 1) AS n`,
		`INSERT INTO searches (organisation_id, prospect_search_id, oldest, active, paused)
		SELECT organisation_id, prospect_search_id, id, 1, 0 FROM deliveries WHERE $1 > 0`,
		`INSERT INTO delivery_totals (organisation_id, active, paused, searches)
		SELECT organisation_id, count(*), 0, count(*) FROM deliveries WHERE $1 > 0 GROUP BY organisation_id`,
		`INSERT INTO destinations (id, delivery_id, config, version, created_at, updated_at)
		SELECT 'dst_' || lpad(n::text, 6, '0'), CASE WHEN n % 2 = 0 THEN 'dcf_000000' ELSE 'dcf_' || lpad(n::text, 6, '0') END, '{}', 1, now(), now()
		FROM generate_series(0, 2 * $1::int - 1) AS n`,
		`INSERT INTO dispatch_deliveries (delivery_id, organisation_id, paused)
		SELECT id, organisation_id, false FROM deliveries WHERE $1 > 0 UNION ALL SELECT 'dcf_busy', 'org_a', false`,
		`INSERT INTO dispatch_targets (destination_id, delivery_id, config, version, last_sequence)
		SELECT 'dst_' || n, CASE WHEN n < 5 THEN 'dcf_busy' ELSE 'dcf_other_' || n END, '{}', 1, 40000
		FROM generate_series(0, $1::int / 500) AS n`,
		`INSERT INTO dispatches (id, sequence, position, due, status, destination_id, delivery_id, handover_id)
		SELECT 'dsp_' || md5(n::text), n / 5 + 1, n / 5 + 10, CASE WHEN n % 10 = 1 AND n > 3 * $1::int THEN now() END,
			CASE WHEN n % 10 = 1 AND n > 3 * $1::int THEN 'pending' WHEN n % 2000 = 7 THEN 'failed' WHEN n % 20 = 3 THEN 'cancelled' ELSE 'delivered' END,
			'dst_' || n % 5, 'dcf_busy', 'del_' || n / 5
		FROM generate_series(0, 4 * $1::int - 1) AS n`,
		`INSERT INTO dispatches (id, sequence, position, status, destination_id, delivery_id, handover_id)
		SELECT 'dsp_other_' || n, n / 90 + 1, n + 10, 'delivered', 'dst_' || 5 + n % 90, 'dcf_other_' || 5 + n % 90, 'del_other_' || n
		FROM generate_series(0, 4 * $1::int - 1) AS n`,
		`INSERT INTO history (delivery_id, number, position, type, type_number)
		SELECT CASE n % 2 WHEN 0 THEN 'dcf_busy' ELSE 'dcf_other_' || n % 50 END, n + 1, n + 10, 'company.qualified', n + 1
		FROM generate_series(0, 4 * $1::int - 1) AS n`,
		`INSERT INTO stats (delivery_id, destination_id, hour, handed_over, delivered, failed, attempts, failed_attempts, microseconds, times)
		SELECT d, '', '2015-01-01Z'::timestamptz + n * interval '1 hour', 1, 1, 0, 1, 0, 5, '{1}'
		FROM generate_series(0, $1::int) AS n, unnest(ARRAY['dcf_busy', 'dcf_other_1']) AS d`,
		`INSERT INTO replays (id, delivery_id, status, filter, count, version, started_at)
		SELECT 'rpl_' || lpad(n::text, 6, '0'), 'dcf_' || CASE n % 2 WHEN 0 THEN 'busy' ELSE n::text END, 'done', '{}', 1, 1, now()
		FROM generate_series(0, $1::int) AS n`,
		`INSERT INTO exclusions (organisation_id, id, kind, value, reason, position, version, created_at)
		SELECT CASE n % 3 WHEN 0 THEN 'org_a' ELSE 'org_b' END, 'exc_' || md5(n::text), CASE n % 50 WHEN 0 THEN 'company' ELSE 'domain' END, n, '', n, 1, now()
		FROM generate_series(0, 2 * $1::int) AS n`,
	} {
		_, err := b.pool.Exec(t.Context(), fill, deliveries)
		require.NoError(t, err, fill)
	}
	_, err := b.pool.Exec(t.Context(), `VACUUM ANALYZE`)
	require.NoError(t, err)
	return many, busy
}

// buffers finds what a plan says of the pages that it touched.
var buffers = regexp.MustCompile(`Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?`)

// touched runs a statement with the plan that is made for any parameters, or for its own, and returns
// how many pages of the database it touched, and the plan.
func touched(t *testing.T, pool *pgxpool.Pool, s statement, mode string) (pages int, plan string) {
	t.Helper()
	err := pool.AcquireFunc(t.Context(), func(c *pgxpool.Conn) error {
		places := make([]string, len(s.args))
		for i := range places {
			places[i] = "$" + strconv.Itoa(i+1)
		}
		for _, sql := range []string{`SET plan_cache_mode = ` + mode, `SET jit = off`, `PREPARE seen AS ` + s.sql} {
			if _, err := c.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		run := `EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE seen`
		if len(places) > 0 {
			run += `(` + strings.Join(places, ", ") + `)`
		}
		rows, _ := c.Query(t.Context(), run, append([]any{pgx.QueryExecModeSimpleProtocol}, s.args...)...) // CollectRows reports the error
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		plan = strings.Join(lines, "\n")
		_, err = c.Exec(t.Context(), `DEALLOCATE seen`, pgx.QueryExecModeSimpleProtocol)
		return err
	})
	require.NoError(t, err, s.sql)
	for _, n := range buffers.FindStringSubmatch(plan)[1:] {
		count, _ := strconv.Atoi(n)
		pages += count
	}
	return pages, plan
}

func TestAPageOfALargeListTouchesFewPagesOfTheDatabaseUnderAnyPlan(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	many, busy := crowd(t, b)
	record := &recorder{}
	config := b.pool.Config()
	config.ConnConfig.Tracer = record
	traced, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	views := projections.NewViews(traced)

	must := func(err error) { t.Helper(); require.NoError(t, err) }
	list := func(after string) projections.Page { return projections.Page{Limit: 20, After: after} }
	dispatches := func(most int, filter projections.DispatchFilter, page projections.DispatchPage) (string, int, func()) {
		filter.Delivery, page.Limit = busy, 20
		return fmt.Sprintf("dispatches %+v %+v", filter, page), most, func() {
			found, err := views.DispatchesOf(t.Context(), filter, page)
			must(err)
			require.NotEmpty(t, found.Items)
		}
	}
	type read struct {
		name string
		most int // pages for each statement
		make func()
	}
	of := func(name string, most int, make func()) read { return read{name, most, make} }
	var deep domain.DispatchID
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT id FROM dispatches WHERE delivery_id = $1 AND destination_id = 'dst_1' AND position = 20000`, busy).Scan(&deep))
	trail := projections.Trail{Delivery: busy}
	reads := []read{
		of("deliveries", 60, func() { _, err := views.Deliveries(t.Context(), org, "", list("")); must(err) }),
		of("deliveries, deep", 60, func() { _, err := views.Deliveries(t.Context(), org, "", list("dcf_050000")); must(err) }),
		of("paused deliveries", 60, func() { _, err := views.Deliveries(t.Context(), org, domain.Paused, list("")); must(err) }),
		of("paused deliveries, deep", 60, func() { _, err := views.Deliveries(t.Context(), org, domain.Paused, list("dcf_050000")); must(err) }),
		of("searches", 120, func() { _, err := views.Searches(t.Context(), org, list("")); must(err) }),
		of("searches, deep", 120, func() { _, err := views.Searches(t.Context(), org, list("dcf_050000")); must(err) }),
		of("destinations", 60, func() { _, err := views.Destinations(t.Context(), many, list("")); must(err) }),
		of("destinations, deep", 60, func() { _, err := views.Destinations(t.Context(), many, list("dst_050000")); must(err) }),
		of("deliveries of a search", 60, func() { _, err := views.DeliveriesOf(t.Context(), org, "search_500"); must(err) }),
		of("exclusions", 60, func() { _, err := views.Exclusions(t.Context(), org, "", list("")); must(err) }),
		of("exclusions, deep", 60, func() { _, err := views.Exclusions(t.Context(), org, "", list("50000")); must(err) }),
		of("excluded companies, deep", 60, func() { _, err := views.Exclusions(t.Context(), org, domain.ByCompany, list("50000")); must(err) }),
		of("statistics", 60, func() {
			from := time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
			_, _, err := views.Stats(t.Context(), projections.StatsRange{Delivery: busy, From: from, To: from.AddDate(0, 0, 7), Bucket: time.Hour})
			must(err)
		}),
		of("events", 200, func() { _, err := views.Events(t.Context(), trail, projections.TrailPage{Limit: 20}); must(err) }),
		of("events, deep", 200, func() {
			_, err := views.Events(t.Context(), trail, projections.TrailPage{Limit: 20, Before: 100_000, Offset: 50_000})
			must(err)
		}),
		of("sequence", 300, func() {
			_, err := views.DispatchesIn(t.Context(), projections.Sequence{Delivery: busy, Destination: "dst_1", After: 20_000}, 1000, 20)
			must(err)
		}),
		of(dispatches(300, projections.DispatchFilter{}, projections.DispatchPage{})),
		of(dispatches(300, projections.DispatchFilter{}, projections.DispatchPage{After: deep})),
		of(dispatches(600, projections.DispatchFilter{}, projections.DispatchPage{Offset: 100_000})),
		of(dispatches(300, projections.DispatchFilter{Destination: "dst_1"}, projections.DispatchPage{})),
		of(dispatches(300, projections.DispatchFilter{Destination: "dst_1"}, projections.DispatchPage{After: deep})),
		of(dispatches(300, projections.DispatchFilter{Destination: "dst_1"}, projections.DispatchPage{Offset: 30_000})),
		of(dispatches(600, projections.DispatchFilter{After: 10_000, UpTo: 30_000}, projections.DispatchPage{Offset: 50_000})),
		of(dispatches(300, projections.DispatchFilter{Status: domain.Failed}, projections.DispatchPage{})),
		of(dispatches(300, projections.DispatchFilter{Status: domain.Failed}, projections.DispatchPage{After: deep})),
		of(dispatches(300, projections.DispatchFilter{Status: domain.Delivered}, projections.DispatchPage{After: deep})),
	}
	for _, r := range reads {
		record.take()
		r.make()
		for _, s := range record.take() {
			for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
				pages, plan := touched(t, b.pool, s, mode)
				require.LessOrEqual(t, pages, r.most, "%s, %s: %s\n%s", r.name, mode, s.sql, plan)
			}
		}
	}
}
