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
	want    Position      // the highest that somebody waits for, or did
	wanted  chan struct{} // closed when want is above the watermark; nil while nobody listens
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

// Wanted returns a channel that is closed once somebody in this process waits for the watermark to rise. Whoever
// raises it at leisure need not be at leisure then.
func (w *Watermark) Wanted() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wanted == nil {
		w.wanted = make(chan struct{})
	}
	wanted := w.wanted
	w.tell()
	return wanted
}

// demand notes that somebody waits for the watermark to be at pos.
func (w *Watermark) demand(pos Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.want = max(w.want, pos)
	w.tell()
}

// tell closes the channel of those who listen, if somebody waits.
func (w *Watermark) tell() {
	if w.wanted != nil && w.want > w.at {
		close(w.wanted)
		w.wanted = nil
	}
}

// Wait blocks until the watermark is at pos or above, or ctx is done.
func (w *Watermark) Wait(ctx context.Context, pos Position) error {
	w.demand(pos)
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
