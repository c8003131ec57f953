package projections

import (
	"context"
	"fmt"
	"math"

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
}

// DispatchPage says which part of a list of dispatches is wanted.
type DispatchPage struct {
	After  domain.DispatchID // the last one seen; "": from the newest
	Limit  int
	Offset int64
}

// shownStatus is the status of dispatch d that is shown.
const shownStatus = `CASE WHEN d.due IS NOT NULL AND (v.paused OR t.disabled) THEN 'held' ELSE d.status END`

// having are the conditions of a status. They are not parameters, so that an index of few rows
// can answer for a status that few dispatches have.
var having = map[domain.DispatchStatus]string{
	"":               ``,
	domain.Pending:   ` AND d.due IS NOT NULL AND ` + shownStatus + ` = 'pending'`,
	domain.Retrying:  ` AND d.due IS NOT NULL AND ` + shownStatus + ` = 'retrying'`,
	domain.Held:      ` AND d.due IS NOT NULL AND ` + shownStatus + ` = 'held'`,
	domain.Delivered: ` AND d.status = 'delivered'`,
	domain.Failed:    ` AND d.status = 'failed'`,
	domain.Cancelled: ` AND d.status = 'cancelled'`,
}

// DispatchesOf returns a page of a delivery's dispatches, those of the newest hand-overs first.
// Total counts the whole list: by what is counted anyway, unless positions bound it.
func (v *Views) DispatchesOf(ctx context.Context, filter DispatchFilter, page DispatchPage) (List[Dispatch], error) {
	var (
		list = `
			FROM dispatches d
			JOIN dispatch_targets t USING (destination_id)
			JOIN dispatch_deliveries v ON v.delivery_id = d.delivery_id
			WHERE d.delivery_id = $1 AND ($2 = '' OR d.destination_id = $2) AND d.position > $3 AND d.position <= $4` + having[filter.Status]
		query = `
			SELECT d.id, d.sequence, d.position, ` + shownStatus + ` AS status, d.attempts, d.due, d.settled_at, d.version,
				d.destination_id, d.delivery_id, d.handover_id` + list + `
				AND ($5 = '' OR (d.position, d.id) < (SELECT l.position, l.id FROM dispatches l WHERE l.id = $5))
			ORDER BY d.position DESC, d.id DESC
			LIMIT $6 OFFSET $7`
		count = `SELECT count(*)` + list
	)
	upTo := filter.UpTo
	if upTo == 0 {
		upTo = math.MaxInt64
	}
	var found List[Dispatch]
	var batch pgx.Batch
	if filter.After == 0 && filter.UpTo == 0 {
		batch.Queue(countKept, filter.Delivery, filter.Destination, filter.Status).QueryRow(func(row pgx.Row) error { return row.Scan(&found.Total) })
	} else {
		batch.Queue(count, filter.Delivery, filter.Destination, filter.After, upTo).QueryRow(func(row pgx.Row) error { return row.Scan(&found.Total) })
	}
	batch.Queue(query, filter.Delivery, filter.Destination, filter.After, upTo, page.After, page.Limit, page.Offset).Query(func(rows pgx.Rows) (err error) {
		found.Items, err = pgx.CollectRows(rows, pgx.RowToStructByName[Dispatch])
		return err
	})
	if err := v.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return found, fmt.Errorf("view dispatches of %s: %w", filter.Delivery, err)
	}
	return found, nil
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
