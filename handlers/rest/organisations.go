package rest

import (
	"context"
	"net/url"
	"strings"
	"unicode"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

// ListOrganisations shows a page of all organisations.
func (s *Server) ListOrganisations(ctx context.Context, r ListOrganisationsRequestObject) (ListOrganisationsResponseObject, error) {
	p, err := newListing(ctx, r.Params.Limit, r.Params.Offset, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.cfg.Keys.Organisations(ctx, p.Page)
	if err != nil {
		return nil, err
	}
	items := make([]Organisation, len(list.Items))
	for i, o := range list.Items {
		items[i] = showOrganisation(o)
	}
	cursor, link := p.next(list.More, lastKey(list, func(o apikey.Organisation) string { return string(o.ID) }))
	return ListOrganisations200JSONResponse{
		Body: OrganisationPage{
			Items: items, Total: list.Total, Limit: p.Limit, Offset: p.Offset, HasMore: list.More, NextCursor: cursor,
		},
		Headers: ListOrganisations200ResponseHeaders{Link: link},
	}, nil
}

// CreateOrganisation adds an organisation.
func (s *Server) CreateOrganisation(ctx context.Context, r CreateOrganisationRequestObject) (CreateOrganisationResponseObject, error) {
	if err := invalid(nameFaults(r.Body.Name)); err != nil {
		return nil, err
	}
	o, err := s.cfg.Keys.AddOrganisation(ctx, seed(ctx).OrganisationID(), r.Body.Name)
	if err != nil {
		return nil, err
	}
	shown := showOrganisation(o)
	return CreateOrganisation201JSONResponse{Body: shown, Headers: CreateOrganisation201ResponseHeaders{
		ETag: contentETag(shown), Location: organisationPath(shown.ID),
	}}, nil
}

// ReadOrganisation shows an organisation.
func (s *Server) ReadOrganisation(ctx context.Context, r ReadOrganisationRequestObject) (ReadOrganisationResponseObject, error) {
	o, err := s.organisation(ctx, r.OrganisationID)
	if err != nil {
		return nil, err
	}
	shown := showOrganisation(o)
	return ReadOrganisation200JSONResponse{Body: shown, Headers: ReadOrganisation200ResponseHeaders{ETag: contentETag(shown)}}, nil
}

// organisation returns the organisation of that ID. Names do not count here.
func (s *Server) organisation(ctx context.Context, id string) (apikey.Organisation, error) {
	o, ok, err := s.cfg.Keys.Organisation(ctx, id)
	return o, organisationFault(ok && string(o.ID) == id, err)
}

// organisationFault returns what kept an organisation from being found: err, or that there is none.
func organisationFault(ok bool, err error) error {
	if ok || err != nil {
		return err
	}
	return domain.Errorf(domain.NotFound, "ENTITY_NOT_FOUND", "there is no such organisation")
}

// showOrganisation returns an organisation as the API shows it.
func showOrganisation(o apikey.Organisation) Organisation {
	return Organisation{ID: string(o.ID), Name: o.Name, RetentionDays: o.RetentionDays, CreatedAt: o.CreatedAt.UTC()}
}

// SetRetention says for how long what is personal of an organisation is kept.
func (s *Server) SetRetention(ctx context.Context, r SetRetentionRequestObject) (SetRetentionResponseObject, error) {
	o, err := s.retain(ctx, r.OrganisationID, &r.Body.Days)
	if err != nil {
		return nil, err
	}
	shown := showOrganisation(o)
	return SetRetention200JSONResponse{Body: shown, Headers: SetRetention200ResponseHeaders{ETag: contentETag(shown)}}, nil
}

// EndRetention has what is personal of an organisation be kept for ever.
func (s *Server) EndRetention(ctx context.Context, r EndRetentionRequestObject) (EndRetentionResponseObject, error) {
	if _, err := s.retain(ctx, r.OrganisationID, nil); err != nil {
		return nil, err
	}
	return EndRetention204Response{}, nil
}

// retain enters for how many days what is personal of an organisation is kept; nil: for ever.
func (s *Server) retain(ctx context.Context, id string, days *int) (apikey.Organisation, error) {
	o, ok, err := s.cfg.Keys.Retain(ctx, domain.OrganisationID(id), days)
	return o, organisationFault(ok, err)
}

// nameFaults returns what is wrong with a name beyond its length.
func nameFaults(name string) []domain.Fault {
	switch {
	case strings.TrimSpace(name) == "":
		return []domain.Fault{{Field: "name", Error: "must not be blank"}}
	case strings.ContainsFunc(name, unicode.IsControl):
		return []domain.Fault{{Field: "name", Error: "must not contain control characters"}}
	}
	return nil
}

func organisationsPath() string         { return basePath + "/admin/organisations" }
func organisationPath(id string) string { return organisationsPath() + "/" + url.PathEscape(id) }
func keyPath(id string) string          { return basePath + "/admin/keys/" + url.PathEscape(id) }
