package projections

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
	"github.com/openprospect/delivery-ledger/projections/personal"
)

// A Projection is one read model. It can be thrown away and built again from the log.
type Projection struct {
	// Name keys the projection's cursor. It never changes.
	Name string

	// Version is that of the tables' content. It is raised when the same events shall
	// give other rows, which then must be built anew.
	Version int

	// Tables are those that the projection owns. Nobody else writes them.
	Tables []string

	// Late are indexes of the tables by which Apply finds nothing: a build from the log makes
	// them when the rows are there, which costs less than to keep them meanwhile.
	Late []string

	// Types are the events that the projection makes something of.
	Types []string

	// Unread says that Apply needs no more of events than their records: a build from the log
	// leaves Event out of entries whose data is of its type's own version.
	Unread bool

	// Rest is the least time between two pages at the end of the log: see [follower.Config].
	Rest time.Duration

	// Personal says that the projection keeps what is personal: Apply gets its events in the clear, without what was erased.
	Personal bool

	// Cites returns the positions of earlier events of which an event has the rows made again. Apply gets
	// these events with it. Default: none.
	Cites func(event domain.Event) []eventstore.Position

	// Apply queues the statements that enter a page of such events in the tables. It is
	// called once for every page, in order, and MUST depend on nothing but the entries.
	// The rows MUST come out the same wherever the log is cut into pages.
	Apply func(batch *pgx.Batch, page []Entry)
}

// An Entry is an event with what the log says of it. Event may be absent where the projection leaves it unread.
type Entry struct {
	eventstore.Record
	Event domain.Event
	Cited []Entry // see [Projection]
}

// A Decoder reads events from records: an [eventstore.Registry], or a [personal.Reader], without which no projection can be
// made of events that are sealed and that it keeps in the clear.
type Decoder interface {
	Decode(rec eventstore.Record) (eventstore.Event, error)
	IsCurrent(rec eventstore.Record) bool
}

// All returns every projection that the ledger keeps.
func All() []Projection {
	return []Projection{Deliveries(), Companies(), Dispatches(), Erasures(), History(), Replays(), Requalifications(), Stats(), Daily()}
}

// atLeisure is the rest of projections that no webhook waits for: a few large pages cost much less than many small
// ones. Whoever waits to read them is not kept waiting; see [follower.Config].
const atLeisure = 100 * time.Millisecond

// walk has a page's rows found by the indexes that there are for them. While a table is small, or its
// statistics are old, Postgres would read all of it instead, for each page.
const walk = `SET LOCAL enable_seqscan = off`

// ApplyRange enters the events at positions first to last with tx, which must also move the
// projection's cursor from first-1 to last.
func (p Projection) ApplyRange(ctx context.Context, tx pgx.Tx, decoder Decoder, first, last eventstore.Position) error {
	page, err := p.readRange(ctx, tx, decoder, first, last)
	if err != nil {
		return err
	}
	return p.applyPage(ctx, tx, page)
}

// readRange returns those of the events at positions first to last that the projection makes something of.
func (p Projection) readRange(ctx context.Context, q eventstore.Querier, decoder Decoder, first, last eventstore.Position) ([]Entry, error) {
	records, err := eventstore.ReadPage(ctx, q, first, last, p.Types...)
	if err != nil {
		return nil, err
	}
	page, err := p.decode(decoder, records)
	if err != nil {
		return nil, err
	}
	return page, p.complete(ctx, q, decoder, page)
}

// decode returns the entries of records.
func (p Projection) decode(decoder Decoder, records []eventstore.Record) ([]Entry, error) {
	page := make([]Entry, len(records))
	for i, rec := range records {
		page[i].Record = rec
		if p.Unread && decoder.IsCurrent(rec) {
			continue
		}
		event, err := decoder.Decode(rec)
		if err != nil {
			return nil, err
		}
		page[i].Event = event.(domain.Event)
	}
	return page, nil
}

// complete opens a page's events, where the projection is personal, and reads the events that they cite.
func (p Projection) complete(ctx context.Context, q eventstore.Querier, decoder Decoder, page []Entry) error {
	if p.Personal {
		if err := open(ctx, decoder, page); err != nil {
			return err
		}
	}
	if p.Cites == nil {
		return nil
	}
	for i := range page {
		positions := p.Cites(page[i].Event)
		if len(positions) == 0 {
			continue
		}
		records, err := eventstore.ReadAt(ctx, q, positions)
		if err != nil {
			return err
		}
		cited, err := p.decode(decoder, records)
		if err != nil {
			return err
		}
		if err := open(ctx, decoder, cited); err != nil {
			return err
		}
		page[i].Cited = cited
	}
	return nil
}

// open opens the events of a page.
func open(ctx context.Context, decoder Decoder, page []Entry) error {
	positions, events := make([]eventstore.Position, len(page)), make([]domain.Event, len(page))
	for i, entry := range page {
		positions[i], events[i] = entry.Position, entry.Event
	}
	keyring, ok := decoder.(interface {
		OpenEach(ctx context.Context, positions []eventstore.Position, events []domain.Event) error
	})
	if !ok {
		keyring = (*personal.Keyring)(nil)
	}
	if err := keyring.OpenEach(ctx, positions, events); err != nil {
		return err
	}
	for i := range page {
		page[i].Event = events[i]
	}
	return nil
}

// applyPage enters a page in the tables that tx finds.
func (p Projection) applyPage(ctx context.Context, tx pgx.Tx, page []Entry) error {
	return p.send(ctx, tx, p.statements(page))
}

// statements returns what enters a page, nil when that is nothing.
func (p Projection) statements(page []Entry) *pgx.Batch {
	var batch pgx.Batch
	batch.Queue(walk)
	if p.Apply(&batch, page); batch.Len() == 1 {
		return nil
	}
	return &batch
}

// send executes the statements that enter a page.
func (p Projection) send(ctx context.Context, tx pgx.Tx, statements *pgx.Batch) error {
	if statements == nil {
		return nil
	}
	if err := tx.SendBatch(ctx, statements).Close(); err != nil {
		return fmt.Errorf("write %s: %w", p.Name, err)
	}
	return nil
}

// sendIn executes the statements that enter a page in the projection's tables of a schema. It sets the search path to that
// schema, so that nothing else can be written, or read.
func (p Projection) sendIn(ctx context.Context, tx pgx.Tx, schema string, statements *pgx.Batch) error {
	if err := lookIn(ctx, tx, schema); err != nil {
		return err
	}
	return p.send(ctx, tx, statements)
}

// Follower returns what keeps the projection up to date on a router. All that follow in a process share the tail.
func (p Projection) Follower(tail *Tail) follower.Config {
	return follower.Config{
		Name: p.Name, Version: p.Version, Rest: p.Rest,
		Apply: func(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) error {
			page, err := tail.read(ctx, tx, p, first, last)
			if err != nil {
				return err
			}
			return p.applyPage(ctx, tx, page)
		},
	}
}

// concerns reports whether the projection makes something of events of that type.
func (p Projection) concerns(eventType string) bool { return slices.Contains(p.Types, eventType) }

// types returns the names of the events' types.
func types(events ...domain.Event) []string {
	names := make([]string, len(events))
	for i, e := range events {
		names[i] = e.EventType()
	}
	return names
}
