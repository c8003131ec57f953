package rest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// asOf returns the position at the moment that a request's as_of says.
func (s *Server) asOf(ctx context.Context, text string) (eventstore.Position, error) {
	var moment eventstore.Moment
	err := moment.UnmarshalText([]byte(text))
	if err != nil {
		return 0, invalid([]domain.Fault{{Field: "as_of", Error: err.Error(), Provided: said("as_of", text)}})
	}
	at, err := s.cfg.Store.AsOf(ctx, moment)
	if errors.Is(err, eventstore.ErrYetToCome) {
		return 0, invalid([]domain.Fault{{Field: "as_of", Error: err.Error(), Provided: said("as_of", text)}})
	}
	return at, err
}

// moment returns the position at the moment that a request's as_of says; nil: it says none.
func (s *Server) moment(ctx context.Context, text *string) (*eventstore.Position, error) {
	if text == nil {
		return nil, nil
	}
	at, err := s.asOf(ctx, *text)
	if err != nil {
		return nil, err
	}
	return &at, nil
}

// views are what deliveries, feeds and dispatches are read from: as they are, or as they were.
type views interface {
	Owned(ctx context.Context, org domain.OrganisationID, id domain.DeliveryID) error
	Deliveries(ctx context.Context, org domain.OrganisationID, status domain.DeliveryStatus, page projections.Page) (projections.List[projections.Delivery], error)
	Feed(ctx context.Context, org domain.OrganisationID, id string) (projections.Feed, error)
	NumberAt(ctx context.Context, feed projections.Feed, t time.Time) (int64, error)
	Companies(ctx context.Context, feed projections.Feed, page projections.FeedPage) (projections.List[projections.Company], error)
	Dispatch(ctx context.Context, id domain.DispatchID) (projections.Dispatch, error)
	DispatchesOf(ctx context.Context, filter projections.DispatchFilter, page projections.DispatchPage) (projections.List[projections.Dispatch], error)
	DispatchesIn(ctx context.Context, in projections.Sequence, skip int64, limit int) (projections.List[projections.Dispatch], error)
}

// viewsAt returns views as of a position, once the read models that they are made of show it; nil: as things are.
func (s *Server) viewsAt(ctx context.Context, at *eventstore.Position, models ...projections.Projection) (views, error) {
	if at == nil {
		return s.cfg.Views, nil
	}
	if err := s.await(ctx, "as_of", models, *at); err != nil {
		return nil, err
	}
	return projections.NewPast(s.cfg.Views, s.cfg.Store, *at), nil
}

// pastListing returns what the parameters of a list ask for, and of what, or all that is wrong with them. What is listed is made of
// what the read model of dispatches keeps.
func (s *Server) pastListing(ctx context.Context, limit *Limit, offset *Offset, cursor *Cursor, asOf *AsOf, more ...domain.Fault) (listing, views, error) {
	p, err := newListing(ctx, limit, offset, cursor)
	faults, err := faultsIn(err)
	if err != nil {
		return p, nil, err
	}
	at, err := s.moment(ctx, asOf)
	untimely, err := faultsIn(err)
	if err != nil {
		return p, nil, err
	}
	if err := invalid(slices.Concat(faults, more, untimely)); err != nil {
		return p, nil, err
	}
	views, err := s.viewsAt(ctx, at, projections.Dispatches())
	return p, views, err
}

// readDeliveryAsOf shows a delivery with its destinations as of a moment. All of that is in its stream.
func (s *Server) readDeliveryAsOf(ctx context.Context, id domain.DeliveryID, text string) (ReadDeliveryResponseObject, error) {
	at, err := s.asOf(ctx, text)
	if err != nil {
		return nil, err
	}
	records, err := s.cfg.Store.ReadStream(ctx, domain.DeliveryStream(id))
	if err != nil {
		return nil, err
	}
	past, err := deliveryAsOf(s.cfg.Store.Registry(), records, at)
	if err != nil {
		return nil, err
	}
	if !past.Exists(organisation(ctx)) {
		return nil, domain.Errorf(domain.NotFound, "DELIVERY_NOT_FOUND", "there was no delivery %s at position %d", id, at)
	}
	view := projections.DeliveryOf(past.Delivery, records[0].RecordedAt, records[past.Revision-1].RecordedAt)
	return ReadDelivery200JSONResponse{
		Body: showDetail(view, past.destinations(records)), Headers: ReadDelivery200ResponseHeaders{ETag: etag(view.Version)},
	}, nil
}

// A pastDelivery is a delivery as it was.
type pastDelivery struct {
	domain.Delivery
	added map[domain.DestinationID]time.Time
}

// deliveryAsOf returns what those of a delivery's records add up to that are up to a position.
func deliveryAsOf(registry *eventstore.Registry, records []eventstore.Record, at eventstore.Position) (pastDelivery, error) {
	past := pastDelivery{added: map[domain.DestinationID]time.Time{}}
	for _, rec := range records {
		if rec.Position > at {
			break
		}
		event, err := registry.Decode(rec)
		if err != nil {
			return past, err
		}
		if e, ok := event.(domain.DestinationAdded); ok {
			past.added[e.Destination.ID] = rec.RecordedAt
		}
		past.Delivery = past.Evolve(event.(domain.Event))
	}
	return past, nil
}

// destinations returns those of the delivery, oldest first. Records are all of its stream.
func (d pastDelivery) destinations(records []eventstore.Record) []projections.Destination {
	list := make([]projections.Destination, 0, len(d.Destinations))
	for _, id := range slices.Sorted(maps.Keys(d.Destinations)) {
		revision := d.Revisions[id]
		list = append(list, projections.Destination{
			Destination: d.Destinations[id], Delivery: d.ID, Version: eventstore.Version(revision),
			CreatedAt: d.added[id], UpdatedAt: records[revision-1].RecordedAt,
		})
	}
	return list
}
