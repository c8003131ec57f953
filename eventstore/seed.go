package eventstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// seedKey is the context key of a seed.
type seedKey struct{}

// A seed is what the IDs of appends are made from.
type seed struct {
	secret []byte

	mu    sync.Mutex
	turns map[string]uint64 // commands executed so far, by stream
}

// WithSeed returns a context under which work can be done again after a crash hid what came
// of it. A command that is executed gets, as the ID of its append, a function of secret, of its
// stream, and of how many were executed on that stream in the context before. Whoever does
// the same work again in a new context of the same secret gets the first outcomes, and records
// what was missing.
func WithSeed(ctx context.Context, secret []byte) context.Context {
	return context.WithValue(ctx, seedKey{}, &seed{secret: secret, turns: map[string]uint64{}})
}

// appendID returns the ID of the next append to stream, the zero ID when ctx has no seed.
func appendID(ctx context.Context, stream string) uuid.UUID {
	s, _ := ctx.Value(seedKey{}).(*seed)
	if s == nil {
		return uuid.Nil
	}
	s.mu.Lock()
	turn := s.turns[stream]
	s.turns[stream]++
	s.mu.Unlock()
	return NewAppendID(s.secret, stream, turn)
}

// withIDs returns plans with an ID each, when ctx has a seed.
func withIDs[S State[S, E], E Event](ctx context.Context, plans []Plan[S, E]) []Plan[S, E] {
	if ctx.Value(seedKey{}) == nil {
		return plans
	}
	plans = slices.Clone(plans)
	for i := range plans {
		if plans[i].ID == uuid.Nil {
			plans[i].ID = appendID(ctx, plans[i].Command.Stream())
		}
	}
	return plans
}

// NewAppendID returns the ID of an append that is a function of its arguments.
func NewAppendID(secret []byte, stream string, turn uint64) uuid.UUID {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(secret)))) // a hash takes everything
	h.Write(secret)
	h.Write(binary.BigEndian.AppendUint64(nil, turn))
	h.Write([]byte(stream))
	id := uuid.UUID(h.Sum(nil)[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // of version 8: made by one's own rule
	return id
}

// appended returns how many of a stream's records there were after the append of that ID, 0
// when it is not among them.
func appended(records []Record, id uuid.UUID) int {
	for first := range records {
		if records[first].ID != id {
			continue
		}
		end := first + 1
		for end < len(records) && records[end].ID == eventID(id, end-first) {
			end++
		}
		return end
	}
	return 0
}
