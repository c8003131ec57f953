package projections

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A DispatchFilter says which of a delivery's dispatches are wanted.
type DispatchFilter struct {
	Delivery    domain.DeliveryID
	Status      domain.DispatchStatus // "": any
	Destination domain.DestinationID  // "": any
	After       eventstore.Position   // handed over after it
	UpTo        eventstore.Position   // handed over there or before; 0: no bound
	EndedSince  *time.Time            // of those that have ended, which alone are asked for by it, as by the next; nil: no bound
	HandOver    domain.HandOverID     // "": any
}

// DispatchPage says which part of a list of dispatches is wanted.
type DispatchPage struct {
	After  domain.DispatchID // the last one seen; "": from the newest
	Limit  int
	Offset int64
}

// shownStatus is the status of dispatch d that is shown.
const shownStatus = `CASE WHEN d.due IS NOT NULL AND (v.paused OR t.disabled) THEN 'held' ELSE d.status END`

// isHeld is the condition of a dispatch d that waits for its destination or delivery $1. It looks at
// no other table for each row, since a join would lose the order of the index.
const isHeld = `d.destination_id = ANY (ARRAY(
				SELECT t.destination_id
				FROM dispatch_targets t
				JOIN dispatch_deliveries v USING (delivery_id)
				WHERE t.delivery_id = $1 AND (v.paused OR t.disabled)
			))`

// having are the conditions of a status. They are not parameters, so that an index of few rows
// can answer for a status that few dispatches have.
var having = map[domain.DispatchStatus]string{
	"":               ``,
	domain.Pending:   ` AND d.due IS NOT NULL AND d.status = 'pending' AND NOT ` + isHeld,
	domain.Retrying:  ` AND d.due IS NOT NULL AND d.status = 'retrying' AND NOT ` + isHeld,
	domain.Held:      ` AND d.due IS NOT NULL AND ` + isHeld,
	domain.Delivered: ` AND d.status = 'delivered'`,
	domain.Failed:    ` AND d.status = 'failed'`,
	domain.Cancelled: ` AND d.status = 'cancelled'`,
}

// What is counted or skipped one by one.
const (
	mostCounted = 10_000
	mostSkipped = 1_000
)

// dispatchColumns are those of a Dispatch, from dispatchTables.
const (
	dispatchColumns = `d.id, d.sequence, d.position, coalesce(d.source, d.position) AS source, ` + shownStatus + ` AS status, d.attempts, d.due, d.settled_at, d.version,
		d.destination_id, d.delivery_id, coalesce(d.handover_id, '') AS handover_id,
		coalesce(d.event, 'delivery.company_qualified') AS event`
	dispatchTables = `
		FROM dispatches d
		JOIN dispatch_targets t USING (destination_id)
		JOIN dispatch_deliveries v ON v.delivery_id = d.delivery_id`
)

// DispatchesOf returns a page of a delivery's dispatches, those of the newest hand-overs first.
// Total counts the whole list, by what is counted anyway or by the dense numbers of each
// destination; only of a status within bounds are rows counted, up to 10,000 of them, and Least is
// set when there are more. A page costs the same wherever it lies, but for an offset with a status,
// which passes over what it skips.
func (v *Views) DispatchesOf(ctx context.Context, filter DispatchFilter, page DispatchPage) (found List[Dispatch], err error) {
	if filter.UpTo == 0 {
		filter.UpTo = math.MaxInt64
	}
	switch {
	case filter.Status != "":
		found, err = v.dispatchesHaving(ctx, filter, page)
	case filter.Destination != "":
		found, err = v.dispatchesTo(ctx, filter, page)
	default:
		found, err = v.dispatchesBetween(ctx, filter, page)
	}
	if err != nil {
		return found, fmt.Errorf("view dispatches of %s: %w", filter.Delivery, err)
	}
	return found, nil
}

