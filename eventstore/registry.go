package eventstore

import (
	"fmt"
	"reflect"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An Event is anything that the log can hold. EventType names it in storage. It is
// stored as the JSON that it marshals to.
type Event interface{ EventType() string }

// A Versioned is an event whose data was stored otherwise once. An event that is none is of version 1.
type Versioned interface {
	Event

	// Former returns the zero value of what was stored in each version before, from 1 on. The event's
	// own version is the next: what is appended is of that one.
	Former() []Former
}

// A Former is an event's data as an earlier version has it.
type Former = interface {
	// Upcast returns the same in the next version: its Former, or the event itself. It MUST depend on
	// nothing but the value, and take any, also the zero one.
	Upcast() any
}

// A Registry turns records back into events. It is immutable and safe for concurrent use.
type Registry struct {
	types map[string][]reflect.Type // of the data of an event type's versions, from 1 on; the last is the event's own
}

// NewRegistry returns a registry of the events' types. It panics when two share a name, and when what
// an upcast returns is not of the next version.
func NewRegistry[E Event](events ...E) *Registry {
	r := &Registry{types: make(map[string][]reflect.Type, len(events))}
	for _, e := range events {
		if _, ok := r.types[e.EventType()]; ok {
			panic("eventstore: two event types named " + e.EventType())
		}
		r.types[e.EventType()] = versionsOf(e)
	}
	return r
}

// versionsOf returns the types of the data of each version of e.
func versionsOf(e Event) []reflect.Type {
	former := formerOf(e)
	versions := make([]reflect.Type, 0, len(former)+1)
	for _, f := range former {
		versions = append(versions, reflect.TypeOf(f))
	}
	versions = append(versions, reflect.TypeOf(e))
	for i, f := range former {
		if next := reflect.TypeOf(f.Upcast()); next != versions[i+1] {
			panic(fmt.Sprintf("eventstore: %s version %d is upcast to %v, not to %v", e.EventType(), i+1, next, versions[i+1]))
		}
	}
	return versions
}

// formerOf returns the versions of e before its own.
func formerOf(e Event) []Former {
	if v, ok := e.(Versioned); ok {
		return v.Former()
	}
	return nil
}

// versionOf returns the version of the data that e is stored as.
func versionOf(e Event) int16 { return int16(len(formerOf(e)) + 1) }

// IsCurrent reports whether this build knows the type of rec, and its data is of the type's own version.
func (r *Registry) IsCurrent(rec Record) bool {
	versions := r.types[rec.Type]
	return len(versions) > 0 && int(rec.SchemaVersion) == len(versions)
}

// Decode returns the event in rec, in its type's own version whatever version was stored. It fails when
// this build does not know the type or the version of its data.
func (r *Registry) Decode(rec Record) (Event, error) {
	versions, version := r.types[rec.Type], int(rec.SchemaVersion)
	if version < 1 || version > len(versions) {
		return nil, fmt.Errorf("decode event at position %d: unknown type %s version %d", rec.Position, rec.Type, rec.SchemaVersion)
	}
	stored := reflect.New(versions[version-1])
	if err := jsonv2.Unmarshal(rec.Data, stored.Interface(), decoding); err != nil {
		return nil, fmt.Errorf("decode event at position %d: %w", rec.Position, err)
	}
	event := stored.Elem().Interface()
	for range len(versions) - version {
		event = event.(Former).Upcast()
	}
	return event.(Event), nil
}

// decoding is how events are read: names that come twice in what a customer sent stay so.
var decoding = jsontext.AllowDuplicateNames(true)
