package eventstore

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// lookupTimeout bounds one read of a [Lookup]. Its callers may give up earlier.
const lookupTimeout = 10 * time.Second

// A Lookup reads the states of streams that hardly ever have events, for many callers at once: those
// who ask while it reads share the next read, so that asking for each request costs little. A state is
// at least as new as the call that asked for it: what was committed before counts. The zero Lookup is
// not ready: see [NewLookup]. It is safe for concurrent use.
type Lookup[S State[S, E], E Event] struct {
	store *Store

	mu      sync.Mutex
	next    *sharedRead[S] // whoever asks now takes part in it; nil: nobody has asked
	reading bool
}

// A sharedRead is one read, for several callers.
type sharedRead[S any] struct {
	streams []string
	done    chan struct{} // closed when the rest is there
	found   map[string]Known[S]
	err     error
}

// NewLookup returns a lookup in store.
func NewLookup[S State[S, E], E Event](store *Store) *Lookup[S, E] {
	return &Lookup[S, E]{store: store}
}

// Load returns the states of those of the streams, and perhaps of others, that have events. The map is
// shared: nobody may change it.
func (l *Lookup[S, E]) Load(ctx context.Context, streams []string) (map[string]Known[S], error) {
	read := l.join(streams)
	select {
	case <-read.done:
		return read.found, read.err
	case <-ctx.Done():
		return nil, fmt.Errorf("look up %d streams: %w: %w", len(streams), ErrUnavailable, ctx.Err())
	}
}

// join returns the next read, which is about those streams too.
func (l *Lookup[S, E]) join(streams []string) *sharedRead[S] {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		l.next = &sharedRead[S]{done: make(chan struct{})}
	}
	l.next.streams = append(l.next.streams, streams...)
	if !l.reading {
		l.reading = true
		go l.run()
	}
	return l.next
}

// run reads, one after the other, until nobody asks any more.
func (l *Lookup[S, E]) run() {
	for read := l.take(); read != nil; read = l.take() {
		read.found, read.err = l.load(read.streams)
		close(read.done)
	}
}

// take returns the read to be made now, nil when there is none.
func (l *Lookup[S, E]) take() *sharedRead[S] {
	l.mu.Lock()
	defer l.mu.Unlock()
	read := l.next
	l.next, l.reading = nil, read != nil
	return read
}

// load reads streams.
func (l *Lookup[S, E]) load(streams []string) (map[string]Known[S], error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	records, err := l.store.readStreams(ctx, streams)
	if err != nil {
		return nil, err
	}
	found := make(map[string]Known[S], len(records))
	for stream, list := range records {
		if found[stream], err = fold[S, E](l.store.registry, list); err != nil {
			return nil, err
		}
	}
	return found, nil
}