// dispatchesHaving returns a page of a list by status.
func (v *Views) dispatchesHaving(ctx context.Context, filter DispatchFilter, page DispatchPage) (List[Dispatch], error) {
	found, err := v.dispatchRows(ctx, filter, page)
	if err != nil {
		return found, err
	}
	if filter.After == 0 && filter.UpTo == math.MaxInt64 {
		return found, v.pool.QueryRow(ctx, countKept, filter.Delivery, filter.Destination, filter.Status).Scan(&found.Total)
	}
	count := `SELECT count(*) FROM (SELECT FROM dispatches d` + inFilter + having[filter.Status] + ` LIMIT $5) AS counted`
	row := v.pool.QueryRow(ctx, count, filter.Delivery, filter.Destination, filter.After, filter.UpTo, mostCounted+1)
	if err := row.Scan(&found.Total); err != nil || found.Total <= mostCounted {
		return found, err
	}
	seen := page.Offset + int64(len(found.Items))
	if found.More {
		seen++
	}
	found.Total, found.Least = max(mostCounted, seen), true
	return found, nil
}

// dispatchesTo returns a page of those to one destination, whose numbers lead to it.
func (v *Views) dispatchesTo(ctx context.Context, filter DispatchFilter, page DispatchPage) (List[Dispatch], error) {
	const (
		number = `SELECT coalesce((SELECT sequence FROM dispatches WHERE id = $1), 0)`
		query  = `
			SELECT ` + dispatchColumns + dispatchTables + `
			WHERE d.delivery_id = $1 AND d.destination_id = $2 AND d.sequence > $3 AND d.sequence <= $4
			ORDER BY d.sequence DESC`
	)
	first, last, err := v.numbers(ctx, filter)
	if err != nil {
		return List[Dispatch]{}, err
	}
	found, top := List[Dispatch]{Total: last - first}, last
	if page.After != "" {
		if err := v.pool.QueryRow(ctx, number, page.After).Scan(&top); err != nil {
			return found, err
		}
		top = min(last, top-1)
	}
	top = max(first, top-page.Offset)
	bottom := max(first, top-int64(page.Limit))
	rows, _ := v.pool.Query(ctx, query, filter.Delivery, filter.Destination, bottom, top) // CollectRows reports the error
	found.More = bottom > first
	found.Items, err = pgx.CollectRows(rows, pgx.RowToStructByName[Dispatch])
	return found, err
}

// dispatchesBetween returns a page of those to all destinations.
func (v *Views) dispatchesBetween(ctx context.Context, filter DispatchFilter, page DispatchPage) (List[Dispatch], error) {
	first, last, err := v.numbers(ctx, filter)
	if err != nil || page.Offset >= last-first {
		return List[Dispatch]{Total: last - first}, err
	}
	if page.Offset > mostSkipped && page.After == "" {
		if filter.UpTo, page.Offset, err = v.place(ctx, filter, last-page.Offset); err != nil {
			return List[Dispatch]{}, err
		}
	}
	found, err := v.dispatchRows(ctx, filter, page)
	found.Total = last - first
	return found, err
}

// inFilter are the conditions of a filter but for its status. Its parameters are the first four.
const inFilter = `
	WHERE d.delivery_id = $1 AND ($2 = '' OR d.destination_id = $2) AND d.position > $3 AND d.position <= $4`

// dispatchRows returns a page of a list without its total, read by position. The index of positions
// is in the order that is asked for but within one position, which has a row for each destination:
// were the order of these asked for too, a plan for any parameters would sort all that there is.
func (v *Views) dispatchRows(ctx context.Context, filter DispatchFilter, page DispatchPage) (found List[Dispatch], err error) {
	query := `
		SELECT ` + dispatchColumns + `
		FROM (
			SELECT d.*
			FROM dispatches d` + inFilter + having[filter.Status] + `
				AND (d.position, d.id) < (
					coalesce((SELECT l.position FROM dispatches l WHERE l.id = $5), CASE WHEN $5 = '' THEN 9223372036854775807 ELSE 0 END), $5
				)
			ORDER BY d.position DESC
			FETCH FIRST ($6::bigint + $7::bigint) ROWS WITH TIES
		) AS d
		JOIN dispatch_targets t USING (destination_id)
		JOIN dispatch_deliveries v ON v.delivery_id = d.delivery_id
		ORDER BY d.position DESC, d.id DESC
		LIMIT $6 OFFSET $7`
	rows, _ := v.pool.Query(ctx, query, filter.Delivery, filter.Destination, filter.After, filter.UpTo, page.After, page.Limit+1, page.Offset)
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[Dispatch])
	if err != nil {
		return found, err
	}
	found.More = len(items) > page.Limit
	found.Items = items[:min(len(items), page.Limit)]
	return found, nil
}

