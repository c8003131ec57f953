package rest

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/projections"
)

// listSequence shows a page of a stretch of one destination's dispatches, in order of sequence: what its
// receiver misses.
func (s *Server) listSequence(ctx context.Context, r ListDispatchesRequestObject) (ListDispatchesResponseObject, error) {
	q := r.Params
	in := projections.Sequence{
		Delivery: domain.DeliveryID(r.DeliveryID), Destination: domain.DestinationID(value(q.Destination)),
		After: value(q.SequenceAfter), Until: value(q.SequenceUntil),
	}
	p, views, err := s.pastListing(ctx, q.Limit, q.Offset, q.Cursor, q.AsOf, sequenceFaults(q)...)
	if err != nil {
		return nil, err
	}
	if err := views.Owned(ctx, organisation(ctx), in.Delivery); err != nil {
		return nil, err
	}
	skip := p.Offset
	if p.After != "" {
		seen, _ := strconv.ParseInt(p.After, 10, 64) // as it was written
		skip = seen - in.After
	}
	found, err := views.DispatchesIn(ctx, in, skip, p.Limit)
	if err != nil {
		return nil, err
	}
	return showDispatches(p, found, lastKey(found, func(d projections.Dispatch) string { return strconv.FormatInt(d.Sequence, 10) })), nil
}

// sequenceFaults are what the bounds of a sequence need, and what does not go with them.
func sequenceFaults(q ListDispatchesParams) (faults []domain.Fault) {
	if q.Destination == nil {
		faults = append(faults, domain.Fault{Field: "destination", Error: "is needed with sequence_after and sequence_until"})
	}
	for _, p := range []struct {
		name  string
		given bool
	}{{"status", q.Status != nil}, {"since", q.Since != nil}, {"until", q.Until != nil}} {
		if p.given {
			faults = append(faults, domain.Fault{Field: p.name, Error: "does not go with sequence_after and sequence_until"})
		}
	}
	return faults
}

// payload returns what a dispatch sends, nil when it tells of a company and the caller may not read those
// and prospects.
func (s *Server) payload(ctx context.Context, d projections.Dispatch) (*string, error) {
	scopes := requestFrom(ctx).key.Scopes
	mayRead := slices.Contains(scopes, apikey.CompaniesRead) && slices.Contains(scopes, apikey.ProspectsRead)
	if d.Event == domain.OnCompanyQualified && !mayRead {
		return nil, nil
	}
	records, err := s.cfg.Store.ReadPage(ctx, d.Source-1, 1)
	if err != nil {
		return nil, err
	}
	if len(records) != 1 {
		return nil, fmt.Errorf("read what %s sends: position %d is not there", d.ID, d.Source)
	}
	event, err := s.cfg.Store.Registry().Decode(records[0])
	if err != nil {
		return nil, err
	}
	opened, err := s.cfg.Keyring.Open(ctx, records[0].Position, event.(domain.Event))
	if err != nil {
		return nil, fmt.Errorf("read what %s sends: %w", d.ID, err)
	}
	body, err := domain.PayloadOf(opened, records[0].RecordedAt)
	if err != nil {
		return nil, fmt.Errorf("read what %s sends: %w", d.ID, err)
	}
	return new(string(body)), nil
}
