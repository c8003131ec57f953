package projections

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
)

// Deliveries returns a page like [Views.Deliveries], as it was.
func (p *Past) Deliveries(ctx context.Context, org domain.OrganisationID, status domain.DeliveryStatus, page Page) (List[Delivery], error) {
	const query = `SELECT delivery_id FROM dispatch_deliveries WHERE organisation_id = $1 ORDER BY delivery_id DESC`
	var list List[Delivery]
	rows, _ := p.views.pool.Query(ctx, query, org) // CollectRows reports the error
	ids, err := pgx.CollectRows(rows, pgx.RowTo[domain.DeliveryID])
	if err == nil {
		err = p.load(ctx, ids...)
	}
	if err != nil {
		return list, p.failed(err, "deliveries", org)
	}
	after := domain.DeliveryID(cmp.Or(page.After, pastAll))
	for _, id := range ids {
		d := p.deliveries[id]
		if !d.Exists(org) || status != "" && d.Status != status {
			continue
		}
		list.Total++
		switch {
		case id >= after:
		case page.Offset > 0:
			page.Offset--
		case len(list.Items) < page.Limit:
			list.Items = append(list.Items, DeliveryOf(d.Delivery, d.created, d.updated))
		default:
			list.More = true
		}
	}
	return list, nil
}
