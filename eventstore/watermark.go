package eventstore

import (
	"context"
	"sync"
)

// A Watermark is a position that only rises and can be waited for. The zero Watermark is
// at 0 and ready to use. It is safe for concurrent use.
type Watermark struct {
	mu      sync.Mutex
	at      Position
	changed chan struct{} // closed at the next rise; nil while nobody waits
}

// Raise moves the watermark to pos, if that is higher, and wakes those who wait.
func (w *Watermark) Raise(pos Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if pos <= w.at {
		return
	}
	w.at = pos
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// At returns where the watermark is.
func (w *Watermark) At() Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// Next returns where the watermark is, and a channel that is closed when it rises.
func (w *Watermark) Next() (Position, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.at, w.changed
}

// Wait blocks until the watermark is at pos or above, or ctx is done.
func (w *Watermark) Wait(ctx context.Context, pos Position) error {
	for {
		at, changed := w.Next()
		if at >= pos {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
