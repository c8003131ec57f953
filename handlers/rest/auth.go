package rest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpguts"

	"github.com/openprospect/delivery-ledger/domain"
)

// authSecrets returns what b gives of the secrets of authentication, by their types.
func authSecrets(b DestinationChange) map[domain.AuthType]*string {
	return map[domain.AuthType]*string{
		domain.AuthBearer: b.AuthToken, domain.AuthBasic: b.Password, domain.AuthHeader: b.HeaderValue, domain.AuthOAuth2: b.ClientSecret,
	}
}

// changeAuth returns d with the authentication that b gives. A type that is another one leaves
// nothing of the former.
func changeAuth(d domain.Destination, b DestinationChange) domain.Destination {
	if b.AuthType != nil && domain.AuthType(*b.AuthType) != d.AuthType {
		d = d.WithoutAuth()
		d.AuthType = domain.AuthType(*b.AuthType)
	}
	set := func(field, given *string) {
		if given != nil {
			*field = *given
		}
	}
	set(&d.Username, b.Username)
	set(&d.HeaderName, b.HeaderName)
	set(&d.TokenURL, b.TokenURL)
	set(&d.ClientID, b.ClientID)
	set(&d.Scope, b.Scope)
	return d
}

// authFaults returns what is wrong with the secrets of authentication that b gives for d, which
// the domain does not see.
func (s *Server) authFaults(d domain.Destination, b DestinationChange) (faults []domain.Fault) {
	add := func(field, text string) { faults = append(faults, domain.Fault{Field: field, Error: text}) }
	given, has := authSecrets(b), cmp.Or(d.AuthType, domain.AuthNone)
	for _, of := range slices.Sorted(maps.Keys(given)) {
		field := of.SecretField()
		inHeader := of == domain.AuthBearer || of == domain.AuthHeader
		switch secret := given[of]; {
		case secret == nil:
		case has.Known() && of != has:
			add(field, "is given, but auth_type is "+string(has))
		case inHeader && (!httpguts.ValidHeaderFieldValue(*secret) || strings.TrimSpace(*secret) != *secret):
			add(field, "must be text that a header can carry")
		case strings.ContainsFunc(*secret, unicode.IsControl):
			add(field, "must not contain control characters")
		}
	}
	if b.TokenURL != nil && d.AuthType == domain.AuthOAuth2 {
		if err := s.cfg.CheckURL(*b.TokenURL); err != nil {
			add("token_url", err.Error())
		}
	}
	return faults
}
