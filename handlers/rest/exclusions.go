package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// ListExclusions shows a page of what the organisation excludes.
func (s *Server) ListExclusions(ctx context.Context, r ListExclusionsRequestObject) (ListExclusionsResponseObject, error) {
	p, err := newListing(ctx, r.Params.Limit, r.Params.Offset, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.listExclusions(ctx, r.Params, p)
	if err != nil {
		return nil, err
	}
	items := make([]Exclusion, len(list.Items))
	for i, x := range list.Items {
		items[i] = showExclusion(x)
	}
	cursor, link := p.next(list.More, lastKey(list, projections.Exclusion.Key))
	return ListExclusions200JSONResponse{
		Body:    ExclusionPage{Items: items, Total: list.Total, Limit: p.Limit, Offset: p.Offset, HasMore: list.More, NextCursor: cursor},
		Headers: ListExclusions200ResponseHeaders{Link: link},
	}, nil
}

// listExclusions returns the part of a list that is asked for: of a value, the one exclusion that there may be.
func (s *Server) listExclusions(ctx context.Context, q ListExclusionsParams, p listing) (list projections.List[projections.Exclusion], err error) {
	kind := domain.ExclusionKind(value(q.Kind))
	if q.Value == nil {
		return s.cfg.Views.Exclusions(ctx, p.owner, kind, p.Page)
	}
	asked, err := domain.NewExcluded(p.owner, kind, *q.Value, "")
	if err != nil {
		return list, err
	}
	x, err := s.cfg.Views.Exclusion(ctx, p.owner, asked.Exclusion)
	switch {
	case err != nil && domain.KindOf(err) == domain.NotFound:
		return list, nil
	case err != nil:
		return list, err
	}
	list.Total = 1
	if p.Offset == 0 {
		list.Items = append(list.Items, x)
	}
	return list, nil
}

// ReadExclusion shows an exclusion.
func (s *Server) ReadExclusion(ctx context.Context, r ReadExclusionRequestObject) (ReadExclusionResponseObject, error) {
	x, err := s.cfg.Views.Exclusion(ctx, organisation(ctx), domain.ExclusionID(r.ExclusionID))
	if err != nil {
		return nil, err
	}
	return ReadExclusion200JSONResponse{Body: showExclusion(x), Headers: ReadExclusion200ResponseHeaders{ETag: etag(x.Version)}}, nil
}

// RemoveExclusion ends an exclusion.
func (s *Server) RemoveExclusion(ctx context.Context, r RemoveExclusionRequestObject) (RemoveExclusionResponseObject, error) {
	cmd := domain.RemoveExclusion{Organisation: organisation(ctx), ID: domain.ExclusionID(r.ExclusionID)}
	o, err := eventstore.Execute(ctx, s.cfg.Store, matchingExclusion{cmd, requestFrom(ctx).preconditions})
	if err != nil {
		return nil, err
	}
	s.settle(ctx, o.Commit)
	return RemoveExclusion204Response{Headers: DeletedResponseHeaders{LedgerPosition: position(o.Commit)}}, nil
}

// matchingExclusion is like [matching], of the removal of an exclusion.
type matchingExclusion struct {
	domain.RemoveExclusion
	preconditions
}

// Decide returns what the command decides, or the refusal of a caller who has not seen the latest change.
func (m matchingExclusion) Decide(x domain.Exclusion, now time.Time) ([]domain.Event, error) {
	events, err := m.RemoveExclusion.Decide(x, now)
	if err != nil {
		return nil, err
	}
	return events, m.check(x.Revision)
}

// showExclusion returns an exclusion as the API shows it.
func showExclusion(x projections.Exclusion) Exclusion {
	return Exclusion{
		ID: string(x.Exclusion), Kind: ExclusionKind(x.Kind), Value: x.Value, Reason: optional(x.Reason), CreatedAt: x.CreatedAt.UTC(),
	}
}

// AddExclusions excludes values: of one object, or of an array.
func (s *Server) AddExclusions(ctx context.Context, r AddExclusionsRequestObject) (AddExclusionsResponseObject, error) {
	e := &exclusions{Server: s, organisation: organisation(ctx), schema: s.contract.exclusion}
	if err := e.add(ctx, bytes.TrimSpace(r.Body.union)); err != nil {
		return nil, err
	}
	s.settle(ctx, e.last)
	return AddExclusions200JSONResponse{Body: e.summary, Headers: AddExclusions200ResponseHeaders{LedgerPosition: position(e.last)}}, nil
}

// exclusions are a request to exclude values.
type exclusions struct {
	*Server
	organisation domain.OrganisationID
	schema       *openapi3.Schema // of an item
	summary      ExclusionSummary
	last         eventstore.Commit
}

// A newExclusion is one item of such a request.
type newExclusion struct {
	domain.AddExclusion
	fault error // why it is rejected; nil: it is not
}

// add excludes what a JSON document contains. A single object that is not valid is an error, as nothing else
// could be accepted.
func (e *exclusions) add(ctx context.Context, body []byte) error {
	if bytes.HasPrefix(body, []byte("[")) {
		return e.addList(ctx, body)
	}
	named, err := inspect(body, e.schema)
	if err != nil {
		return err
	}
	it := e.item(body, named)
	if it.fault != nil {
		return it.fault
	}
	return e.commit(ctx, []newExclusion{it})
}

// addList excludes what a JSON array contains.
func (e *exclusions) addList(ctx context.Context, body []byte) error {
	found, err := inspectItems(body, e.schema)
	if err != nil {
		return err
	}
	e.summary.Items = []ExclusionResult{}
	items := make([]newExclusion, 0, chunkPlans)
	n := 0
	for raw := range elements(body) {
		if found[n].deep {
			items = append(items, newExclusion{fault: errTooDeep})
		} else {
			items = append(items, e.item(raw, found[n].faults))
		}
		if n++; len(items) == chunkPlans {
			if err := e.commit(ctx, items); err != nil {
				return err
			}
			items = items[:0]
		}
	}
	return e.commit(ctx, items)
}

// item returns what raw, which must be valid JSON, asks for. Its faults are besides those of its names.
func (e *exclusions) item(raw []byte, named []domain.Fault) (it newExclusion) {
	var object any
	if err := json.Unmarshal(raw, &object); err != nil {
		it.fault = errNotJSON
		return it
	}
	fields, ok := object.(map[string]any)
	if !ok {
		it.fault = invalid([]domain.Fault{{Field: "body", Error: "must be an object"}})
		return it
	}
	faults := unknownFields(e.schema, fields)
	if err := e.schema.VisitJSON(fields, openapi3.VisitAsRequest(), openapi3.MultiErrors()); err != nil {
		faults = append(faults, bodyFaults(err)...)
	}
	text := func(name string) string { s, _ := fields[name].(string); return s }
	excluded, err := domain.NewExcluded(e.organisation, domain.ExclusionKind(text("kind")), text("value"), text("reason"))
	more, err := faultsIn(err)
	it.AddExclusion = domain.AddExclusion{Organisation: e.organisation, Excluded: excluded}
	if it.fault = err; err == nil {
		it.fault = invalid(beside(named, beside(faults, more)))
	}
	return it
}

// begin makes sure that exclusions are looked up from now on.
func (e *exclusions) begin(ctx context.Context) error {
	if _, begun := e.excluding.Load(e.organisation); begun {
		return nil
	}
	if _, err := eventstore.Execute(ctx, e.cfg.Store, domain.BeginExclusions{Organisation: e.organisation}); err != nil {
		return err
	}
	e.excluding.Store(e.organisation, true)
	return nil
}

// commit excludes what items ask for, and enters the results.
func (e *exclusions) commit(ctx context.Context, items []newExclusion) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Patience)
	defer cancel()
	var plans []eventstore.Plan[domain.Exclusion, domain.Event]
	for _, it := range items {
		if it.fault == nil {
			plans = append(plans, eventstore.Plan[domain.Exclusion, domain.Event]{Command: it.AddExclusion})
		}
	}
	if len(plans) > 0 {
		if err := e.begin(ctx); err != nil {
			return err
		}
	}
	outcomes := eventstore.ExecuteEach(ctx, e.cfg.Store, plans)
	for _, it := range items {
		r := ExclusionResult{Index: len(e.summary.Items)}
		switch {
		case it.fault != nil:
			r.Outcome, r.Error = ExclusionRejected, itemError(newRefusal(it.fault))
			e.summary.Rejected++
		case outcomes[0].Err != nil:
			return outcomes[0].Err
		case outcomes[0].Commit.Position != 0:
			r.Outcome, r.ID = ExclusionAccepted, optional(string(it.Exclusion))
			e.summary.Accepted++
		default:
			r.Outcome, r.ID = ExclusionDuplicate, optional(string(it.Exclusion))
			e.summary.Duplicates++
		}
		if it.fault == nil {
			if outcomes[0].Commit.Position > e.last.Position {
				e.last = outcomes[0].Commit
			}
			outcomes = outcomes[1:]
		}
		e.summary.Items = append(e.summary.Items, r)
	}
	return nil
}
