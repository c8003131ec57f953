package projections

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
)

// What is counted of each time, in the order of the columns.
const (
	handedOver = iota // companies
	delivered         // dispatches
	failed            // dispatches
	attempts
	failedAttempts
	disqualified // companies
	counters
)

// counterColumns are the columns of what is counted.
var counterColumns = [counters]string{"handed_over", "delivered", "failed", "attempts", "failed_attempts", "disqualified"}

// A statsTable is where statistics are kept by hours or days: a row for each time in which something happened and each
// destination that it happened to, and one for the delivery as a whole. A table of targets stands beside it.
type statsTable struct {
	name, targets string
	length        int64    // of a time, in seconds
	counters      []string // that it has
	add           string   // statement that adds rows to those that are there
	classes       timeClasses
}

// newStatsTable returns the table of that name. Column and kind are the name and the type of the times, of that length; it
// has the first n counters.
func newStatsTable(name, column, kind string, length time.Duration, n int) statsTable {
	t := statsTable{
		name: name, targets: name + "_targets", length: int64(length / time.Second), counters: counterColumns[:n], classes: newTimeClasses(),
	}
	list := strings.Join(t.counters, ", ")
	var arrays, sums, sets strings.Builder
	for i, counter := range t.counters {
		arrays.WriteString(", $" + strconv.Itoa(i+6) + "::bigint[]")
		sums.WriteString(", sum(" + counter + ")")
		sets.WriteString(counter + " = s." + counter + " + excluded." + counter + ", ")
	}
	t.add = strings.NewReplacer(
		"{table}", t.name, "{targets}", t.targets, "{time}", column, "{type}", kind, "{counters}", list,
		"{arrays}", arrays.String(), "{sums}", sums.String(), "{sets}", sets.String(), "{zeros}", strings.Repeat(", 0", n-1),
	).Replace(`
		WITH page AS (
			SELECT p.delivery_id, p.destination_id, p.{time}, p.microseconds, p.times::int[] AS times, {counters}
			FROM unnest($1::text[], $2::text[], $3::{type}[], $4::bigint[], $5::text[]{arrays})
				AS p(delivery_id, destination_id, {time}, microseconds, times, {counters})
		)
		INSERT INTO {table} AS s (delivery_id, destination_id, {time}, microseconds, times, {counters})
		SELECT delivery_id, destination_id, {time}, sum(microseconds), max(times){sums} -- the times of one that has any
		FROM (
			SELECT * FROM page
			UNION ALL
			SELECT p.delivery_id, t.destination_id, p.{time}, 0, '{}', p.handed_over{zeros}
			FROM page p
			JOIN {targets} t USING (delivery_id)
			WHERE p.destination_id = '' AND p.handed_over > 0
		) AS added
		GROUP BY delivery_id, destination_id, {time}
		ON CONFLICT (delivery_id, destination_id, {time}) DO UPDATE
		SET {sets}microseconds = s.microseconds + excluded.microseconds,
			times = CASE WHEN excluded.times = '{}' THEN s.times ELSE ARRAY(
				SELECT coalesce(t.before, 0) + coalesce(t.added, 0)
				FROM unnest(s.times, excluded.times) WITH ORDINALITY AS t(before, added, n)
				ORDER BY t.n
			) END`)
	return t
}

// applyToTargets queues what an event of configuration changes.
func (t statsTable) applyToTargets(batch *pgx.Batch, entry Entry) {
	add := `INSERT INTO ` + t.targets + ` (destination_id, delivery_id) VALUES ($1, $2)`
	remove := `DELETE FROM ` + t.targets + ` WHERE destination_id = $1 OR delivery_id = $1`
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
	time        int64                // as many of the table's since 1970
}

// compare puts keys in order.
func (k statsKey) compare(o statsKey) int {
	if c := strings.Compare(string(k.delivery), string(o.delivery)); c != 0 {
		return c
	}
	if c := strings.Compare(string(k.destination), string(o.destination)); c != 0 {
		return c
	}
	return int(k.time - o.time)
}

// statsSums are what a run of events adds to a row.
type statsSums struct {
	counts       [counters]int64
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

// A statsRun is what a run of events adds to a table, by row.
type statsRun struct {
	statsTable
	rows map[statsKey]*statsSums
}

// run returns a run of no events.
func (t statsTable) run() statsRun { return statsRun{t, map[statsKey]*statsSums{}} }

// count adds an event to the run. It is false when the event is no part of one.
func (r statsRun) count(entry Entry) bool {
	switch e := entry.Event.(type) {
	case domain.CompanyQualified:
		r.of(entry, e.Delivery, "").counts[handedOver]++
	case domain.CompanyDisqualified:
		r.of(entry, e.Delivery, "").counts[disqualified]++
	case domain.DispatchBackfilled:
		r.of(entry, e.Delivery, e.Destination).counts[handedOver]++
	case domain.AttemptSucceeded:
		for s := range r.both(entry, e.Delivery, e.Destination) {
			s.counts[attempts]++
			s.counts[delivered]++
			if e.Owed != nil {
				s.took(r.classes, entry.RecordedAt.Sub(*e.Owed))
			}
		}
	case domain.AttemptFailed:
		for s := range r.both(entry, e.Delivery, e.Destination) {
			s.counts[attempts]++
			s.counts[failedAttempts]++
		}
	case domain.DispatchFailed:
		for s := range r.both(entry, e.Delivery, e.Destination) {
			s.counts[failed]++
		}
	default:
		return false
	}
	return true
}

// of returns what the run adds to the row of an event.
func (r statsRun) of(entry Entry, delivery domain.DeliveryID, destination domain.DestinationID) *statsSums {
	key := statsKey{delivery, destination, entry.RecordedAt.Unix() / r.length}
	if r.rows[key] == nil {
		r.rows[key] = &statsSums{}
	}
	return r.rows[key]
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
	if len(r.rows) == 0 {
		return
	}
	keys := make([]statsKey, 0, len(r.rows))
	for key := range r.rows {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, statsKey.compare)
	n := len(keys)
	deliveries, destinations, at := make([]string, n), make([]string, n), make([]time.Time, n)
	microseconds, times := make([]int64, n), make([]string, n)
	args := []any{deliveries, destinations, at, microseconds, times}
	for c := range r.counters {
		counts := make([]int64, n)
		for i, key := range keys {
			counts[i] = r.rows[key].counts[c]
		}
		args = append(args, counts)
	}
	for i, key := range keys {
		s := r.rows[key]
		deliveries[i], destinations[i], at[i] = string(key.delivery), string(key.destination), time.Unix(key.time*r.length, 0).UTC()
		microseconds[i], times[i] = s.microseconds, arrayText(s.times)
	}
	batch.Queue(r.add, args...)
	clear(r.rows)
}

// arrayText writes numbers as Postgres does, since there is no list of lists of different lengths.
func arrayText(numbers []int32) string {
	return "{" + strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ","), "[]") + "}"
}
