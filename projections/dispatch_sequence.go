package projections

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
)

// A Sequence is a stretch of a destination's dispatches, by the numbers that its receiver sees.
type Sequence struct {
	Delivery    domain.DeliveryID
	Destination domain.DestinationID
	After       int64
	Until       int64 // the last one; 0: to the end
}

// DispatchesIn returns the dispatches of a sequence that follow the first skip ones, limit at most, in
// order. Total counts the whole sequence. Numbers have no gap, so a page is a stretch of the index
// however far in it lies.
func (v *Views) DispatchesIn(ctx context.Context, in Sequence, skip int64, limit int) (List[Dispatch], error) {
	const (
		last  = `SELECT last_sequence FROM dispatch_targets WHERE destination_id = $2 AND delivery_id = $1`
		query = `
			SELECT ` + dispatchColumns + dispatchTables + `
			WHERE d.delivery_id = $1 AND d.destination_id = $2 AND d.sequence > $3 AND d.sequence <= $4
			ORDER BY d.sequence`
	)
	var list List[Dispatch]
	var end int64
	if err := v.pool.QueryRow(ctx, last, in.Delivery, in.Destination).Scan(&end); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return list, fmt.Errorf("view last dispatch to %s: %w", in.Destination, err)
	}
	if in.Until > 0 {
		end = min(end, in.Until)
	}
	list.Total, skip = max(0, end-in.After), max(0, skip)
	if skip >= list.Total {
		return list, nil
	}
	first := in.After + skip
	end = min(end, first+min(int64(limit), math.MaxInt64-first))
	rows, _ := v.pool.Query(ctx, query, in.Delivery, in.Destination, first, end) // CollectRows reports the error
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[Dispatch])
	if err != nil {
		return list, fmt.Errorf("view dispatches to %s: %w", in.Destination, err)
	}
	list.Items, list.More = items, end < in.After+list.Total
	return list, nil
}
