package projections

import (
	"cmp"
	"context"
	"fmt"
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
	table := newStatsTable("stats", "hour", "timestamptz", time.Hour, failedAttempts+1)
	return Projection{
		Name:    "stats",
		Version: 2,
		Tables:  []string{"stats", "stats_targets"},
		Types: types(domain.DestinationAdded{}, domain.DestinationRemoved{}, domain.DeliveryDeleted{},
			domain.CompanyQualified{}, domain.DispatchBackfilled{}, domain.AttemptSucceeded{}, domain.AttemptFailed{}, domain.DispatchFailed{}),
		Rest: atLeisure,
		Apply: func(batch *pgx.Batch, page []Entry) {
			run := table.run()
			for _, entry := range page {
				if !run.count(entry) {
					run.flush(batch)
					table.applyToTargets(batch, entry)
				}
			}
			run.flush(batch)
		},
	}
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
	sums := newStatsTotals(r)
	var at int64
	var row statsTotal
	rows, _ := v.pool.Query(ctx, query, r.Delivery, r.Destination, r.From, r.To) // ForEachRow reports the error
	if _, err = pgx.ForEachRow(rows, row.scan(&at), func() error { sums.add(at, row); return nil }); err != nil {
		return total, nil, fmt.Errorf("view statistics of %s: %w", r.Delivery, err)
	}
	total, buckets = sums.stats()
	return total, buckets, nil
}

// A DeliveryStat is what happened under a delivery.
type DeliveryStat struct {
	Delivery domain.DeliveryID
	Stat
}

// Totals returns what happened under all deliveries of an organisation over a range, whose delivery and destination do not count,
// in each bucket of it, and under each delivery where something did, also one that was deleted. It costs a look-up for each
// delivery, and a row for each of its hours with something in it; for each day, where buckets are days.
func (v *Views) Totals(ctx context.Context, org domain.OrganisationID, r StatsRange) (total Stat, buckets []Stat, deliveries []DeliveryStat, err error) {
	const counts = `, s.handed_over, s.delivered, s.failed, s.attempts, s.failed_attempts, s.microseconds::float8, s.times, s.delivery_id
		FROM dispatch_deliveries d
		JOIN `
	query := `SELECT extract(epoch FROM s.hour)::bigint` + counts + `stats s ON s.delivery_id = d.delivery_id AND s.destination_id = '' AND s.hour >= $2 AND s.hour < $3`
	if r.Bucket%(24*time.Hour) == 0 {
		query = `SELECT (s.day - '1970-01-01'::date)::bigint * 86400` + counts + `daily s ON s.delivery_id = d.delivery_id AND s.destination_id = '' AND s.day >= $2 AND s.day < $3`
	}
	sums := newStatsTotals(r)
	each := map[domain.DeliveryID]*statsTotal{}
	var at int64
	var row statsTotal
	var delivery domain.DeliveryID
	rows, _ := v.pool.Query(ctx, query+` WHERE d.organisation_id = $1`, org, r.From.UTC(), r.To.UTC()) // ForEachRow reports the error
	_, err = pgx.ForEachRow(rows, append(row.scan(&at), &delivery), func() error {
		sums.add(at, row)
		if each[delivery] == nil {
			each[delivery] = &statsTotal{}
		}
		each[delivery].add(row)
		return nil
	})
	if err != nil {
		return total, nil, nil, fmt.Errorf("view statistics of %s: %w", org, err)
	}
	for id, sum := range each {
		deliveries = append(deliveries, DeliveryStat{id, sum.stat(sums.classes)})
	}
	slices.SortFunc(deliveries, func(a, b DeliveryStat) int {
		return cmp.Or(cmp.Compare(b.HandedOver, a.HandedOver), strings.Compare(string(a.Delivery), string(b.Delivery)))
	})
	total, buckets = sums.stats()
	return total, buckets, deliveries, nil
}

// statsTotals are the sums of a range and of its buckets.
type statsTotals struct {
	StatsRange
	whole   statsTotal
	buckets []statsTotal
	classes timeClasses
}

// newStatsTotals returns those of no rows.
func newStatsTotals(r StatsRange) *statsTotals {
	buckets := make([]statsTotal, (r.To.Unix()-r.From.Unix())/int64(r.Bucket/time.Second))
	return &statsTotals{StatsRange: r, buckets: buckets, classes: newTimeClasses()}
}

// add adds a row of a time, in seconds since 1970.
func (t *statsTotals) add(at int64, row statsTotal) {
	t.whole.add(row)
	t.buckets[(at-t.From.Unix())/int64(t.Bucket/time.Second)].add(row)
}

// stats returns the sums with what follows from them.
func (t *statsTotals) stats() (whole Stat, buckets []Stat) {
	buckets = make([]Stat, len(t.buckets))
	for i := range t.buckets {
		buckets[i] = t.buckets[i].stat(t.classes)
	}
	return t.whole.stat(t.classes), buckets
}

// A statsTotal is the sum of rows.
type statsTotal struct {
	Stat
	microseconds float64
	times        []int64
}

// scan returns where the columns of a row go, after that of its time.
func (t *statsTotal) scan(at *int64) []any {
	return []any{at, &t.HandedOver, &t.Delivered, &t.Failed, &t.Attempts, &t.FailedAttempts, &t.microseconds, &t.times}
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
