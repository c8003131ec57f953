package projections

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// Disqualifications are those of one delivery that were recorded in a span of time, up to a position.
// They are read from the history, which numbers them, and from the log.
type Disqualifications struct {
	Delivery domain.DeliveryID
	Filter   domain.RequalificationFilter
	UpTo     eventstore.Position
}

// trail returns the part of the delivery's trail that they are.
func (d Disqualifications) trail() Trail {
	return Trail{Delivery: d.Delivery, Type: domain.CompanyDisqualified{}.EventType(), Since: d.Filter.Since, Until: d.Filter.Until}
}

// CountDisqualifications returns how many there are, whatever the position, by a few look-ups.
func (v *Views) CountDisqualifications(ctx context.Context, d Disqualifications) (int64, error) {
	first, last, err := v.span(ctx, d.trail())
	return last - first, err
}

// A Disqualified is a disqualification of a company.
type Disqualified struct {
	Number   int64               `db:"number"` // among the delivery's
	Position eventstore.Position `db:"position"`
	Stream   string              `db:"stream"` // of the company's hand-over
	Last     bool                `db:"last"`   // nothing came after it in that stream, up to the position
}

// DisqualifiedAfter returns up to limit disqualifications after the one of that number, in order. It
// costs each a look-up, wherever they lie. The history must show all up to the position.
func (v *Views) DisqualifiedAfter(ctx context.Context, d Disqualifications, number int64, limit int) ([]Disqualified, error) {
	const query = `
		SELECT h.type_number AS number, e.position, e.stream, NOT EXISTS (
				SELECT FROM events l
				WHERE l.stream = e.stream AND l.version > e.version AND l.position <= $5
			) AS last
		FROM history h
		JOIN events e ON e.position = h.position
		WHERE h.delivery_id = $1 AND h.type = $2 AND h.type_number > $3 AND h.type_number <= $4 AND h.position <= $5
		ORDER BY h.type_number`
	trail := d.trail()
	first, last, err := v.span(ctx, trail)
	if err != nil {
		return nil, err
	}
	first = max(first, number)
	last = min(last, first+int64(limit))
	rows, _ := v.pool.Query(ctx, query, d.Delivery, trail.Type, first, last, d.UpTo) // CollectRows reports the error
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[Disqualified])
	if err != nil {
		return nil, fmt.Errorf("view disqualifications of %s: %w", d.Delivery, err)
	}
	return found, nil
}
