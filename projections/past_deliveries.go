package projections

import (
	"cmp"
	"context"
	"slices"

	"github.com/openprospect/delivery-ledger/domain"
)

// Deliveries returns a page like [Views.Deliveries], as it was.
func (p *Past) Deliveries(ctx context.Context, org domain.OrganisationID, status domain.DeliveryStatus, page Page) (List[Delivery], error) {
	var list List[Delivery]
	ids, err := p.views.DeliveriesEver(ctx, org)
	if err == nil {
		err = p.load(ctx, ids...)
	}
	if err != nil {
		return list, p.failed(err, "deliveries", org)
	}
	after := domain.DeliveryID(cmp.Or(page.After, pastAll))
	for _, id := range slices.Backward(ids) {
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
