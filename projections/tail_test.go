package projections_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// unheard is an event that this build does not know.
type unheard struct{}

func (unheard) EventType() string { return "unheard.of" }

// got returns what a projection gets of positions first to last that follows by tail.
func (b *bundle) got(t require.TestingT, tail *projections.Tail, first, last eventstore.Position, types ...string) (page []projections.Entry, err error) {
	p := projections.Projection{Name: "collector", Types: types, Apply: func(_ *pgx.Batch, given []projections.Entry) { page = given }}
	txErr := pgx.BeginFunc(within(t.(testing.TB)), b.pool, func(tx pgx.Tx) error {
		err = p.Follower(tail).Apply(within(t.(testing.TB)), tx, first, last)
		return nil
	})
	require.NoError(t, txErr)
	return page, err
}

// logged returns a ledger with a log of some length, that is its own.
func logged(t *testing.T, companies int) (b *bundle, head eventstore.Position) {
	t.Helper()
	b = newBundle(testdb.New(t))
	d := b.delivery(t, "search_1", webhook())
	for range companies {
		h := b.qualify(t, d, "comp_"+string(domain.NewHandOverID()))
		for id := range d.Destinations {
			b.attempt(t, domain.DispatchIDFor(h.ID, id), "", 200)
		}
	}
	head, err := b.store.Head(within(t))
	require.NoError(t, err)
	return b, head
}

func TestTailIsWhatTheLogSaysWhoeverReadsWhichPartOfIt(t *testing.T) {
	t.Parallel()
	b, head := logged(t, 20)
	restored, other := logged(t, 20) // as after a restore: other records at the same positions
	require.Equal(t, head, other)
	kinds := []string{
		domain.CompanyQualified{}.EventType(), domain.AttemptSucceeded{}.EventType(), domain.DeliveryCreated{}.EventType(),
	}
	rapid.Check(t, func(rt *rapid.T) {
		tail := projections.NewTail(b.store.Registry())
		for range rapid.IntRange(1, 20).Draw(rt, "reads") {
			from := b
			if rapid.IntRange(0, 3).Draw(rt, "log") == 3 {
				from = restored
			}
			first := eventstore.Position(rapid.Int64Range(1, int64(head)).Draw(rt, "first"))
			last := eventstore.Position(rapid.Int64Range(int64(first), int64(head)).Draw(rt, "last"))
			types := rapid.SliceOfNDistinct(rapid.SampledFrom(kinds), 1, 3, rapid.ID[string]).Draw(rt, "types")
			page, err := from.got(t, tail, first, last, types...)
			require.NoError(rt, err)
			want, err := eventstore.ReadPage(within(t), from.pool, first, last, types...)
			require.NoError(rt, err)
			require.Len(rt, page, len(want))
			for i, entry := range page {
				require.Equal(rt, want[i], entry.Record)
				event, err := b.store.Registry().Decode(want[i])
				require.NoError(rt, err)
				require.Equal(rt, event, entry.Event)
			}
		}
	})
}

func TestEventThatIsNotKnownStopsOnlyWhoIsConcerned(t *testing.T) {
	t.Parallel()
	b, head := logged(t, 2)
	commit, err := b.store.Append(within(t), eventstore.Append{Stream: "s", Events: []eventstore.Event{unheard{}}})
	require.NoError(t, err)
	tail := projections.NewTail(b.store.Registry())
	known := domain.CompanyQualified{}.EventType()
	for range 2 { // when it is read, and when it is remembered
		page, err := b.got(t, tail, 1, commit.Position, known)
		require.NoError(t, err)
		require.Len(t, page, 2)
		_, err = b.got(t, tail, 1, commit.Position, known, unheard{}.EventType())
		require.ErrorContains(t, err, "unheard.of")
	}
	_, err = b.got(t, tail, head, commit.Position+1, known)
	require.ErrorContains(t, err, "the log has", "a hole is no page")
}

func TestTailForgetsWhatIsOld(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	const page, pages = 900, 8
	tail := projections.NewTail(b.store.Registry())
	last := eventstore.Position(0)
	for range pages {
		events := slices.Repeat([]eventstore.Event{domain.DeliveryPaused{Delivery: "dcf_1"}}, page)
		commit, err := b.store.Append(within(t), eventstore.Append{Stream: "s", Expected: eventstore.Version(last), Events: events})
		require.NoError(t, err)
		got, err := b.got(t, tail, last+1, commit.Position, domain.DeliveryPaused{}.EventType())
		require.NoError(t, err)
		require.Len(t, got, page)
		last = commit.Position
	}
	require.Less(t, tail.Len(), page*pages)
	got, err := b.got(t, tail, 1, page, domain.DeliveryPaused{}.EventType())
	require.NoError(t, err)
	require.Len(t, got, page, "what was forgotten is read again")
}
