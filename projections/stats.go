package projections

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
)

// Stats keeps what each delivery does by the hour: a row for each hour in which something
// happened and each destination it happened to, and one for the delivery as a whole. A page of
// events is added up before it is written, by one statement unless destinations change within it.
//
// The time to deliver runs from when a dispatch came due, which for a delivery without a schedule
// is when its company was handed over, until its success was recorded; the success tells of both.
// Times are kept as numbers by class, which can be added up over hours as percentiles cannot.
func Stats() Projection {
	classes := newTimeClasses()
	return Projection{
		Name:    "stats",
		Version: 1,
		Tables:  []string{"stats", "stats_targets"},
		Types: types(domain.DestinationAdded{}, domain.DestinationRemoved{}, domain.DeliveryDeleted{},
			domain.CompanyQualified{}, domain.AttemptSucceeded{}, domain.AttemptFailed{}, domain.DispatchFailed{}),
		Rest: atLeisure,
		Apply: func(batch *pgx.Batch, page []Entry) {
			run := statsRun{}
			for _, entry := range page {
				switch e := entry.Event.(type) {
				case domain.CompanyQualified:
					run.of(entry, e.Delivery, "").handedOver++
				case domain.AttemptSucceeded:
					for s := range run.both(entry, e.Delivery, e.Destination) {
						s.attempts++
						s.delivered++
						if e.Owed != nil {
							s.took(classes, entry.RecordedAt.Sub(*e.Owed))
						}
					}
				case domain.AttemptFailed:
					for s := range run.both(entry, e.Delivery, e.Destination) {
						s.attempts++
						s.failedAttempts++
					}
				case domain.DispatchFailed:
					for s := range run.both(entry, e.Delivery, e.Destination) {
						s.failed++
					}
				default:
					run.flush(batch)
					applyToStatsTargets(batch, entry)
				}
			}
			run.flush(batch)
		},
	}
}

// applyToStatsTargets queues what an event of configuration changes.
func applyToStatsTargets(batch *pgx.Batch, entry Entry) {
	const (
		add    = `INSERT INTO stats_targets (destination_id, delivery_id) VALUES ($1, $2)`
		remove = `DELETE FROM stats_targets WHERE destination_id = $1 OR delivery_id = $1`
	)
	switch e := entry.Event.(type) {
	case domain.DestinationAdded:
		if e.Destination.Type == domain.Webhook {
			batch.Queue(add, e.Destination.ID, e.Delivery)
		}
	case domain.DestinationRemoved:
		batch.Queue(remove, e.Destination)
	case domain.DeliveryDeleted:
		batch.Queue(remove, e.Delivery)
	}
}

// A statsKey names a row.
type statsKey struct {
	delivery    domain.DeliveryID
	destination domain.DestinationID // "": the delivery as a whole
	hour        int64                // since 1970
}

// compare puts keys in order.
func (k statsKey) compare(o statsKey) int {
	if c := strings.Compare(string(k.delivery), string(o.delivery)); c != 0 {
		return c
	}
	if c := strings.Compare(string(k.destination), string(o.destination)); c != 0 {
		return c
	}
	return int(k.hour - o.hour)
}

// statsSums are what a run of events adds to a row.
type statsSums struct {
	handedOver, delivered, failed, attempts, failedAttempts int64

	microseconds int64
	times        []int32 // by class
}

// took adds a time to deliver. Clocks may differ: none is less than nothing, or endless.
func (s *statsSums) took(classes timeClasses, d time.Duration) {
	us := min(max(0, d), longestTime).Microseconds()
	class := classes.class(us)
	if missing := class + 1 - len(s.times); missing > 0 {
		s.times = append(s.times, make([]int32, missing)...)
	}
	s.times[class]++
	s.microseconds += us
}

// A statsRun is what a run of events adds, by row.
type statsRun map[statsKey]*statsSums

// of returns what the run adds to the row of an event.
func (r statsRun) of(entry Entry, delivery domain.DeliveryID, destination domain.DestinationID) *statsSums {
	key := statsKey{delivery, destination, entry.RecordedAt.Unix() / 3600}
	if r[key] == nil {
		r[key] = &statsSums{}
	}
	return r[key]
}

// both yields what the run adds to the rows of an event: its destination's, and its delivery's.
func (r statsRun) both(entry Entry, delivery domain.DeliveryID, destination domain.DestinationID) iter.Seq[*statsSums] {
	return func(yield func(*statsSums) bool) {
		if yield(r.of(entry, delivery, destination)) {
			yield(r.of(entry, delivery, ""))
		}
	}
}

