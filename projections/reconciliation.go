package projections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A Reconciliation compares what the log says of a delivery's hand-overs with what the read models
// show: each company that was handed over is in the feed, and is owed to each webhook destination that was
// told of companies then, or that it was back-filled to, in a dispatch which is as its last event left it.
type Reconciliation struct {
	Position     eventstore.Position // hand-overs up to there are compared
	HandedOver   int64               // companies
	Feed         int64               // of them, how many can be pulled
	Destinations []DestinationSums   // that any of them is owed to, in order of their IDs
	Differences  []Difference
}

// Balanced reports whether nothing differs.
func (r *Reconciliation) Balanced() bool { return len(r.Differences) == 0 }

// DestinationSums are the numbers of a destination's dispatches, by the log.
type DestinationSums struct {
	Destination domain.DestinationID
	Owed        int64 // hand-overs; the sum of all Counts
	Counts      Counts
}

// A Difference is what log and read models do not say alike of some hand-overs.
type Difference struct {
	Destination domain.DestinationID // to which they are owed; empty: it is about the feed
	Logged      string               // what the log says: the status of dispatches, HandedOver for the feed; empty: that there is none
	Shown       string               // what is shown, likewise
	Count       int64
	HandOvers   []domain.HandOverID // the first of them, DifferencesMost at most
}

// HandedOver is how a company is shown that is in the feed.
const HandedOver = "handed_over"

// DifferencesMost is how many hand-overs a difference names.
const DifferencesMost = 100

// Handed says which hand-overs of a delivery are compared.
type Handed struct {
	Delivery domain.DeliveryID
	Since    *time.Time // recorded then or later
	Until    *time.Time // recorded before
	Most     int64      // so many at once; 0: however many they are
}

// ErrTooMany is returned when there are more hand-overs than are compared at once.
var ErrTooMany = errors.New("there are too many hand-overs")

// Reconcile compares, as of one moment. The log is read for what was handed over and for the last event of
// each dispatch, a look-up each. The read models may be behind it, each by a little more or less: what has
// not come to all of them yet is left out. A dispatch of an operational event is none of a hand-over.
func (v *Views) Reconcile(ctx context.Context, store *eventstore.Store, handed Handed) (Reconciliation, error) {
	const positions = `
		SELECT
			(SELECT position FROM cursors WHERE name = 'companies'),
			(SELECT position FROM cursors WHERE name = 'dispatches')`
	var r Reconciliation
	err := pgx.BeginTxFunc(ctx, v.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var feed, dispatches eventstore.Position
		if err := tx.QueryRow(ctx, positions).Scan(&feed, &dispatches); err != nil {
			return err
		}
		terms, err := readTerms(ctx, store, handed.Delivery, dispatches)
		if err != nil {
			return err
		}
		r.Position = min(feed, dispatches)
		if err := r.compareFeed(ctx, tx, handed); err != nil {
			return err
		}
		return r.compareDispatches(ctx, tx, handed, terms, dispatches)
	})
	if err != nil {
		return Reconciliation{}, fmt.Errorf("reconcile %s: %w", handed.Delivery, err)
	}
	return r, nil
}

// DeliveryIDs returns the IDs of all deliveries, also of those that were deleted, oldest first.
func (v *Views) DeliveryIDs(ctx context.Context) ([]domain.DeliveryID, error) {
	rows, _ := v.pool.Query(ctx, `SELECT delivery_id FROM dispatch_deliveries ORDER BY delivery_id`) // CollectRows reports the error
	ids, err := pgx.CollectRows(rows, pgx.RowTo[domain.DeliveryID])
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	return ids, nil
}

// logged selects the hand-overs of delivery $1 up to position $2, recorded from $3 to before $4, $5 at
// most, by the names of their streams: see [domain.HandOverStream].
const logged = `
		WITH logged AS MATERIALIZED (
			SELECT e.position, e.data->>'hand_over' AS handover_id
			FROM events e
			WHERE e.stream > 'handover/' || $1 || '/' AND e.stream < 'handover/' || $1 || '0' AND e.type = 'company.qualified'
				AND e.position <= $2 AND e.recorded_at >= coalesce($3::timestamptz, '-infinity') AND e.recorded_at < coalesce($4::timestamptz, 'infinity')
			LIMIT $5
		)`

// args returns the arguments of logged.
func (r *Reconciliation) args(h Handed) []any {
	var most *int64
	if h.Most > 0 {
		most = new(h.Most + 1)
	}
	return []any{h.Delivery, r.Position, h.Since, h.Until, most}
}

// compareFeed compares hand-overs with the feed.
func (r *Reconciliation) compareFeed(ctx context.Context, tx pgx.Tx, h Handed) error {
	const query = logged + `
		SELECT l.handover_id IS NOT NULL, c.handover_id IS NOT NULL, count(*), (array_agg(handover_id ORDER BY l.position, c.position))[:$6]
		FROM logged l
		FULL JOIN (
			SELECT handover_id, position
			FROM companies
			WHERE delivery_id = $1 AND position <= $2
				AND delivered_at >= coalesce($3::timestamptz, '-infinity') AND delivered_at < coalesce($4::timestamptz, 'infinity')
		) AS c USING (handover_id)
		GROUP BY 1, 2`
	rows, _ := tx.Query(ctx, query, append(r.args(h), DifferencesMost)...) // ForEachRow reports the error
	var inLog, inFeed bool
	var d Difference
	_, err := pgx.ForEachRow(rows, []any{&inLog, &inFeed, &d.Count, &d.HandOvers}, func() error {
		is := map[bool]string{true: HandedOver}
		d.Logged, d.Shown = is[inLog], is[inFeed]
		if inLog {
			r.HandedOver += d.Count
		}
		if inFeed {
			r.Feed += d.Count
		}
		r.compare(d)
		return nil
	})
	if err == nil && h.Most > 0 && r.HandedOver > h.Most {
		return ErrTooMany
	}
	return err
}

