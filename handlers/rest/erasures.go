package rest

import (
	"context"
	"strings"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// erasuresPath is that of the caller's erasures.
const erasuresPath = "/api/v1/erasures"

// countPatience bounds the count of what an erasure would find, for which all that was told is looked through.
const countPatience = 30 * time.Second

// StartErasure starts a job that erases somebody, or counts what it would find.
func (s *Server) StartErasure(ctx context.Context, r StartErasureRequestObject) (StartErasureResponseObject, error) {
	company := (*domain.CompanyID)(r.Body.CompanyID)
	if err := domain.CheckErasure(r.Body.ProspectID, r.Body.Email, company); err != nil {
		return nil, err
	}
	start := domain.StartErasure{
		ID: seed(ctx).ErasureID(), Organisation: organisation(ctx),
		Subject: domain.ErasureSubject{Prospect: value(r.Body.ProspectID), Company: value(company)},
	}
	email := strings.TrimSpace(value(r.Body.Email))
	if value(r.Body.DryRun) {
		return s.tryErasure(ctx, start, email)
	}
	if email != "" {
		start.Subject.Email = domain.ErasureSecret(start.ID)
		if err := s.keepEmail(ctx, start.ID, email); err != nil {
			return nil, err
		}
	}
	o, err := eventstore.Execute(ctx, s.cfg.Store, start)
	if err != nil {
		return nil, err
	}
	return StartErasure202JSONResponse{
		Body:    showErasure(s.erasure(ctx, start, o)),
		Headers: StartErasure202ResponseHeaders{Location: erasuresPath + "/" + string(start.ID), LedgerPosition: position(o.Commit)},
	}, nil
}

// keepEmail keeps the e-mail address of an erasure, unless it was started before: then it may have ended.
func (s *Server) keepEmail(ctx context.Context, id domain.ErasureID, email string) error {
	known, err := eventstore.Load[domain.Erasure, domain.Event](ctx, s.cfg.Store, domain.ErasureStream(id))
	if err != nil || known.Version > 0 {
		return err
	}
	_, err = s.cfg.Vault.Keep(ctx, string(domain.ErasureSecret(id)), email)
	return err
}

// tryErasure answers a dry run.
func (s *Server) tryErasure(ctx context.Context, start domain.StartErasure, email string) (StartErasureResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, countPatience)
	defer cancel()
	c, err := s.finder.Count(ctx, start.Organisation, start.Subject, email)
	if err != nil {
		return nil, err
	}
	return StartErasure200JSONResponse{
		Body: ErasureCount{DryRun: true, Prospects: c.Prospects, Companies: c.Companies, Events: c.Events, InClear: c.InClear},
	}, nil
}

// ListErasures shows a page of the organisation's erasures.
func (s *Server) ListErasures(ctx context.Context, r ListErasuresRequestObject) (ListErasuresResponseObject, error) {
	p, err := newListing(ctx, r.Params.Limit, r.Params.Offset, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.cfg.Views.Erasures(ctx, p.owner, p.Page)
	if err != nil {
		return nil, err
	}
	items := make([]Erasure, len(list.Items))
	for i, e := range list.Items {
		items[i] = showErasure(e)
	}
	cursor, link := p.next(list.More, lastKey(list, func(e projections.Erasure) string { return string(e.ID) }))
	return ListErasures200JSONResponse{
		Body:    ErasurePage{Items: items, Total: list.Total, Limit: p.Limit, Offset: p.Offset, HasMore: list.More, NextCursor: cursor},
		Headers: ListErasures200ResponseHeaders{Link: link},
	}, nil
}

// ReadErasure shows how far an erasure has come.
func (s *Server) ReadErasure(ctx context.Context, r ReadErasureRequestObject) (ReadErasureResponseObject, error) {
	e, err := s.cfg.Views.Erasure(ctx, organisation(ctx), domain.ErasureID(r.ErasureID))
	if err != nil {
		return nil, err
	}
	return ReadErasure200JSONResponse{Body: showErasure(e)}, nil
}

// erasure returns a job as the read model shows it after o; where that is late, what it would show.
func (s *Server) erasure(ctx context.Context, start domain.StartErasure, o eventstore.Outcome[domain.Erasure]) projections.Erasure {
	s.settleOn(ctx, projections.Erasures(), o.Commit)
	if shown, err := s.cfg.Views.Erasure(ctx, start.Organisation, start.ID); err == nil {
		return shown
	}
	return projections.Erasure{
		ID: start.ID, Organisation: start.Organisation, Status: o.State.Status, Subject: o.State.Subject, Version: o.Version, StartedAt: o.Commit.RecordedAt,
	}
}

// showErasure returns an erasure as the API shows it.
func showErasure(e projections.Erasure) Erasure {
	c := e.Counts
	shown := Erasure{
		ID: string(e.ID), Status: ErasureStatus(e.Status), By: "email", Shredded: e.Applied,
		ProspectID: optional(e.Subject.Prospect), CompanyID: optional(string(e.Subject.Company)),
		Prospects: c.Prospects, Companies: c.Companies, Events: c.Events, InClear: c.InClear, StartedAt: e.StartedAt.UTC(), EndedAt: utc(e.EndedAt),
	}
	switch {
	case e.Subject.Prospect != "":
		shown.By = "prospect"
	case e.Subject.Company != "":
		shown.By = "company"
	}
	return shown
}
