package eventstore

import (
	"context"
	"sync"
)

// A Cache keeps the states of streams that are read much more often than they change. A
// state may be old: what is decided on it MUST be recorded with its version expected or
// guarded, and a caller that gets a [ConflictError] for it calls Forget and asks again. The
// zero Cache is not ready: see [NewCache]. It is safe for concurrent use.
type Cache[S State[S, E], E Event] struct {
	store *Store
	size  int

	mu        sync.Mutex
	known     map[string]Known[S]
	forgotten int // calls of Forget: what was read before one is not kept after it
}

// NewCache returns an empty cache of up to size streams.
func NewCache[S State[S, E], E Event](store *Store, size int) *Cache[S, E] {
	return &Cache[S, E]{store: store, size: size, known: map[string]Known[S]{}}
}

// Load returns the state of stream, as it was at some time since the last Forget. A stream
// without events is read each time.
func (c *Cache[S, E]) Load(ctx context.Context, stream string) (Known[S], error) {
	c.mu.Lock()
	known, ok := c.known[stream]
	forgotten := c.forgotten
	c.mu.Unlock()
	if ok {
		return known, nil
	}
	known, err := Load[S, E](ctx, c.store, stream)
	if err != nil || known.Version == 0 {
		return known, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgotten != forgotten {
		return known, nil
	}
	if len(c.known) >= c.size {
		clear(c.known) // what is in use comes back at its next Load
	}
	c.known[stream] = known
	return known, nil
}

// Forget makes the next Load of stream read it.
func (c *Cache[S, E]) Forget(stream string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, stream)
	c.forgotten++
}
