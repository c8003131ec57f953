package eventstore

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// A Position is an event's place in the whole log, from 1.
type Position int64

// A Version is an event's place in its stream, from 1. A stream's version is that of its
// last event, 0 when it has none.
type Version int64

// A Record is an event as it was committed.
type Record struct {
	Position      Position        `db:"position"`
	Version       Version         `db:"version"`
	RecordedAt    time.Time       `db:"recorded_at"`
	ID            uuid.UUID       `db:"id"`
	SchemaVersion int16           `db:"schema_version"`
	Stream        string          `db:"stream"`
	Type          string          `db:"type"`
	Data          json.RawMessage `db:"data"`
	Metadata      json.RawMessage `db:"metadata"`
	Hash          []byte          `db:"hash"`
}

// columns are those of a Record, in its order.
const columns = `position, version, recorded_at, id, schema_version, stream, type, data, metadata, hash`

// Metadata says why an event was recorded. It is never part of a decision.
type Metadata struct {
	Actor   string `json:"actor,omitempty"`   // who asked for it: an API key, a worker
	Request string `json:"request,omitempty"` // the X-Request-Id of the request that caused it
	Cause   string `json:"cause,omitempty"`   // ID of the event that caused it
	Trace          // where it was recorded; entered by the store, from the context
}
