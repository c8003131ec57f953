package rest

import (
	"cmp"
	"context"
	"math"
	"time"

	"github.com/oapi-codegen/runtime"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// ListDeliveries shows a page of the caller's deliveries.
func (s *Server) ListDeliveries(ctx context.Context, r ListDeliveriesRequestObject) (ListDeliveriesResponseObject, error) {
	p, views, err := s.pastListing(ctx, r.Params.Limit, r.Params.Offset, r.Params.Cursor, r.Params.AsOf)
	if err != nil {
		return nil, err
	}
	status := domain.DeliveryStatus(value(r.Params.Status))
	list, err := views.Deliveries(ctx, organisation(ctx), status, p.Page)
	if err != nil {
		return nil, err
	}
	items := make([]Delivery, len(list.Items))
	for i, d := range list.Items {
		items[i] = showDelivery(d)
	}
	cursor, link := p.next(list.More, lastKey(list, func(d projections.Delivery) string { return string(d.ID) }))
	return ListDeliveries200JSONResponse{
		Body: DeliveryPage{
			Items: items, Total: list.Total, Limit: p.Limit, Offset: p.Offset, HasMore: list.More, NextCursor: cursor,
		},
		Headers: ListDeliveries200ResponseHeaders{Link: link},
	}, nil
}

// CreateDelivery opens a delivery.
func (s *Server) CreateDelivery(ctx context.Context, r CreateDeliveryRequestObject) (CreateDeliveryResponseObject, error) {
	cmd := createDelivery(seed(ctx), organisation(ctx), *r.Body)
	o, err := s.execute(ctx, cmd)
	if err != nil {
		return nil, err
	}
	d, err := s.delivery(ctx, o, true)
	if err != nil {
		return nil, err
	}
	return CreateDelivery201JSONResponse{Body: showDelivery(d), Headers: CreateDelivery201ResponseHeaders{
		ETag: etag(d.Version), Location: deliveryPath(string(d.ID)), LedgerPosition: position(o.Commit),
	}}, nil
}

// createDelivery returns the command that a body asks for.
func createDelivery(seed *domain.Seed, org domain.OrganisationID, b NewDelivery) domain.CreateDelivery {
	cmd := domain.CreateDelivery{
		ID: seed.DeliveryID(), Organisation: org, Name: b.Name,
		Status: domain.DeliveryStatus(value(b.Status)), Schedule: domain.Schedule(value(b.Schedule)),
		Timezone: domain.Timezone(value(b.Timezone)), Rules: readRules(b.Rules), Threshold: b.Threshold,
	}
	if b.ProspectSearchID != nil {
		cmd.Search = domain.SearchID(*b.ProspectSearchID)
	} else {
		cmd.Search = seed.SearchID()
	}
	return cmd
}

// ReadDelivery shows a delivery with its destinations and counts.
func (s *Server) ReadDelivery(ctx context.Context, r ReadDeliveryRequestObject) (ReadDeliveryResponseObject, error) {
	id := domain.DeliveryID(r.DeliveryID)
	if r.Params.AsOf != nil {
		return s.readDeliveryAsOf(ctx, id, *r.Params.AsOf)
	}
	d, err := s.cfg.Views.Delivery(ctx, organisation(ctx), id)
	if err != nil {
		return nil, err
	}
	list, err := s.cfg.Views.Destinations(ctx, id, projections.Page{Limit: math.MaxInt32})
	if err != nil {
		return nil, err
	}
	n, err := s.cfg.Views.Counts(ctx, id)
	if err != nil {
		return nil, err
	}
	shown, counts := showDetail(d, list.Items), showCounts(n)
	shown.Counts = &counts
	return ReadDelivery200JSONResponse{Body: shown, Headers: ReadDelivery200ResponseHeaders{ETag: detailETag(d.Version, n)}}, nil
}

// showDetail returns a delivery with its destinations as the API shows it, but for the counts.
func showDetail(d projections.Delivery, list []projections.Destination) DeliveryDetail {
	destinations := make([]Destination, len(list))
	for i, dst := range list {
		destinations[i] = showDestination(dst)
	}
	return DeliveryDetail{
		ID: string(d.ID), Name: d.Name, Status: DeliveryStatus(d.Status), Schedule: Schedule(d.Schedule), Timezone: showTimezone(d.Timezone),
		ProspectSearchID: string(d.Search), Rules: showRules(d.Rules), Threshold: d.Threshold, ProfileVersion: d.Profile,
		CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(), Destinations: destinations,
	}
}

// UpdateDelivery changes a delivery. A field that is absent keeps its value.
func (s *Server) UpdateDelivery(ctx context.Context, r UpdateDeliveryRequestObject) (UpdateDeliveryResponseObject, error) {
	cmd := updateDelivery(domain.DeliveryID(r.DeliveryID), organisation(ctx), *r.Body)
	o, err := s.execute(ctx, ifMatch(ctx, cmd, ""))
	if err != nil {
		return nil, err
	}
	d, err := s.delivery(ctx, o, false)
	if err != nil {
		return nil, err
	}
	return UpdateDelivery200JSONResponse{Body: showDelivery(d), Headers: UpdateDelivery200ResponseHeaders{
		ETag: etag(d.Version), LedgerPosition: position(o.Commit),
	}}, nil
}

// updateDelivery returns the command that a body asks for.
func updateDelivery(id domain.DeliveryID, org domain.OrganisationID, b DeliveryChange) domain.UpdateDelivery {
	return domain.UpdateDelivery{
		ID: id, Organisation: org, Name: b.Name, Status: (*domain.DeliveryStatus)(b.Status),
		Schedule: (*domain.Schedule)(b.Schedule), Timezone: (*domain.Timezone)(b.Timezone), Search: (*domain.SearchID)(b.ProspectSearchID),
		Rules: readRules(b.Rules), Threshold: b.Threshold,
	}
}

// DeleteDelivery ends a delivery.
func (s *Server) DeleteDelivery(ctx context.Context, r DeleteDeliveryRequestObject) (DeleteDeliveryResponseObject, error) {
	cmd := domain.DeleteDelivery{ID: domain.DeliveryID(r.DeliveryID), Organisation: organisation(ctx)}
	o, err := s.execute(ctx, ifMatch(ctx, cmd, ""))
	if err != nil {
		return nil, err
	}
	s.settle(ctx, o.Commit)
	return DeleteDelivery204Response{Headers: DeletedResponseHeaders{LedgerPosition: position(o.Commit)}}, nil
}

// An outcome is what came of a command about a delivery.
type outcome = eventstore.Outcome[domain.Delivery]

// execute executes a command about a delivery.
func (s *Server) execute(ctx context.Context, cmd eventstore.Command[domain.Delivery, domain.Event]) (outcome, error) {
	o, err := eventstore.Execute(ctx, s.cfg.Store, cmd)
	s.deliveries.Forget(cmd.Stream())
	return o, err
}

// settling bounds how long a write waits until it can be read, by half of the server's patience.
func (s *Server) settling(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.cfg.Patience/2)
}

