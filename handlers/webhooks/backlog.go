package webhooks

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// backlog tells how much is due, in all processes together: what is held by a pause is not. It
// looks when it is asked, but not more often than every backlogEvery. A look costs about what a
// claim does, however much is due: a step in the index for each destination that something is
// owed to, and a count that ends at backlogMost; likewise of breakers. While the database is away it tells nothing.
type backlog struct {
	pool *pgxpool.Pool
	now  func() time.Time

	mu     sync.Mutex
	looked time.Time
	seen   due
	err    error
}

// Bounds of a look at the backlog.
const (
	backlogEvery   = 5 * time.Second
	backlogTimeout = 2 * time.Second
	backlogMost    = 10_000 // dispatches that are counted
)

// due is what is due at a time.
type due struct {
	Count  int64   `db:"count"`  // backlogMost at most
	Oldest float64 `db:"oldest"` // seconds that the first has been due; 0: nothing is

	breakers int64 // that are not closed; backlogMost at most
}

// Metrics of the backlog.
var (
	dueCount     = prometheus.NewDesc("ledger_dispatches_due", fmt.Sprintf("Dispatches that are due, %d at most; those under way too.", backlogMost), nil, nil)
	dueOldest    = prometheus.NewDesc("ledger_dispatches_due_oldest_age_seconds", "For how long the oldest of them has been due.", nil, nil)
	breakersOpen = prometheus.NewDesc("ledger_breakers_open", fmt.Sprintf("Destinations that are probed, since they keep failing; %d at most.", backlogMost), nil, nil)
)

// Describe implements [prometheus.Collector].
func (b *backlog) Describe(ch chan<- *prometheus.Desc) {
	ch <- dueCount
	ch <- dueOldest
	ch <- breakersOpen
}

// Collect implements [prometheus.Collector].
func (b *backlog) Collect(ch chan<- prometheus.Metric) {
	seen, err := b.look()
	if err != nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(dueCount, prometheus.GaugeValue, float64(seen.Count))
	ch <- prometheus.MustNewConstMetric(dueOldest, prometheus.GaugeValue, seen.Oldest)
	ch <- prometheus.MustNewConstMetric(breakersOpen, prometheus.GaugeValue, float64(seen.breakers))
}

// look returns what is due, or was a moment ago.
func (b *backlog) look() (due, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(); b.looked.IsZero() || now.Sub(b.looked) >= backlogEvery {
		ctx, cancel := context.WithTimeout(context.Background(), backlogTimeout)
		defer cancel()
		b.seen, b.err = b.read(ctx)
		b.looked = now
	}
	return b.seen, b.err
}

// read returns what is due. It steps from one destination and lane to the next.
func (b *backlog) read(ctx context.Context) (seen due, err error) {
	const (
		begin  = `BEGIN READ ONLY`
		walk   = `SET LOCAL enable_seqscan = off`
		commit = `COMMIT`
		query  = `
		WITH RECURSIVE owing AS (
			(SELECT destination_id, lane FROM dispatches WHERE due IS NOT NULL ORDER BY destination_id, lane LIMIT 1)
			UNION ALL
			SELECT n.destination_id, n.lane
			FROM owing o
			CROSS JOIN LATERAL (
				SELECT d.destination_id, d.lane
				FROM dispatches d
				WHERE d.due IS NOT NULL AND (d.destination_id, d.lane) > (o.destination_id, o.lane)
				ORDER BY d.destination_id, d.lane LIMIT 1
			) AS n
		),
		flowing AS MATERIALIZED (
			SELECT o.destination_id, o.lane
			FROM owing o
			JOIN dispatch_targets t USING (destination_id)
			JOIN dispatch_deliveries v USING (delivery_id)
			WHERE NOT v.paused AND NOT t.disabled AND NOT t.removed
		),
		counted AS (
			SELECT 1
			FROM flowing f
			CROSS JOIN LATERAL (
				SELECT 1 FROM dispatches d
				WHERE d.destination_id = f.destination_id AND d.lane = f.lane AND d.due <= now()
				LIMIT $1
			) AS d
			LIMIT $1
		),
		oldest AS (
			SELECT min(d.due) AS due
			FROM flowing f
			CROSS JOIN LATERAL (
				SELECT d.due FROM dispatches d
				WHERE d.destination_id = f.destination_id AND d.lane = f.lane AND d.due IS NOT NULL
				ORDER BY d.due LIMIT 1
			) AS d
		)
		SELECT (SELECT count(*) FROM counted) AS count, coalesce(greatest(0, extract(epoch FROM now() - due)), 0)::float8 AS oldest
		FROM oldest`
		breakers = `
		SELECT count(*)
		FROM (
			SELECT FROM dispatch_targets t
			JOIN dispatch_deliveries v USING (delivery_id)
			WHERE t.probe_at IS NOT NULL AND NOT v.paused AND NOT t.disabled AND NOT t.removed
			LIMIT $1
		) AS probed`
	)
	var q pgx.Batch
	q.Queue(begin)
	q.Queue(walk)
	q.Queue(query, backlogMost).Query(func(rows pgx.Rows) (err error) {
		seen, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[due])
		return err
	})
	q.Queue(breakers, backlogMost).QueryRow(func(row pgx.Row) error { return row.Scan(&seen.breakers) })
	q.Queue(commit)
	if err := b.pool.SendBatch(ctx, &q).Close(); err != nil {
		return due{}, fmt.Errorf("look at what is due: %w", err)
	}
	return seen, nil
}
