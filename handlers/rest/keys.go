package rest

import (
	"context"
	"time"

	"github.com/oapi-codegen/runtime"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

// ListKeys shows a page of an organisation's keys.
func (s *Server) ListKeys(ctx context.Context, r ListKeysRequestObject) (ListKeysResponseObject, error) {
	o, err := s.organisation(ctx, r.OrganisationID)
	if err != nil {
		return nil, err
	}
	p, err := newListing(ctx, r.Params.Limit, r.Params.Offset, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.cfg.Keys.Page(ctx, o.ID, p.Page)
	if err != nil {
		return nil, err
	}
	items := make([]Key, len(list.Items))
	for i, k := range list.Items {
		items[i] = s.showKey(k)
	}
	cursor, link := p.next(list.More, lastKey(list, func(k apikey.Key) string { return k.ID }))
	return ListKeys200JSONResponse{
		Body: KeyPage{
			Items: items, Total: list.Total, Limit: p.Limit, Offset: p.Offset, HasMore: list.More, NextCursor: cursor,
		},
		Headers: ListKeys200ResponseHeaders{Link: link},
	}, nil
}

// CreateKey adds a key for an organisation. It is the only answer with the key's text.
func (s *Server) CreateKey(ctx context.Context, r CreateKeyRequestObject) (CreateKeyResponseObject, error) {
	o, err := s.organisation(ctx, r.OrganisationID)
	if err != nil {
		return nil, err
	}
	n, err := newKey(*r.Body)
	if err != nil {
		return nil, err
	}
	n.Organisation, n.Seed = o.ID, seed(ctx)
	k, text, err := s.cfg.Keys.Create(ctx, n)
	if err != nil {
		return nil, err
	}
	shown := s.showKey(k)
	return CreateKey201JSONResponse{
		Body: CreatedKey{
			ID: shown.ID, OrganisationID: shown.OrganisationID, Name: shown.Name, Hint: shown.Hint, Scopes: shown.Scopes,
			Status: CreatedKeyStatus(shown.Status), Tier: shown.Tier, LimitPerHour: shown.LimitPerHour,
			CreatedAt: shown.CreatedAt, ExpiresAt: shown.ExpiresAt, RevokedAt: shown.RevokedAt, Key: text,
		},
		Headers: CreateKey201ResponseHeaders{ETag: contentETag(shown), Location: keyPath(k.ID)},
	}, nil
}

// newKey returns the key that a body asks for, of no organisation yet, or all that is wrong.
func newKey(b NewKey) (apikey.NewKey, error) {
	n := apikey.NewKey{
		Name: b.Name, Tier: apikey.Tier(value(b.Tier)), LimitPerHour: b.LimitPerHour, ExpiresAt: b.ExpiresAt, Test: value(b.Test),
	}
	for _, scope := range b.Scopes {
		n.Scopes = append(n.Scopes, apikey.Scope(scope))
	}
	faults := append(nameFaults(b.Name), expiryFaults(b.ExpiresAt)...)
	if b.LimitPerHour != nil && b.Tier != nil && *b.Tier != Enterprise {
		faults = append(faults, domain.Fault{Field: "limit_per_hour", Error: "goes with the tier enterprise alone"})
	}
	return n, invalid(faults)
}

// ReadKey shows a key.
func (s *Server) ReadKey(ctx context.Context, r ReadKeyRequestObject) (ReadKeyResponseObject, error) {
	k, ok, err := s.cfg.Keys.Key(ctx, r.KeyID)
	if err := keyFault(ok, err); err != nil {
		return nil, err
	}
	shown := s.showKey(k)
	return ReadKey200JSONResponse{Body: shown, Headers: ReadKey200ResponseHeaders{ETag: contentETag(shown)}}, nil
}

// UpdateKey changes a key. A field that is absent keeps its value.
func (s *Server) UpdateKey(ctx context.Context, r UpdateKeyRequestObject) (UpdateKeyResponseObject, error) {
	change, err := keyChange(*r.Body)
	if err != nil {
		return nil, err
	}
	change.If = s.ifKeyMatches(ctx)
	k, ok, err := s.cfg.Keys.Change(ctx, r.KeyID, change)
	if err := keyFault(ok, err); err != nil {
		return nil, err
	}
	shown := s.showKey(k)
	return UpdateKey200JSONResponse{Body: shown, Headers: UpdateKey200ResponseHeaders{ETag: contentETag(shown)}}, nil
}

// keyChange returns the change that a body asks for, or all that is wrong with it.
func keyChange(b KeyChange) (apikey.Change, error) {
	faults := expiryFaults(b.ExpiresAt)
	if b.Name != nil {
		faults = append(nameFaults(*b.Name), faults...)
	}
	if value(b.NeverExpires) && b.ExpiresAt != nil {
		faults = append(faults, domain.Fault{Field: "never_expires", Error: "does not go with expires_at"})
	}
	if b.LimitPerHour != nil && value(b.Tier) != Enterprise {
		faults = append(faults, domain.Fault{Field: "limit_per_hour", Error: "goes with the tier enterprise alone, which must stand beside it"})
	}
	return apikey.Change{
		Name: b.Name, Tier: (*apikey.Tier)(b.Tier), LimitPerHour: b.LimitPerHour,
		ExpiresAt: b.ExpiresAt, NeverExpires: value(b.NeverExpires),
	}, invalid(faults)
}

// RevokeKey ends a key.
func (s *Server) RevokeKey(ctx context.Context, r RevokeKeyRequestObject) (RevokeKeyResponseObject, error) {
	ok, err := s.cfg.Keys.RevokeIf(ctx, r.KeyID, s.ifKeyMatches(ctx))
	if err := keyFault(ok, err); err != nil {
		return nil, err
	}
	return RevokeKey204Response{}, nil
}

// ifKeyMatches returns the request's preconditions, as a condition on a key.
func (s *Server) ifKeyMatches(ctx context.Context) func(apikey.Key) error {
	p := requestFrom(ctx).preconditions
	return func(k apikey.Key) error { return p.check(revisionOf(s.showKey(k))) }
}

// keyFault returns what kept a key from being found: err, or that there is none, or no longer.
func keyFault(ok bool, err error) error {
	if ok || err != nil {
		return err
	}
	return domain.Errorf(domain.NotFound, "ENTITY_NOT_FOUND", "there is no such key, or it is revoked")
}

// expiryFaults returns what is wrong with a time at which a key ends: that it could not be
// written down again.
func expiryFaults(at *time.Time) []domain.Fault {
	const first, last = 1970, 9999
	if at == nil || at.UTC().Year() >= first && at.UTC().Year() <= last {
		return nil
	}
	return []domain.Fault{{Field: "expires_at", Error: "must be in the years from 1970 to 9999"}}
}

// showKey returns a key as the API shows it: without its text, which nobody has.
func (s *Server) showKey(k apikey.Key) Key {
	shown := Key{
		ID: k.ID, OrganisationID: string(k.Organisation), Name: k.Name, Hint: k.Hint, Scopes: make([]Scope, len(k.Scopes)),
		Status: KeyStatusActive, Tier: Tier(k.Tier), CreatedAt: k.CreatedAt.UTC(), ExpiresAt: inUTC(k.ExpiresAt), RevokedAt: inUTC(k.RevokedAt),
	}
	for i, scope := range k.Scopes {
		shown.Scopes[i] = Scope(scope)
	}
	if limit, limited := k.Limit(); limited {
		shown.LimitPerHour = &limit
	}
	switch {
	case k.RevokedAt != nil:
		shown.Status = KeyStatusRevoked
	case !k.Active(s.now()):
		shown.Status = KeyStatusExpired
	}
	return shown
}

// inUTC returns a time in UTC, nil for none.
func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// checkNewKey and checkKeyChange say what is wrong with a body beyond its schema; see checks.
func checkNewKey(object map[string]any) error {
	var b NewKey
	if err := runtime.BindJSONValue(object, &b); err != nil {
		return err
	}
	_, err := newKey(b)
	return err
}

func checkKeyChange(object map[string]any) error {
	var b KeyChange
	if err := runtime.BindJSONValue(object, &b); err != nil {
		return err
	}
	_, err := keyChange(b)
	return err
}