// settle waits until the read model shows what was committed, for a while: what is done is
// done, and the answer must say so.
func (s *Server) settle(ctx context.Context, c eventstore.Commit) {
	s.settleOn(ctx, projections.Deliveries(), c)
}

// settleOn is like settle, of another read model.
func (s *Server) settleOn(ctx context.Context, p projections.Projection, c eventstore.Commit) {
	ctx, cancel := s.settling(ctx)
	defer cancel()
	_ = s.cfg.Store.Await(ctx, p.Name, c.Position) // the answer is right without it
}

// delivery returns a delivery as the read model shows it after o. Where that is late, what it
// would show is taken from o; of a delivery that was just created, also when it cannot be
// asked, since a caller who is told of an error would create another one.
func (s *Server) delivery(ctx context.Context, o outcome, created bool) (projections.Delivery, error) {
	s.settle(ctx, o.Commit)
	d, err := s.cfg.Views.Delivery(ctx, o.State.Organisation, o.State.ID)
	switch {
	case err == nil && d.Version >= o.Version:
		return d, nil
	case err != nil && !created && domain.KindOf(err) != domain.NotFound:
		return d, err
	case err != nil:
		d.CreatedAt = o.Commit.RecordedAt
	}
	return projections.DeliveryOf(o.State, d.CreatedAt, o.Commit.RecordedAt), nil
}

// showDelivery returns a delivery as the API shows it.
func showDelivery(d projections.Delivery) Delivery {
	return Delivery{
		ID: string(d.ID), Name: d.Name, Status: DeliveryStatus(d.Status), Schedule: Schedule(d.Schedule), Timezone: showTimezone(d.Timezone),
		ProspectSearchID: string(d.Search), Rules: showRules(d.Rules), Threshold: d.Threshold, ProfileVersion: d.Profile,
		CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(),
	}
}

// showTimezone returns a time zone as the API shows it.
func showTimezone(z domain.Timezone) Timezone { return Timezone(cmp.Or(z, "UTC")) }

// position returns what Ledger-Position says of a commit: nothing when there was none.
func position(c eventstore.Commit) *int64 { return optional(int64(c.Position)) }

// checks are what is to be said of a body beyond its schema and before anything is read or
// written, by operation. They get the body less what the schema refuses.
func (s *Server) checks() map[string]func(object map[string]any) error {
	return map[string]func(map[string]any) error{
		"createDelivery": func(object map[string]any) error {
			var b NewDelivery
			if err := runtime.BindJSONValue(object, &b); err != nil {
				return err
			}
			_, err := createDelivery(nil, "", b).Decide(domain.Delivery{}, time.Time{})
			return err
		},
		"updateDelivery": func(object map[string]any) error {
			var b DeliveryChange
			if err := runtime.BindJSONValue(object, &b); err != nil {
				return err
			}
			any := domain.Delivery{ID: "any", Name: "any", Status: domain.Active, Schedule: domain.Immediate, Search: "any"}
			_, err := updateDelivery(any.ID, any.Organisation, b).Decide(any, time.Time{})
			return err
		},
		"createKey": checkNewKey,
		"updateKey": checkKeyChange,
		"createDestination": func(object map[string]any) error {
			var b NewDestination
			if err := runtime.BindJSONValue(object, &b); err != nil {
				return err
			}
			_, err := s.createDestination(nil, "", "", b)
			return err
		},
	}
}
