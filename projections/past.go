package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A Past shows the deliveries, feeds and dispatches as they were when a position of the log was its last. What it shows of a
// position never changes. It is for one reader, and for one answer.
//
// Rows of read models are only asked which hand-overs and dispatches there were, which no later event changes. What had
// become of them follows from the streams of these dispatches and of their delivery, up to the position, by the
// domain's own rules. So an answer costs what its page holds, and not what the log does; but for a list of deliveries, which costs
// what was configured of all that the organisation ever had.
type Past struct {
	views      *Views
	store      *eventstore.Store
	at         eventstore.Position
	deliveries map[domain.DeliveryID]pastDelivery // that were read
	bounds     searchBounds
}

// NewPast returns the past as of a position, which the read models of companies and dispatches must show. Store is that
// of the log.
func NewPast(views *Views, store *eventstore.Store, at eventstore.Position) *Past {
	return &Past{views: views, store: store, at: at, deliveries: map[domain.DeliveryID]pastDelivery{}, bounds: defaultSearchBounds}
}

// A pastDelivery is a delivery as it was, and when what it had was removed.
type pastDelivery struct {
	domain.Delivery
	created time.Time
	updated time.Time
	deleted *eventstore.Record                          // nil: it was not
	removed map[domain.DestinationID]*eventstore.Record // destinations
}

// removal returns the record by which a destination was removed, by itself or with its delivery; nil when it was not.
func (d pastDelivery) removal(id domain.DestinationID) *eventstore.Record {
	if rec := d.removed[id]; rec != nil {
		return rec
	}
	return d.deleted
}

// holds reports whether what was owed to a destination waited for somebody to let it go.
func (d pastDelivery) holds(id domain.DestinationID) bool {
	return d.Status == domain.Paused || d.Destinations[id].DisabledReason != ""
}

// load reads deliveries.
func (p *Past) load(ctx context.Context, ids ...domain.DeliveryID) error {
	var streams []string
	for _, id := range ids {
		if _, known := p.deliveries[id]; !known {
			p.deliveries[id] = pastDelivery{}
			streams = append(streams, domain.DeliveryStream(id))
		}
	}
	if len(streams) == 0 {
		return nil
	}
	found, err := p.store.ReadStreamsAsOf(ctx, p.at, streams)
	if err != nil {
		return err
	}
	for _, records := range found {
		d := pastDelivery{removed: map[domain.DestinationID]*eventstore.Record{}}
		for i := range records {
			event, err := p.store.Registry().Decode(records[i])
			if err != nil {
				return err
			}
			switch e := event.(type) {
			case domain.DeliveryDeleted:
				d.deleted = &records[i]
			case domain.DestinationRemoved:
				d.removed[e.Destination] = &records[i]
			}
			d.Delivery = d.Evolve(event.(domain.Event))
		}
		if d.ID != "" {
			d.created, d.updated = records[0].RecordedAt, records[d.Revision-1].RecordedAt
			p.deliveries[d.ID] = d
		}
	}
	return nil
}

// Owned fails with a NotFound error unless a delivery was org's by then, or had been before its deletion.
func (p *Past) Owned(ctx context.Context, org domain.OrganisationID, id domain.DeliveryID) error {
	if err := p.load(ctx, id); err != nil {
		return err
	}
	if d := p.deliveries[id]; d.ID == "" || d.Organisation != org {
		return domain.Errorf(domain.NotFound, "DELIVERY_NOT_FOUND", "there was no delivery %s at position %d", id, p.at)
	}
	return nil
}

// time returns when the position was recorded; the zero time before all.
func (p *Past) time(ctx context.Context) (time.Time, error) {
	records, err := eventstore.ReadPage(ctx, p.views.pool, p.at, p.at)
	if err != nil || len(records) == 0 {
		return time.Time{}, err
	}
	return records[0].RecordedAt, nil
}

// failed returns err, with what was looked at.
func (p *Past) failed(err error, what string, id any) error {
	if err == nil || domain.KindOf(err) == domain.NotFound {
		return err
	}
	return fmt.Errorf("view %s of %s as of position %d: %w", what, id, p.at, err)
}