// flush queues the rows that the run changes, and begins another. What was handed over under a
// delivery was handed over to each of its destinations.
func (r statsRun) flush(batch *pgx.Batch) {
	const add = `
		WITH page AS (
			SELECT p.delivery_id, p.destination_id, p.hour, p.handed_over, p.delivered, p.failed, p.attempts, p.failed_attempts,
				p.microseconds, p.times::int[] AS times
			FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[])
				AS p(delivery_id, destination_id, hour, handed_over, delivered, failed, attempts, failed_attempts, microseconds, times)
		)
		INSERT INTO stats AS s (delivery_id, destination_id, hour, handed_over, delivered, failed, attempts, failed_attempts, microseconds, times)
		SELECT delivery_id, destination_id, hour, sum(handed_over), sum(delivered), sum(failed), sum(attempts), sum(failed_attempts),
			sum(microseconds), max(times) -- of one that has any
		FROM (
			SELECT * FROM page
			UNION ALL
			SELECT p.delivery_id, t.destination_id, p.hour, p.handed_over, 0, 0, 0, 0, 0, '{}'
			FROM page p
			JOIN stats_targets t USING (delivery_id)
			WHERE p.destination_id = '' AND p.handed_over > 0
		) AS added
		GROUP BY delivery_id, destination_id, hour
		ON CONFLICT (delivery_id, destination_id, hour) DO UPDATE
		SET handed_over = s.handed_over + excluded.handed_over, delivered = s.delivered + excluded.delivered,
			failed = s.failed + excluded.failed, attempts = s.attempts + excluded.attempts,
			failed_attempts = s.failed_attempts + excluded.failed_attempts, microseconds = s.microseconds + excluded.microseconds,
			times = CASE WHEN excluded.times = '{}' THEN s.times ELSE ARRAY(
				SELECT coalesce(t.before, 0) + coalesce(t.added, 0)
				FROM unnest(s.times, excluded.times) WITH ORDINALITY AS t(before, added, n)
				ORDER BY t.n
			) END`
	if len(r) == 0 {
		return
	}
	keys := make([]statsKey, 0, len(r))
	for key := range r {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, statsKey.compare)
	n := len(keys)
	deliveries, destinations, hours := make([]string, n), make([]string, n), make([]time.Time, n)
	handedOver, delivered, failed := make([]int64, n), make([]int64, n), make([]int64, n)
	attempts, failedAttempts := make([]int64, n), make([]int64, n)
	microseconds, times := make([]int64, n), make([]string, n)
	for i, key := range keys {
		s := r[key]
		deliveries[i], destinations[i], hours[i] = string(key.delivery), string(key.destination), time.Unix(key.hour*3600, 0)
		handedOver[i], delivered[i], failed[i] = s.handedOver, s.delivered, s.failed
		attempts[i], failedAttempts[i] = s.attempts, s.failedAttempts
		microseconds[i], times[i] = s.microseconds, arrayText(s.times)
	}
	batch.Queue(add, deliveries, destinations, hours, handedOver, delivered, failed, attempts, failedAttempts, microseconds, times)
	clear(r)
}

// arrayText writes numbers as Postgres does, since there is no list of lists of different lengths.
func arrayText(numbers []int32) string {
	return "{" + strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ","), "[]") + "}"
}

// A StatsRange says which statistics are wanted.
type StatsRange struct {
	Delivery    domain.DeliveryID
	Destination domain.DestinationID // "": the delivery as a whole
	From        time.Time            // begin of the first bucket
	To          time.Time            // end of the last
	Bucket      time.Duration        // length of one, in whole hours
}

// Stat is what happened in a time.
type Stat struct {
	HandedOver     int64 // companies
	Delivered      int64 // dispatches
	Failed         int64 // dispatches
	Attempts       int64
	FailedAttempts int64
	Times          DeliveryTimes
}

// DeliveryTimes are how long dispatches took to be delivered.
type DeliveryTimes struct {
	Count         int64
	Mean          time.Duration
	P50, P95, P99 time.Duration // within 5 %, or half a millisecond
}

// Stats returns what happened over a range, and in each bucket of it: also in those in which
// nothing did.
func (v *Views) Stats(ctx context.Context, r StatsRange) (total Stat, buckets []Stat, err error) {
	const query = `
		SELECT extract(epoch FROM hour)::bigint, handed_over, delivered, failed, attempts, failed_attempts, microseconds::float8, times
		FROM stats
		WHERE delivery_id = $1 AND destination_id = $2 AND hour >= $3 AND hour < $4`
	sums := make([]statsTotal, (r.To.Unix()-r.From.Unix())/int64(r.Bucket/time.Second))
	var whole, row statsTotal
	var hour int64
	rows, _ := v.pool.Query(ctx, query, r.Delivery, r.Destination, r.From, r.To) // ForEachRow reports the error
	_, err = pgx.ForEachRow(rows, []any{
		&hour, &row.HandedOver, &row.Delivered, &row.Failed, &row.Attempts, &row.FailedAttempts, &row.microseconds, &row.times,
	}, func() error {
		whole.add(row)
		sums[(hour-r.From.Unix())/int64(r.Bucket/time.Second)].add(row)
		return nil
	})
	if err != nil {
		return total, nil, fmt.Errorf("view statistics of %s: %w", r.Delivery, err)
	}
	classes := newTimeClasses()
	buckets = make([]Stat, len(sums))
	for i := range sums {
		buckets[i] = sums[i].stat(classes)
	}
	return whole.stat(classes), buckets, nil
}

// A statsTotal is the sum of rows.
type statsTotal struct {
	Stat
	microseconds float64
	times        []int64
}

// add adds a row.
func (t *statsTotal) add(row statsTotal) {
	t.HandedOver += row.HandedOver
	t.Delivered += row.Delivered
	t.Failed += row.Failed
	t.Attempts += row.Attempts
	t.FailedAttempts += row.FailedAttempts
	t.microseconds += row.microseconds
	if missing := len(row.times) - len(t.times); missing > 0 {
		t.times = append(t.times, make([]int64, missing)...)
	}
	for class, n := range row.times {
		t.times[class] += n
	}
}

// stat returns the sum with what follows from it.
func (t *statsTotal) stat(classes timeClasses) Stat {
	s := t.Stat
	for _, n := range t.times {
		s.Times.Count += n
	}
	if s.Times.Count > 0 {
		s.Times.Mean = time.Duration(t.microseconds / float64(s.Times.Count) * float64(time.Microsecond))
		s.Times.P50, s.Times.P95, s.Times.P99 = classes.quantile(t.times, 50), classes.quantile(t.times, 95), classes.quantile(t.times, 99)
	}
	return s
}
