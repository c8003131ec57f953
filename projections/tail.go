package projections

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A Tail is the newest part of the log, read and decoded once for all projections of a process that follow it
// there. Each page is checked against the log by the hash of its last record, which covers everything before, so
// that nothing is remembered that the log does not say: a database may have been restored. It is safe for
// concurrent use.
type Tail struct {
	decoder Decoder
	turn    chan struct{} // held by who uses what follows
	entries []tailEntry   // of positions without a gap, as they were decoded
	bytes   int           // of data in them
}

// A tailEntry is an entry, unless this build does not know the event: it may be of no concern to it.
type tailEntry struct {
	Entry
	fault error
}

// Bounds of a tail.
const (
	tailPage    = 1000                  // positions: who gets so many at once is behind, and reads for itself
	tailEntries = 4 * tailPage          // that are kept,
	tailBytes   = 16 << 20              // unless they are larger
	tailWait    = 50 * time.Millisecond // for others, before one reads for oneself: their connection may be dead
)

// NewTail returns a tail of which nothing is known yet.
func NewTail(decoder Decoder) *Tail {
	return &Tail{decoder: decoder, turn: make(chan struct{}, 1)}
}

// read returns those of the events at positions first to last that p makes something of.
func (t *Tail) read(ctx context.Context, tx pgx.Tx, p Projection, first, last eventstore.Position) ([]Entry, error) {
	if last-first+1 >= tailPage || !t.take() {
		return p.readRange(ctx, tx, t.decoder, first, last)
	}
	defer func() { <-t.turn }()
	if err := t.extend(ctx, tx, first, last); err != nil {
		return nil, err
	}
	begin := t.entries[0].Position
	page := make([]Entry, 0, last-first+1)
	for _, e := range t.entries[first-begin : last-begin+1] {
		if !p.concerns(e.Type) {
			continue
		}
		if e.fault != nil {
			return nil, e.fault
		}
		page = append(page, e.Entry)
	}
	t.trim()
	return page, p.complete(ctx, tx, t.decoder, page)
}

// take takes the turn. It is false when somebody has it for too long.
func (t *Tail) take() bool {
	select {
	case t.turn <- struct{}{}:
		return true
	default:
	}
	wait := time.NewTimer(tailWait)
	defer wait.Stop()
	select {
	case t.turn <- struct{}{}:
		return true
	case <-wait.C:
		return false
	}
}

// extend reads what is not known of positions first to last, or all of it where what is known lies elsewhere, or
// is not what the log says.
func (t *Tail) extend(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) error {
	if n := len(t.entries); n > 0 && t.entries[0].Position <= first && first <= t.entries[n-1].Position+1 {
		from := min(t.entries[n-1].Position, last)
		records, err := readDense(ctx, tx, from, last)
		if err != nil {
			return err
		}
		if bytes.Equal(records[0].Hash, t.entries[from-t.entries[0].Position].Hash) {
			t.add(records[1:])
			return nil
		}
	}
	t.entries, t.bytes = nil, 0
	records, err := readDense(ctx, tx, first, last)
	t.add(records)
	return err
}

// readDense returns the records at positions first to last, all of them.
func readDense(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) ([]eventstore.Record, error) {
	records, err := eventstore.ReadPage(ctx, tx, first, last)
	if err == nil && len(records) != int(last-first+1) {
		return nil, fmt.Errorf("read positions %d to %d: the log has %d records there", first, last, len(records))
	}
	return records, err
}

// add adds records to the end.
func (t *Tail) add(records []eventstore.Record) {
	for _, rec := range records {
		e := tailEntry{Entry: Entry{Record: rec}}
		if event, err := t.decoder.Decode(rec); err != nil {
			e.fault = err
		} else {
			e.Event = event.(domain.Event)
		}
		t.entries, t.bytes = append(t.entries, e), t.bytes+len(rec.Data)
	}
}

// trim forgets the older half of what is too much.
func (t *Tail) trim() {
	n := len(t.entries)
	if n <= tailEntries && t.bytes <= tailBytes {
		return
	}
	t.entries, t.bytes = append([]tailEntry(nil), t.entries[n/2:]...), 0
	for _, e := range t.entries {
		t.bytes += len(e.Data)
	}
}
