package domain

import (
	"errors"
	"fmt"
	"strings"
)

// A Kind classes an error by what its reader can do about it.
type Kind string

// The kinds of errors.
const (
	Invalid     Kind = "invalid"     // the request can never succeed as written
	NotFound    Kind = "not_found"   // the thing named does not exist, or not for this caller
	Conflict    Kind = "conflict"    // the thing named is in no state for this
	Unavailable Kind = "unavailable" // the same request may succeed later
	Internal    Kind = "internal"    // a fault of ours; its text is not for callers
)

// An Error is a refusal that may be shown to the caller.
type Error struct {
	Kind    Kind
	Code    string  // what clients switch on, such as "DELIVERY_NOT_FOUND" (contract, section 3)
	Message string  // for people
	Faults  []Fault // of an Invalid request: all that is wrong with it
}

// A Fault is one thing wrong with a request.
type Fault struct {
	Field    string `json:"field"`              // path of the field, such as "company.id"
	Error    string `json:"error"`              // what is wrong and what would be right
	Provided any    `json:"provided,omitempty"` // what was given; never a secret
}

// Error says what was refused and why.
func (e *Error) Error() string {
	if len(e.Faults) == 0 {
		return e.Message
	}
	faults := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		faults[i] = f.Field + ": " + f.Error
	}
	return e.Message + " (" + strings.Join(faults, "; ") + ")"
}

// Errorf returns an [Error] of the given kind and code.
func Errorf(kind Kind, code, format string, args ...any) error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of the first [Error] in err's chain, and Internal when there
// is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// faults collects what is wrong with a request, so that its sender learns all at once.
type faults []Fault

// add notes a fault.
func (f *faults) add(field string, provided any, format string, args ...any) {
	*f = append(*f, Fault{Field: field, Error: fmt.Sprintf(format, args...), Provided: provided})
}

// err returns an Invalid error with the faults, or nil when there are none.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Code: "VALIDATION_ERROR", Message: "the request is not valid", Faults: f}
}
