package projections

import (
	"context"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A pastDispatch is what the events of a dispatch, and the removal of its destination, added up to.
type pastDispatch struct {
	domain.Dispatch
	version   eventstore.Version
	due       *time.Time // nil: nothing was owed
	settledAt *time.Time
}

// apply enters an event of the dispatch.
func (d *pastDispatch) apply(rec eventstore.Record, event domain.Event) {
	before := d.Dispatch
	d.Dispatch, d.version = before.Evolve(event), rec.Version
	switch e := event.(type) {
	case domain.AttemptFailed:
		d.due = e.Due
	case domain.DispatchRetried:
		d.due = new(rec.RecordedAt)
	}
	d.settle(before, rec.RecordedAt)
}

// settle enters when the dispatch came to its end, if it was that.
func (d *pastDispatch) settle(before domain.Dispatch, at time.Time) {
	switch {
	case !d.Settled():
		d.settledAt = nil
	case d.Status != before.Status:
		d.due, d.settledAt = nil, new(at)
	default:
		d.due = nil
	}
}

// fold returns what was so of dispatches, whose deliveries are read. Each was owed since a time.
func (p *Past) fold(ctx context.Context, dispatches []Dispatch, owed map[domain.DispatchID]time.Time) ([]pastDispatch, error) {
	streams := make([]string, len(dispatches))
	for i, d := range dispatches {
		streams[i] = domain.DispatchStream(d.ID)
	}
	found, err := p.store.ReadStreamsAsOf(ctx, p.at, streams)
	if err != nil {
		return nil, err
	}
	folded := make([]pastDispatch, len(dispatches))
	for i, d := range dispatches {
		was := pastDispatch{due: new(owed[d.ID])}
		removal := p.deliveries[d.Delivery].removal(d.Destination)
		abandon := func() {
			before := was.Dispatch
			was.Dispatch = before.Abandoned()
			was.settle(before, removal.RecordedAt)
			removal = nil
		}
		for _, rec := range found[streams[i]] {
			event, err := p.store.Registry().Decode(rec)
			if err != nil {
				return nil, err
			}
			if removal != nil && removal.Position < rec.Position {
				abandon()
			}
			was.apply(rec, event.(domain.Event))
		}
		if removal != nil {
			abandon()
		}
		folded[i] = was
	}
	return folded, nil
}

// status returns the status that was shown of a dispatch.
func (p *Past) status(d Dispatch, was pastDispatch) domain.DispatchStatus {
	switch {
	case was.due != nil && p.deliveries[d.Delivery].holds(d.Destination):
		return domain.Held
	case was.Status == "":
		return domain.Pending
	}
	return was.Status
}

// revise turns dispatches into what they were.
func (p *Past) revise(ctx context.Context, dispatches []Dispatch) error {
	if len(dispatches) == 0 {
		return nil
	}
	ids := make([]domain.DeliveryID, len(dispatches))
	for i, d := range dispatches {
		ids[i] = d.Delivery
	}
	if err := p.load(ctx, ids...); err != nil {
		return err
	}
	owed, err := p.owedSince(ctx, dispatches)
	if err != nil {
		return err
	}
	folded, err := p.fold(ctx, dispatches, owed)
	if err != nil {
		return err
	}
	for i := range dispatches {
		d, was := &dispatches[i], folded[i]
		d.Status = p.status(*d, was)
		d.Attempts, d.Due, d.SettledAt, d.Version = was.Attempts, was.due, was.settledAt, was.version
	}
	return nil
}

// owedSince returns when each of the dispatches first came due, by the events that it tells of.
func (p *Past) owedSince(ctx context.Context, dispatches []Dispatch) (map[domain.DispatchID]time.Time, error) {
	positions := make([]eventstore.Position, len(dispatches))
	for i, d := range dispatches {
		positions[i] = d.Position
	}
	records, err := eventstore.ReadAt(ctx, p.views.pool, positions)
	if err != nil {
		return nil, err
	}
	since := map[eventstore.Position]time.Time{}
	for _, rec := range records {
		event, err := p.store.Registry().Decode(rec)
		if err != nil {
			return nil, err
		}
		since[rec.Position] = rec.RecordedAt
		if e, ok := event.(domain.CompanyQualified); ok {
			since[rec.Position] = e.OwedSince(rec.RecordedAt)
		}
	}
	owed := map[domain.DispatchID]time.Time{}
	for _, d := range dispatches {
		owed[d.ID] = since[d.Position]
	}
	return owed, nil
}

// Dispatch returns the dispatch named id as it was, or a NotFound error.
func (p *Past) Dispatch(ctx context.Context, id domain.DispatchID) (Dispatch, error) {
	d, err := p.views.Dispatch(ctx, id)
	if err != nil {
		return d, err
	}
	if d.Position > p.at {
		return d, domain.Errorf(domain.NotFound, "DISPATCH_NOT_FOUND", "there was no dispatch %s at position %d", id, p.at)
	}
	dispatches := []Dispatch{d}
	err = p.revise(ctx, dispatches)
	return dispatches[0], p.failed(err, "dispatch", id)
}

// DispatchesIn returns a page like [Views.DispatchesIn], as it was.
func (p *Past) DispatchesIn(ctx context.Context, in Sequence, skip int64, limit int) (List[Dispatch], error) {
	last, err := p.views.numberAt(ctx, DispatchFilter{Delivery: in.Delivery, Destination: in.Destination}, p.at)
	if err != nil || last == 0 {
		return List[Dispatch]{}, p.failed(err, "dispatches", in.Delivery)
	}
	if in.Until == 0 {
		in.Until = last
	}
	in.Until = min(in.Until, last)
	list, err := p.views.DispatchesIn(ctx, in, skip, limit)
	if err == nil {
		err = p.revise(ctx, list.Items)
	}
	return list, p.failed(err, "dispatches", in.Delivery)
}

// DispatchesOf returns a page like [Views.DispatchesOf], as it was. The filter must have no status: see [Past.DispatchesHaving].
func (p *Past) DispatchesOf(ctx context.Context, filter DispatchFilter, page DispatchPage) (List[Dispatch], error) {
	list, err := p.views.DispatchesOf(ctx, p.bounded(filter), page)
	if err == nil {
		err = p.revise(ctx, list.Items)
	}
	return list, p.failed(err, "dispatches", filter.Delivery)
}

// bounded returns a filter of what there was.
func (p *Past) bounded(filter DispatchFilter) DispatchFilter {
	if filter.UpTo == 0 || filter.UpTo > p.at {
		filter.UpTo = p.at
	}
	return filter
}
