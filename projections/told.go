package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A Told is an event that tells of a company, in the trail of its delivery.
type Told struct {
	Delivery domain.DeliveryID
	Number   int64 // among the delivery's of its type: of a company that was handed over, its number in the delivery's feed
	eventstore.Record
}

// DeliveriesEver returns all deliveries that an organisation has, or had, oldest first.
func (v *Views) DeliveriesEver(ctx context.Context, org domain.OrganisationID) ([]domain.DeliveryID, error) {
	const query = `SELECT delivery_id FROM dispatch_deliveries WHERE organisation_id = $1 ORDER BY delivery_id`
	rows, _ := v.pool.Query(ctx, query, org) // CollectRows reports the error
	deliveries, err := pgx.CollectRows(rows, pgx.RowTo[domain.DeliveryID])
	if err != nil {
		return nil, fmt.Errorf("view deliveries of %s: %w", org, err)
	}
	return deliveries, nil
}

// Tellers returns the trails by type in which an organisation's deliveries ever had events of some types: those of a delivery together, in
// the order of the types. It takes a look-up each, and not a question to the database.
func (v *Views) Tellers(ctx context.Context, org domain.OrganisationID, types []string) ([]Trail, error) {
	const query = `
		SELECT d.delivery_id, t.type
		FROM dispatch_deliveries d
		CROSS JOIN unnest($2::text[]) WITH ORDINALITY AS t(type, place)
		CROSS JOIN LATERAL (SELECT FROM history WHERE delivery_id = d.delivery_id AND type = t.type LIMIT 1) AS told
		WHERE d.organisation_id = $1
		ORDER BY d.delivery_id, t.place`
	rows, _ := v.pool.Query(ctx, query, org, types) // CollectRows reports the error
	trails, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Trail, err error) {
		err = row.Scan(&t.Delivery, &t.Type)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("view what was told under %s: %w", org, err)
	}
	return trails, nil
}

// ToldAfter returns up to limit events of a type in a delivery's trail, after the one of a number and up to a position, in order.
func (v *Views) ToldAfter(ctx context.Context, delivery domain.DeliveryID, eventType string, number int64, upTo eventstore.Position, limit int) ([]Told, error) {
	const query = `
		SELECT h.type_number, e.position, e.version, e.recorded_at, e.schema_version, e.stream, e.type, e.data
		FROM history h
		JOIN events e ON e.position = h.position
		WHERE h.delivery_id = $1 AND h.type = $2 AND h.type_number > $3 AND h.type_number <= $3 + $4 AND h.position <= $5
		ORDER BY h.type_number`
	rows, _ := v.pool.Query(ctx, query, delivery, eventType, number, limit, upTo) // CollectRows reports the error
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Told, err error) {
		err = row.Scan(&t.Number, &t.Position, &t.Version, &t.RecordedAt, &t.SchemaVersion, &t.Stream, &t.Type, (*[]byte)(&t.Data))
		t.Delivery = delivery
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("view events of %s: %w", delivery, err)
	}
	return found, nil
}

// ToldOf returns all that was told of a company under an organisation's deliveries, up to a position, in order.
func (v *Views) ToldOf(ctx context.Context, org domain.OrganisationID, company domain.CompanyID, upTo eventstore.Position) ([]Told, error) {
	deliveries, err := v.DeliveriesEver(ctx, org)
	if err != nil {
		return nil, err
	}
	ofStream := make(map[string]domain.DeliveryID, len(deliveries))
	streams := make([]string, len(deliveries))
	for i, d := range deliveries {
		streams[i] = domain.HandOverStream(d, company)
		ofStream[streams[i]] = d
	}
	records, err := v.recordsOf(ctx, streams)
	if err != nil {
		return nil, err
	}
	var told []Told
	for _, rec := range records {
		if rec.Position > upTo {
			break
		}
		t := Told{Delivery: ofStream[rec.Stream], Record: rec}
		if t.Number, err = v.trailNumber(ctx, Trail{Delivery: t.Delivery, Type: rec.Type}, rec.RecordedAt); err != nil {
			return nil, err
		}
		told = append(told, t)
	}
	return told, nil
}

// Answers returns all attempts to hand companies over, by their hand-overs' IDs.
func (v *Views) Answers(ctx context.Context, handOvers []domain.HandOverID) ([]eventstore.Record, error) {
	routes, err := v.routes(ctx, handOvers)
	if err != nil {
		return nil, err
	}
	var streams []string
	for _, list := range routes {
		for _, r := range list {
			streams = append(streams, domain.DispatchStream(r.Dispatch))
		}
	}
	return v.recordsOf(ctx, streams)
}

// recordsOf returns all records of streams, in order.
func (v *Views) recordsOf(ctx context.Context, streams []string) ([]eventstore.Record, error) {
	positions, err := eventstore.PositionsOf(ctx, v.pool, streams)
	if err != nil {
		return nil, err
	}
	return eventstore.ReadAt(ctx, v.pool, positions)
}

// HandedOverBy returns the number of the last company that a delivery had handed over at a time, 0 when there was none.
func (v *Views) HandedOverBy(ctx context.Context, delivery domain.DeliveryID, t time.Time) (int64, error) {
	return v.trailNumber(ctx, Trail{Delivery: delivery, Type: domain.CompanyQualified{}.EventType()}, t)
}
