package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// An Append asks for events at the end of one stream, all or none.
type Append struct {
	Stream   string
	Expected Version // of the stream before; 0: it has no events
	Events   []Event

	// ID names the append, so that asking for it again finds the first outcome instead
	// of a conflict. The zero ID is replaced by a fresh one.
	ID uuid.UUID

	// Guard refuses the append unless another stream, too, is at the version at which
	// the caller decided. The zero Guard guards nothing.
	Guard Guard
}

// A Guard names a stream and the version that it must be at.
type Guard struct {
	Stream  string
	Version Version
}

// A Commit says where appended events went.
type Commit struct {
	Position   Position  // of the last event
	Version    Version   // of the stream after it
	RecordedAt time.Time // of the last event
}

// A Result is what came of one of several appends.
type Result struct {
	Commit
	Err error
}

// A ConflictError reports that a stream was not at the version that an append expected or
// guarded. Whoever gets it reads the stream and decides again.
type ConflictError struct {
	Stream           string
	Expected, Actual Version
}

// Error names the stream and the versions.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("stream %s is at version %d, not %d", e.Stream, e.Actual, e.Expected)
}

// Append records the events and returns when they are committed. It fails with a
// [ConflictError] when a stream is not where it is expected to be. When the connection is
// lost at the commit, it finds out what became of it and, if need be, tries again, until
// ctx is done; only then is the outcome unknown, and asking again with the same ID safe.
func (s *Store) Append(ctx context.Context, a Append) (Commit, error) {
	r := s.AppendEach(ctx, []Append{a})[0]
	return r.Commit, r.Err
}

// AppendEach records several appends, each by itself: that one fails hinders no other.
// They go into one transaction, in their order. It returns a result for each.
func (s *Store) AppendEach(ctx context.Context, appends []Append) []Result {
	results := make([]Result, len(appends))
	meta, err := encodeMetadata(ctx)
	members := make([]*member, 0, len(appends))
	for i := range appends {
		m, encodeErr := newMember(appends[i], meta)
		if err := errors.Join(err, encodeErr); err != nil {
			results[i].Err = fmt.Errorf("append to %s: %w", appends[i].Stream, err)
			continue
		}
		m.result = &results[i]
		members = append(members, m)
	}
	if len(members) == 0 {
		return results
	}

	batch := newBatch(members)
	s.enqueue(batch)
	select {
	case <-batch.done:
		return results
	case <-ctx.Done():
		if !s.queue.abandon(batch) { // it was committed, or refused, just now
			<-batch.done
			return results
		}
		results = make([]Result, len(appends)) // the batch may still write to the others
		for i := range results {
			results[i].Err = fmt.Errorf("append to %s: %w: %w", appends[i].Stream, ErrUnavailable, ctx.Err())
		}
		return results
	}
}

// A member is an append, encoded.
type member struct {
	Append
	records []Record // without what the commit gives them
	verdict Result   // as decided, not committed; its leader's alone
	result  *Result
}

// A recordKey is what an event is recognised by when it is appended again.
type recordKey struct {
	stream string
	id     uuid.UUID
}

// key returns that of the last event.
func (m *member) key() recordKey { return recordKey{m.Stream, m.records[len(m.records)-1].ID} }

// newMember encodes a. What Postgres would refuse is refused here, since one bad event
// would cost its whole group a second try.
func newMember(a Append, meta json.RawMessage) (*member, error) {
	if a.Stream == "" || len(a.Events) == 0 {
		return nil, errors.New("an append needs a stream and events")
	}
	if !utf8.ValidString(a.Stream) || strings.ContainsRune(a.Stream, 0) {
		return nil, errors.New("the name of a stream must be text")
	}
	id := a.ID
	if id == uuid.Nil {
		var err error
		if id, err = uuid.NewV7(); err != nil {
			return nil, err
		}
	}
	m := &member{Append: a, records: make([]Record, len(a.Events))}
	for i, e := range a.Events {
		data, err := encode(e)
		if err != nil {
			return nil, err
		}
		m.records[i] = Record{
			ID: eventID(id, i), SchemaVersion: schemaVersion, Stream: a.Stream,
			Type: e.EventType(), Data: data, Metadata: meta,
		}
	}
	return m, nil
}

// eventID returns the ID of the n-th event of an append: the append's own for the first.
func eventID(id uuid.UUID, n int) uuid.UUID {
	if n == 0 {
		return id
	}
	return uuid.NewSHA1(id, []byte{byte(n >> 8), byte(n)})
}

// metadataKey is the context key of metadata.
type metadataKey struct{}

// WithMetadata returns a context whose appends carry m.
func WithMetadata(ctx context.Context, m Metadata) context.Context {
	return context.WithValue(ctx, metadataKey{}, m)
}

// encodeMetadata returns what is stored of what the context's appends carry.
func encodeMetadata(ctx context.Context) (json.RawMessage, error) {
	if m, ok := ctx.Value(metadataKey{}).(Metadata); ok {
		return encode(m)
	}
	return json.RawMessage("{}"), nil
}
