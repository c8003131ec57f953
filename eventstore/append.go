package eventstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

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
	And     *Guard // of a further stream; nil: there is none
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
// The list of events and what they hold must not change from then on.
func (s *Store) Append(ctx context.Context, a Append) (Commit, error) {
	r := s.AppendEach(ctx, []Append{a})[0]
	return r.Commit, r.Err
}

// AppendEach records several appends, each by itself: that one fails hinders no other.
// They go into one transaction, in their order. It returns a result for each.
func (s *Store) AppendEach(ctx context.Context, appends []Append) []Result {
	results := make([]Result, len(appends))
	if len(appends) == 0 {
		return results
	}
	ctx, span := s.begin(ctx, len(appends))
	defer span.End()
	metadata, err := encodeMetadata(ctx)
	if err != nil {
		return failures(appends, err)
	}
	appends, err = s.sealEach(ctx, appends)
	if err != nil {
		return failures(appends, err)
	}
	b := &batch{members: make([]member, len(appends)), metadata: metadata, results: results, done: make(chan struct{})}
	for i, a := range appends {
		b.members[i].Append = a
	}
	if s.queue.arrive(b) {
		go s.encode()
	}
	select {
	case <-b.done:
		return results
	case <-ctx.Done():
		if !s.queue.abandon(b) { // it was committed, or refused, just now
			<-b.done
			return results
		}
		return failures(appends, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err()))
	}
}

// sealEach returns appends with their events sealed. While the database is away, it waits for it as for the commit.
func (s *Store) sealEach(ctx context.Context, appends []Append) ([]Append, error) {
	if s.seal == nil {
		return appends, nil
	}
	sealed := slices.Clone(appends)
	for i := range sealed {
		events, err := s.seal(ctx, sealed[i].Events)
		for wait := shortestWait; err != nil && IsUnavailable(err) && ctx.Err() == nil; wait = min(2*wait, longestWait) {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			events, err = s.seal(ctx, sealed[i].Events)
		}
		if err != nil {
			return appends, fmt.Errorf("seal events: %w", err)
		}
		sealed[i].Events = events
	}
	return sealed, nil
}

// failures returns err as the result of each append.
func failures(appends []Append, err error) []Result {
	results := make([]Result, len(appends))
	for i, a := range appends {
		results[i].Err = fmt.Errorf("append to %s: %w", a.Stream, err)
	}
	return results
}

// metadataKey is the context key of metadata.
type metadataKey struct{}

// WithMetadata returns a context whose appends carry m, and the trace that the context is in.
func WithMetadata(ctx context.Context, m Metadata) context.Context {
	return context.WithValue(ctx, metadataKey{}, m)
}

// encodeMetadata returns what is stored of what the context's appends carry.
func encodeMetadata(ctx context.Context) (json.RawMessage, error) {
	m, ok := ctx.Value(metadataKey{}).(Metadata)
	m.Trace = TraceFrom(ctx)
	if !ok && m.Trace == (Trace{}) {
		return json.RawMessage("{}"), nil
	}
	return encodeJSON(m)
}
