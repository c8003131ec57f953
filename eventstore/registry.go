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

// A Registry turns records back into events. It is immutable and safe for concurrent use.
type Registry struct{ types map[string]reflect.Type }

// NewRegistry returns a registry of the events' types. It panics when two share a name.
func NewRegistry[E Event](events ...E) *Registry {
	r := &Registry{types: make(map[string]reflect.Type, len(events))}
	for _, e := range events {
		if _, ok := r.types[e.EventType()]; ok {
			panic("eventstore: two event types named " + e.EventType())
		}
		r.types[e.EventType()] = reflect.TypeOf(e)
	}
	return r
}

// Decode returns the event in rec. It fails when this build does not know its type or
// the version of its data.
func (r *Registry) Decode(rec Record) (Event, error) {
	t, ok := r.types[rec.Type]
	if !ok || rec.SchemaVersion != schemaVersion {
		return nil, fmt.Errorf("decode event at position %d: unknown type %s version %d", rec.Position, rec.Type, rec.SchemaVersion)
	}
	event := reflect.New(t)
	if err := jsonv2.Unmarshal(rec.Data, event.Interface(), decoding); err != nil {
		return nil, fmt.Errorf("decode event at position %d: %w", rec.Position, err)
	}
	return event.Elem().Interface().(Event), nil
}

// decoding is how events are read: names that come twice in what a customer sent stay so.
var decoding = jsontext.AllowDuplicateNames(true)
