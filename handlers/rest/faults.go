package rest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/openprospect/delivery-ledger/domain"
)

// unsaid are the fields whose values are not repeated to whoever sent them, or to their logs:
// they are secrets, or may contain one.
var unsaid = map[string]bool{
	"auth_token": true, "password": true, "header_value": true, "client_secret": true, "signing_secret": true,
	"headers": true, "url": true, "token_url": true,
}

// longestSaid is the length of a text up to which it is repeated.
const longestSaid = 100

// said returns value if it may be repeated, else nil.
func said(field string, value any) any {
	if name, _, _ := strings.Cut(field, "."); unsaid[name] {
		return nil
	}
	switch v := value.(type) {
	case bool, float64, int64, int:
		return v
	case string:
		if v != "" && len(v) <= longestSaid {
			return v
		}
	}
	return nil
}

// unknownFields returns a fault for each member of object that schema does not have. Case
// tells fields apart. The members are removed; their values are not repeated, since they may
// be secrets put in a wrong place.
func unknownFields(schema *openapi3.Schema, object map[string]any) []domain.Fault {
	var faults []domain.Fault
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if schema.Properties[name] == nil {
			faults = append(faults, domain.Fault{Field: name, Error: "is not a known field"})
			delete(object, name)
		}
	}
	return faults
}

// bodyFaults returns what err, of a schema, says of a body.
func bodyFaults(err error) []domain.Fault {
	var many openapi3.MultiError
	if errors.As(err, &many) {
		var faults []domain.Fault
		for _, e := range many {
			faults = append(faults, bodyFaults(e)...)
		}
		return faults
	}
	if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		field := strings.Join(e.JSONPointer(), ".")
		f := domain.Fault{Field: field, Error: explain(e)}
		if e.SchemaField != "required" {
			f.Provided = said(field, e.Value)
		}
		return []domain.Fault{f}
	}
	return []domain.Fault{{Field: "body", Error: "is not valid"}}
}

// queryFault returns what err says of a query's parameter.
func queryFault(p *openapi3.Parameter, given string, err error) domain.Fault {
	f := domain.Fault{Field: p.Name, Error: "must be " + typeName(p.Schema.Value), Provided: said(p.Name, given)}
	var many openapi3.MultiError
	if errors.As(err, &many) && len(many) > 0 {
		err = many[0]
	}
	if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		f.Error, f.Provided = explain(e), said(p.Name, e.Value)
	}
	return f
}

// explain says what would be right. Unlike the library's own texts it never contains what
// was given.
func explain(e *openapi3.SchemaError) string {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return "is required"
	case "enum":
		names := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			names[i] = fmt.Sprint(v)
		}
		return "must be one of " + strings.Join(names, ", ")
	case "minimum", "maximum":
		switch {
		case s.Min != nil && s.Max != nil:
			return fmt.Sprintf("must be from %.0f to %.0f", *s.Min, *s.Max)
		case s.Min != nil:
			return fmt.Sprintf("must be at least %.0f", *s.Min)
		}
		return fmt.Sprintf("must be at most %.0f", *s.Max)
	case "minLength":
		return "must not be empty"
	case "maxLength":
		return fmt.Sprintf("must have at most %d characters", *s.MaxLength)
	case "maxItems":
		return fmt.Sprintf("must have at most %d items", *s.MaxItems)
	case "oneOf":
		names := make([]string, len(s.OneOf))
		for i, one := range s.OneOf {
			names[i] = typeName(one.Value)
		}
		return "must be " + strings.Join(names, " or ")
	}
	return "must be " + typeName(s)
}

// typeName says what a schema asks for.
func typeName(s *openapi3.Schema) string {
	switch {
	case s.Format == "date-time":
		return "an RFC 3339 time, such as 2025-01-15T00:00:00Z; in a URL, + is written %2B"
	case s.Type.Is(openapi3.TypeInteger):
		return "a whole number"
	case s.Type.Is(openapi3.TypeNumber):
		return "a number"
	case s.Type.Is(openapi3.TypeString):
		return "a text"
	case s.Type.Is(openapi3.TypeArray):
		return "a list"
	case s.Type.Is(openapi3.TypeBoolean):
		return "true or false"
	}
	return "an object"
}

// authMembers are those that only some types of authentication have.
var authMembers = []string{
	"auth_token", "username", "password", "header_name", "header_value", "token_url", "client_id", "client_secret", "scope",
}

// without returns object less the members that have a fault, and those of an authentication whose
// type is not known then.
func without(object map[string]any, faults []domain.Fault) map[string]any {
	object = maps.Clone(object)
	for _, f := range faults {
		name, _, _ := strings.Cut(f.Field, ".")
		delete(object, name)
		if name == "auth_type" {
			maps.DeleteFunc(object, func(name string, _ any) bool { return slices.Contains(authMembers, name) })
		}
	}
	return object
}

// merge returns the faults of first, and those of more about other fields.
func merge(first, more []domain.Fault) []domain.Fault {
	seen := map[string]bool{}
	for _, f := range first {
		name, _, _ := strings.Cut(f.Field, ".")
		seen[name] = true
	}
	for _, f := range more {
		if name, _, _ := strings.Cut(f.Field, "."); !seen[name] {
			first = append(first, f)
		}
	}
	return first
}