// numbers returns how many dispatches lie before the bounds of a filter without a status, and up to
// their end.
func (v *Views) numbers(ctx context.Context, filter DispatchFilter) (first, last int64, err error) {
	if filter.After > 0 {
		if first, err = v.numberAt(ctx, filter, filter.After); err != nil {
			return 0, 0, err
		}
	}
	last, err = v.numberAt(ctx, filter, filter.UpTo)
	return first, max(first, last), err
}

// numberAt returns how many dispatches, to all destinations or to that of a filter, are of
// hand-overs at a position or before. It halves the numbers of each destination until it is found:
// they are dense, and positions rise with them.
func (v *Views) numberAt(ctx context.Context, filter DispatchFilter, at eventstore.Position) (n int64, err error) {
	const query = `
		WITH RECURSIVE search AS (
			SELECT t.destination_id, CASE WHEN $3::bigint = 9223372036854775807 THEN t.last_sequence ELSE 0 END AS low, t.last_sequence AS high
			FROM dispatch_targets t
			WHERE t.delivery_id = $1 AND ($2 = '' OR t.destination_id = $2)
			UNION ALL
			SELECT destination_id, CASE WHEN before THEN middle ELSE low END, CASE WHEN before THEN high ELSE middle - 1 END
			FROM (
				SELECT s.*, (s.low + s.high + 1) / 2 AS middle, (
						SELECT d.position <= $3
						FROM dispatches d
						WHERE d.delivery_id = $1 AND d.destination_id = s.destination_id AND d.sequence = (s.low + s.high + 1) / 2
					) AS before
				FROM search s
				WHERE s.low < s.high
				OFFSET 0 -- or each would be looked up twice
			) AS probe
		)
		SELECT coalesce(sum(low), 0)::bigint FROM search WHERE low = high`
	err = v.pool.QueryRow(ctx, query, filter.Delivery, filter.Destination, at).Scan(&n)
	return n, err
}

// place returns the position of the dispatch with a number among all within a filter's upper bound,
// and how many newer ones share it, one for each other destination. What lies at a position never
// changes, so that numbers may be asked for one after the other.
func (v *Views) place(ctx context.Context, filter DispatchFilter, number int64) (at eventstore.Position, skip int64, err error) {
	const newest = `SELECT coalesce(max(position), 0) FROM dispatches WHERE delivery_id = $1 AND position <= $2`
	low, high := filter.After, filter.UpTo
	if err := v.pool.QueryRow(ctx, newest, filter.Delivery, filter.UpTo).Scan(&high); err != nil {
		return 0, 0, err
	}
	for low < high {
		middle := low + (high-low)/2
		n, err := v.numberAt(ctx, filter, middle)
		if err != nil {
			return 0, 0, err
		}
		if n >= number {
			high = middle
		} else {
			low = middle + 1
		}
	}
	n, err := v.numberAt(ctx, filter, low)
	return low, n - number, err
}

// countKept adds up what the targets count.
const countKept = `
	SELECT coalesce(sum(CASE $3
		WHEN '' THEN t.last_sequence
		WHEN 'pending' THEN CASE WHEN held THEN 0 ELSE t.pending END
		WHEN 'retrying' THEN CASE WHEN held THEN 0 ELSE t.retrying END
		WHEN 'held' THEN CASE WHEN held THEN t.pending + t.retrying ELSE 0 END
		WHEN 'delivered' THEN t.delivered
		WHEN 'failed' THEN t.failed
		WHEN 'cancelled' THEN t.cancelled
	END), 0)::bigint
	FROM dispatch_targets t
	JOIN dispatch_deliveries v USING (delivery_id)
	CROSS JOIN LATERAL (SELECT v.paused OR t.disabled AS held) AS h
	WHERE t.delivery_id = $1 AND ($2 = '' OR t.destination_id = $2)`
