package webhooks

import (
	"context"
	"sync"
	"time"
)

// A pacer spreads the failures of attempts over time before they are recorded, and their destinations attempted again. Those that
// share an outage fail all at once, a time-out after they were attempted at once, and would do so again and again: each time the
// log, its followers and the claims would have as much to do as when as many succeed, and those that do succeed would wait. What
// was spread once begins, and so ends, spread. Nobody waits for a failure meanwhile.
type pacer struct {
	now  func() time.Time
	mu   sync.Mutex
	next time.Time // turn
}

// Bounds of a pacer.
const (
	failureEvery = 5 * time.Millisecond  // there is a turn,
	failuresOnce = 20 * time.Millisecond // and that often those whose turn has come go, together: a page costs more than an event.
	failureWait  = 8 * time.Second       // at most: well within [leaseMargin]
)

// wait waits for a failure's turn, or until ctx is done.
func (p *pacer) wait(ctx context.Context) {
	now := p.now()
	timer := time.NewTimer(p.turn(now).Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// turn returns when a failure goes that comes now.
func (p *pacer) turn(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	turn := p.next
	if turn.Before(now) {
		turn = now
	}
	if last := now.Add(failureWait - failuresOnce); turn.After(last) {
		turn = last
	}
	p.next = turn.Add(failureEvery)
	return turn.Truncate(failuresOnce).Add(failuresOnce)
}