// compareDispatches compares what is owed to each destination with its dispatches. They show the log as of a
// position of their own.
func (r *Reconciliation) compareDispatches(ctx context.Context, tx pgx.Tx, h Handed, t terms, as eventstore.Position) error {
	const query = logged + `,
		spans AS MATERIALIZED (
			SELECT *
			FROM unnest($6::text[], $7::bigint[], $8::bigint[], $9::bigint[]) AS s(destination_id, after, before, removed)
		),
		owed AS (
			SELECT l.position, l.handover_id, s.destination_id, s.removed, ` + dispatchID + ` AS id
			FROM logged l
			JOIN spans s ON l.position > s.after AND l.position < s.before
			UNION ALL
			SELECT b.*
			FROM (
				SELECT l.position, l.handover_id, t.destination_id, t.removed, ` + dispatchID + ` AS id
				FROM logged l
				CROSS JOIN (SELECT DISTINCT destination_id, removed FROM spans) AS t
				WHERE NOT EXISTS (SELECT FROM spans s WHERE s.destination_id = t.destination_id AND l.position > s.after AND l.position < s.before)
			) AS b
			CROSS JOIN LATERAL (
				SELECT type, position FROM events WHERE stream = 'dispatch/' || b.id AND version = 1
			) AS e
			WHERE e.type = 'dispatch.backfilled' AND e.position <= $10
		),
		became AS (
			SELECT o.*, CASE
				WHEN e.type = 'attempt.succeeded' THEN 'delivered'
				WHEN o.removed <= $10 AND (e.position IS NULL OR e.position > o.removed) THEN 'cancelled'
				WHEN e.type = 'dispatch.failed' THEN 'failed'
				WHEN e.type = 'dispatch.cancelled' OR o.removed <= $10 THEN 'cancelled'
				WHEN e.type = 'attempt.failed' THEN 'retrying'
				ELSE 'pending'
			END AS status
			FROM owed o
			LEFT JOIN LATERAL (
				SELECT type, position FROM events
				WHERE stream = 'dispatch/' || o.id AND position <= $10
				ORDER BY version DESC LIMIT 1
			) AS e ON true
		)
		SELECT destination_id, coalesce(b.status, ''), coalesce(d.status, ''), count(*), (array_agg(handover_id ORDER BY d.position, b.position))[:$11]
		FROM became b
		FULL JOIN (
			SELECT d.destination_id, d.handover_id, d.status, d.position
			FROM dispatches d
			JOIN events e ON e.position = coalesce(d.source, d.position)
			WHERE d.delivery_id = $1 AND e.position <= $2 AND d.handover_id IS NOT NULL
				AND e.recorded_at >= coalesce($3::timestamptz, '-infinity') AND e.recorded_at < coalesce($4::timestamptz, 'infinity')
		) AS d USING (destination_id, handover_id)
		GROUP BY 1, 2, 3
		ORDER BY 1, 2, 3`
	n := len(t.spans)
	destinations, after, before, removed := make([]string, n), make([]int64, n), make([]int64, n), make([]int64, n)
	for i, s := range t.spans {
		destinations[i], after[i], before[i], removed[i] = string(s.destination), int64(s.after), int64(s.before), int64(s.removed)
	}
	rows, _ := tx.Query(ctx, query, append(r.args(h), destinations, after, before, removed, as, DifferencesMost)...) // ForEachRow reports the error
	var d Difference
	_, err := pgx.ForEachRow(rows, []any{&d.Destination, &d.Logged, &d.Shown, &d.Count, &d.HandOvers}, func() error {
		if d.Logged != "" {
			r.sum(d, t)
		}
		r.compare(d)
		return nil
	})
	return err
}

// compare notes d, if it is a difference.
func (r *Reconciliation) compare(d Difference) {
	if d.Logged != d.Shown {
		d.HandOvers = slices.Clone(d.HandOvers)
		r.Differences = append(r.Differences, d)
	}
}

// sum adds to the sums of a destination what the log says.
func (r *Reconciliation) sum(d Difference, t terms) {
	at, found := slices.BinarySearchFunc(r.Destinations, d.Destination, func(s DestinationSums, id domain.DestinationID) int {
		return cmp.Compare(s.Destination, id)
	})
	if !found {
		r.Destinations = slices.Insert(r.Destinations, at, DestinationSums{Destination: d.Destination, Counts: Counts{}})
	}
	status := domain.DispatchStatus(d.Logged)
	if (status == domain.Pending || status == domain.Retrying) && t.holds(d.Destination) {
		status = domain.Held
	}
	r.Destinations[at].Owed += d.Count
	r.Destinations[at].Counts[status] += d.Count
}
