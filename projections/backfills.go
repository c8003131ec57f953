package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// backfills are dispatches of hand-overs that their destinations were not owed before, turned on their side. They are
// owed from where that was recorded, and due at once, in the lane of what is replayed: numbers of a destination rise
// with positions as ever. A dispatch that is owed already stays as it is.
type backfills struct {
	positions, sources, versions []int64
	due                          []time.Time
	ids, handOvers, destinations []string
}

// add adds one to the run.
func (b *backfills) add(entry Entry, e domain.DispatchBackfilled) {
	b.positions = append(b.positions, int64(entry.Position))
	b.sources = append(b.sources, e.Position)
	b.versions = append(b.versions, int64(entry.Version))
	b.due = append(b.due, entry.RecordedAt)
	b.ids = append(b.ids, string(e.Dispatch))
	b.handOvers = append(b.handOvers, string(e.HandOver))
	b.destinations = append(b.destinations, string(e.Destination))
}

// flush queues the dispatches of the run, and begins another. What is owed already needs to know of its stream's version alone.
func (b *backfills) flush(batch *pgx.Batch) {
	const query = `
		WITH run AS MATERIALIZED (
			SELECT *
			FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::text[], $6::text[], $7::text[])
				AS b(position, source, version, due, id, handover_id, destination_id)
		),
		known AS (
			UPDATE dispatches d SET version = greatest(d.version, b.version)
			FROM run b
			WHERE d.id = b.id
			RETURNING d.id
		),
		owed AS (
			SELECT b.*, t.delivery_id, t.ordered, t.last_sequence + row_number() OVER (PARTITION BY destination_id ORDER BY b.position) AS sequence
			FROM run b
			JOIN dispatch_targets t USING (destination_id)
			WHERE NOT t.removed AND b.id NOT IN (SELECT id FROM known)
		),
		inserted AS (
			INSERT INTO dispatches (id, sequence, position, source, version, due, replayed, ordered, destination_id, delivery_id, handover_id)
			SELECT id, sequence, position, source, version, due, true, ordered, destination_id, delivery_id, handover_id
			FROM owed
			ORDER BY position
		)
		UPDATE dispatch_targets t
		SET last_sequence = t.last_sequence + o.count, pending = t.pending + o.count
		FROM (SELECT destination_id, count(*) FROM owed GROUP BY destination_id) AS o
		WHERE t.destination_id = o.destination_id`
	if len(b.ids) > 0 {
		batch.Queue(query, b.positions, b.sources, b.versions, b.due, b.ids, b.handOvers, b.destinations)
	}
	*b = backfills{}
}

// A Backfill says which hand-overs of a delivery are wanted that a destination is not owed.
type Backfill struct {
	Delivery    domain.DeliveryID
	Destination domain.DestinationID
	After, UpTo eventstore.Position // handed over after the one, and at the other or before
}

// An Unowed is a hand-over that a destination is not owed.
type Unowed struct {
	Dispatch domain.DispatchID   `db:"id"` // that it would be
	HandOver domain.HandOverID   `db:"handover_id"`
	Position eventstore.Position `db:"position"`
}

// mostLooked is how many hand-overs are looked at in one go.
const mostLooked = 5_000

// UnowedAfter returns up to limit hand-overs after a position that a destination is not owed, the oldest first, and the position
// up to which there are no more: 0 when there are none after that. It looks at 5,000 hand-overs at most.
func (v *Views) UnowedAfter(ctx context.Context, b Backfill, after eventstore.Position, limit int) (found []Unowed, seen eventstore.Position, err error) {
	const (
		end = `
			SELECT coalesce(max(position), 0)
			FROM companies
			WHERE delivery_id = $1 AND delivery_number > $2 AND delivery_number <= $2 + $3 AND position <= $4`
		query = `
			SELECT c.position, c.handover_id, c.id
			FROM (
				SELECT position, handover_id, ` + dispatchID + ` AS id
				FROM companies
				CROSS JOIN (SELECT $5::text AS destination_id) AS t
				WHERE delivery_id = $1 AND delivery_number > $2 AND delivery_number <= $2 + $3 AND position <= $4
			) AS c
			WHERE (SELECT count(*) FROM dispatches d WHERE d.id = c.id) = 0 -- not EXISTS, which may be planned as a scan of the whole table
			ORDER BY c.position
			LIMIT $6`
	)
	feed := Feed{Delivery: b.Delivery}
	first, err := v.lastNumber(ctx, feed, `c.position`, max(after, b.After))
	if err == nil {
		err = v.pool.QueryRow(ctx, end, b.Delivery, first, mostLooked, b.UpTo).Scan(&seen)
	}
	if err == nil && seen > 0 {
		rows, _ := v.pool.Query(ctx, query, b.Delivery, first, mostLooked, b.UpTo, b.Destination, limit) // CollectRows reports the error
		found, err = pgx.CollectRows(rows, pgx.RowToStructByName[Unowed])
	}
	if err != nil {
		return nil, 0, fmt.Errorf("view what %s is not owed: %w", b.Destination, err)
	}
	if len(found) == limit {
		seen = found[limit-1].Position
	}
	return found, seen, nil
}

// CountUnowed returns how many hand-overs a destination is not owed. Those handed over are told by their numbers; of those
// owed each costs an entry of an index.
func (v *Views) CountUnowed(ctx context.Context, b Backfill) (int64, error) {
	const query = `
		SELECT
			(
				SELECT count(*) FROM dispatches
				WHERE delivery_id = $1 AND destination_id = $2 AND position > $3 AND position <= $4 AND source IS NULL AND handover_id IS NOT NULL
			) + (
				SELECT count(*) FROM dispatches
				WHERE destination_id = $2 AND source > $3 AND source <= $4
			)`
	feed := Feed{Delivery: b.Delivery}
	first, err := v.lastNumber(ctx, feed, `c.position`, b.After)
	if err != nil {
		return 0, fmt.Errorf("count what %s is not owed: %w", b.Destination, err)
	}
	last, err := v.lastNumber(ctx, feed, `c.position`, b.UpTo)
	if err != nil {
		return 0, fmt.Errorf("count what %s is not owed: %w", b.Destination, err)
	}
	var owed int64
	if err := v.pool.QueryRow(ctx, query, b.Delivery, b.Destination, b.After, b.UpTo).Scan(&owed); err != nil {
		return 0, fmt.Errorf("count what %s is not owed: %w", b.Destination, err)
	}
	return max(0, last-first-owed), nil
}
