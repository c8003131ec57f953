package rest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

// authenticate finds out who is calling and whether they may. From then on the request's
// context says so, also to the events that it causes.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		op := s.contract.operation(r.Method, c.Path())
		if op == nil || op.open {
			return next(c)
		}
		key, err := s.cfg.Keys.Find(r.Context(), bearer(r.Header))
		switch {
		case errors.Is(err, apikey.ErrUnknown):
			return &refusal{
				status: http.StatusUnauthorized, code: "UNAUTHORIZED",
				message: "an active API key is required, as Authorization: Bearer lnc_live_…",
			}
		case err != nil:
			return err
		}
		request := requestFrom(r.Context())
		request.key = key
		if err := s.admit(r.Context(), c.Response().Header(), key); err != nil {
			return err
		}
		for _, scope := range op.scopes {
			if !slices.Contains(key.Scopes, scope) {
				return lacksScope(op.scopes, key.Scopes)
			}
		}
		ctx := eventstore.WithMetadata(r.Context(), eventstore.Metadata{Actor: key.ID, Request: request.id})
		c.SetRequest(r.WithContext(ctx))
		return next(c)
	}
}

// bearer returns the key of a request, "" when it has none.
func bearer(header http.Header) string {
	scheme, key, _ := strings.Cut(header.Get(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// lacksScope is returned when a key may not do what it is used for.
func lacksScope(required, has []apikey.Scope) error {
	return &refusal{
		status: http.StatusForbidden, code: "AUTHORIZATION_ERROR", message: "the API key lacks a scope",
		details: &details{Required: required, Has: has},
	}
}

// organisation returns whom the caller acts for.
func organisation(ctx context.Context) domain.OrganisationID {
	return requestFrom(ctx).key.Organisation
}

// ValidateAuth tells what the caller's key may do.
func (s *Server) ValidateAuth(ctx context.Context, _ ValidateAuthRequestObject) (ValidateAuthResponseObject, error) {
	info := KeyInfo{Valid: true, Scopes: []string{}}
	for _, scope := range requestFrom(ctx).key.Scopes {
		info.Scopes = append(info.Scopes, string(scope))
	}
	return ValidateAuth200JSONResponse{Body: info}, nil
}
