package eventstore

import (
	"encoding/json"
	"slices"
	"sync"
)

// A batch is what one caller asks for. Its results are written before done is closed, and
// never after it was abandoned.
type batch struct {
	members  []member
	metadata json.RawMessage
	results  []Result // one for each member
	done     chan struct{}
	state    batchState // guarded by the queue's mutex

	events int // once it is encoded
	bytes  int // of their data, likewise
}

// A batchState says who may touch a batch.
type batchState int

const (
	waiting   batchState = iota // in the queue or in a group
	finished                    // done
	abandoned                   // its caller has left
)

// groupBytes bounds what one transaction of several batches writes, so that large events
// make it no longer than small ones do.
const groupBytes = 16 << 20

// A queue holds the batches that wait to be encoded, and those that wait for a group. Whoever
// finds nobody at work sees to it that somebody is: there is no goroutine while there is
// nothing to append.
type queue struct {
	limit int // events in a group

	mu       sync.Mutex
	arrived  []*batch // to be encoded
	encoding bool
	waiting  []*batch // for a group
	leading  bool
}

// arrive adds b to those to be encoded, and reports whether the caller must see to it that
// somebody encodes.
func (q *queue) arrive(b *batch) (encode bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.arrived = append(q.arrived, b)
	encode = !q.encoding
	q.encoding = true
	return encode
}

// arrivals removes and returns all that are to be encoded. When there are none, whoever
// encodes has ended.
func (q *queue) arrivals() []*batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	arrived := slices.DeleteFunc(q.arrived, isAbandoned)
	q.arrived = nil
	q.encoding = len(arrived) > 0
	return arrived
}

// isAbandoned reports whether b's caller has left.
func isAbandoned(b *batch) bool { return b.state == abandoned }

// put adds b to those that wait for a group, and reports whether the caller must see to it
// that somebody leads.
func (q *queue) put(b *batch) (lead bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, b)
	lead = !q.leading
	q.leading = true
	return lead
}

// putBack returns a group to the front of the queue.
func (q *queue) putBack(group []*batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.Concat(group, q.waiting)
}

// take removes the next group from the queue: at least one batch, and as many as fit. When
// none is left it ends the leadership and returns nil.
func (q *queue) take() []*batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, isAbandoned)
	n, events, bytes := 0, 0, 0
	for _, b := range q.waiting {
		events, bytes = events+b.events, bytes+b.bytes
		if n > 0 && (events > q.limit || bytes > groupBytes) {
			break
		}
		n++
	}
	group := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	q.leading = n > 0
	return group
}

// finish writes the results of a group by calling write for each batch whose caller still
// waits, and wakes those callers.
func (q *queue) finish(group []*batch, write func(*batch)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range group {
		if b.state == waiting {
			b.state = finished
			write(b)
			close(b.done)
		}
	}
}

// abandon gives up b, and reports whether that came before its results.
func (q *queue) abandon(b *batch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b.state == waiting {
		b.state = abandoned
	}
	return isAbandoned(b)
}
