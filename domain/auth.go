package domain

import (
	"net/textproto"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpguts"
)

// An AuthType says how an attempt tells the destination who is calling.
type AuthType string

// The types of authentication.
const (
	AuthNone   AuthType = "none"
	AuthBearer AuthType = "bearer" // Authorization: Bearer and the auth token
	AuthBasic  AuthType = "basic"  // Authorization: Basic, of username and password
	AuthHeader AuthType = "header" // a header of its own
	AuthOAuth2 AuthType = "oauth2" // Authorization: Bearer and a token got by client credentials
)

// secretFields are the fields that hold the secret of each type.
var secretFields = map[AuthType]string{
	AuthNone: "", AuthBearer: "auth_token", AuthBasic: "password", AuthHeader: "header_value", AuthOAuth2: "client_secret",
}

// SecretField names the field that holds the type's secret: "" where there is none.
func (t AuthType) SecretField() string { return secretFields[t] }

// Known reports whether there is such a type.
func (t AuthType) Known() bool {
	_, ok := secretFields[t]
	return ok
}

// maxAuthSetting is the longest username, client ID or scope, in bytes.
const maxAuthSetting = 1024

// WithoutAuth returns d without what one type of authentication needs, ready for another.
func (d Destination) WithoutAuth() Destination {
	d.AuthSecret, d.Username, d.HeaderName, d.TokenURL, d.ClientID, d.Scope = "", "", "", "", "", ""
	return d
}

// An authSetting is a setting that only one type of authentication has.
type authSetting struct {
	of           AuthType
	field, value string
	optional     bool
}

// authSettings returns all that there are, given or not.
func (d Destination) authSettings() []authSetting {
	return []authSetting{
		{of: AuthBasic, field: "username", value: d.Username},
		{of: AuthHeader, field: "header_name", value: d.HeaderName},
		{of: AuthOAuth2, field: "token_url", value: d.TokenURL},
		{of: AuthOAuth2, field: "client_id", value: d.ClientID},
		{of: AuthOAuth2, field: "scope", value: d.Scope, optional: true},
	}
}

// checkAuth notes where the type of authentication, its settings and its secret do not agree.
func (f *faults) checkAuth(d Destination) {
	switch secret := d.AuthType.SecretField(); {
	case !d.AuthType.Known():
		f.add("auth_type", d.AuthType, "must be one of none, bearer, basic, header, oauth2")
		return
	case secret == "" && d.AuthSecret != "":
		f.add("auth_token", nil, "is given, but auth_type is none")
	case secret != "" && d.AuthSecret == "":
		f.add(secret, nil, "is required for auth_type %s", d.AuthType)
	}
	for _, s := range d.authSettings() {
		switch {
		case s.of != d.AuthType && s.value != "":
			f.add(s.field, nil, "is given, but auth_type is %s", d.AuthType)
		case s.of == d.AuthType && s.value == "" && !s.optional:
			f.add(s.field, nil, "is required for auth_type %s", d.AuthType)
		case s.of == d.AuthType && s.value != "":
			f.checkAuthSetting(d, s)
		}
	}
}

// checkAuthSetting notes what is wrong with a setting that is where it belongs.
func (f *faults) checkAuthSetting(d Destination, s authSetting) {
	switch {
	case s.field == "header_name":
		f.checkAuthHeader(d)
	case s.field == "token_url":
		f.checkURL(s.field, s.value)
	case len(s.value) > maxAuthSetting || strings.ContainsFunc(s.value, unicode.IsControl):
		f.add(s.field, nil, "must have at most %d bytes, and no control characters", maxAuthSetting)
	case s.field == "username" && strings.Contains(s.value, ":"):
		f.add(s.field, nil, "must not contain a colon: it separates username and password")
	}
}

// checkAuthHeader notes why the header that tells who is calling cannot be sent.
func (f *faults) checkAuthHeader(d Destination) {
	name := textproto.CanonicalMIMEHeaderKey(d.HeaderName)
	_, twice := d.Headers[name]
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		f.add("header_name", nil, "is not a header name")
	case name != "Authorization" && slices.Contains(reserved, name):
		f.add("header_name", nil, "is set by the ledger")
	case twice:
		f.add("header_name", nil, "is among headers too")
	}
}
