package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// ExplainCompany tells a page of what happened to a company.
func (s *Server) ExplainCompany(ctx context.Context, r ExplainCompanyRequestObject) (ExplainCompanyResponseObject, error) {
	p, err := newListing(ctx, r.Params.Limit, r.Params.Offset, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	story, err := s.cfg.Views.Story(ctx, p.owner, domain.CompanyID(r.CompanyID), p.Page)
	if err != nil {
		return nil, err
	}
	if story.Total == 0 {
		return nil, domain.Errorf(domain.NotFound, "ENTITY_NOT_FOUND", "nothing is known of a company %s", r.CompanyID)
	}
	items := make([]ExplainedEvent, len(story.Items))
	for i, rec := range story.Items {
		if items[i], err = s.explain(rec, story.Dispatches); err != nil {
			return nil, err
		}
	}
	cursor, link := p.next(story.More, lastKey(story.List, projections.StoryKey))
	return ExplainCompany200JSONResponse{
		Body: ExplanationPage{
			Items: items, Total: story.Total, Limit: p.Limit, Offset: p.Offset, HasMore: story.More, NextCursor: cursor,
		},
		Headers: ExplainCompany200ResponseHeaders{Link: link},
	}, nil
}

// explain returns an event in plain words. Dispatches are those of the company's hand-overs.
func (s *Server) explain(rec eventstore.Record, dispatches map[domain.HandOverID][]projections.Route) (ExplainedEvent, error) {
	event, err := s.cfg.Store.Registry().Decode(rec)
	if err != nil {
		return ExplainedEvent{}, err
	}
	about := struct {
		Delivery    string                     `json:"delivery"`
		HandOver    string                     `json:"hand_over"`
		Dispatch    string                     `json:"dispatch"`
		Destination string                     `json:"destination"`
		Exclusion   string                     `json:"exclusion"`
		Excluded    struct{ Exclusion string } `json:"excluded"`
	}{}
	if err := json.Unmarshal(rec.Data, &about); err != nil {
		return ExplainedEvent{}, fmt.Errorf("explain event %d: %w", rec.Position, err)
	}
	explained := ExplainedEvent{
		Position: int64(rec.Position), RecordedAt: rec.RecordedAt.UTC(), Type: rec.Type, Sentence: domain.Words(event.(domain.Event)),
		DeliveryConfigurationID: optional(about.Delivery), DeliveryID: optional(about.HandOver), DispatchID: optional(about.Dispatch),
		DestinationID: optional(about.Destination), ExclusionID: optional(about.Exclusion + about.Excluded.Exclusion),
	}
	if e, ok := event.(domain.CompanyQualified); ok {
		explained.Sentence += " " + wordsOfRoutes(dispatches[e.HandOver])
	}
	return explained, nil
}

// wordsOfRoutes says where a hand-over goes.
func wordsOfRoutes(routes []projections.Route) string {
	if len(routes) == 0 {
		return "It goes to no webhook; it can be pulled."
	}
	texts := make([]string, len(routes))
	for i, r := range routes {
		texts[i] = fmt.Sprintf("%s (%s)", r.Destination, r.Dispatch)
	}
	return "It goes to " + strings.Join(texts, ", ") + "."
}
