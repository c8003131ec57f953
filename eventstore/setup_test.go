package eventstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// noted is an event: text.
type noted struct {
	Text string `json:"text"`
}

// added is an event of a counter.
type added struct {
	N int `json:"n"`
}

// foreign is an event that belongs to no counter.
type foreign struct{}

// secretly is an event that no registry knows.
type secretly struct{}

func (noted) EventType() string    { return "noted" }
func (added) EventType() string    { return "added" }
func (foreign) EventType() string  { return "foreign" }
func (secretly) EventType() string { return "secretly" }

// newStore returns a store on pool that knows the events above, as a process of its own
// would have it.
func newStore(pool *pgxpool.Pool, opts ...eventstore.Options) *eventstore.Store {
	var o eventstore.Options
	if len(opts) > 0 {
		o = opts[0]
	}
	return eventstore.New(pool, eventstore.NewRegistry[eventstore.Event](noted{}, added{}, foreign{}), o)
}

// within returns a context for what must happen before the test loses patience.
func within(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// note returns an append of texts to a stream.
func note(stream string, expected eventstore.Version, texts ...string) eventstore.Append {
	a := eventstore.Append{Stream: stream, Expected: expected, ID: uuid.New()}
	for _, text := range texts {
		a.Events = append(a.Events, noted{Text: text})
	}
	return a
}

// fill appends n events to each of some streams, a few at a time, and returns the head.
func fill(tb testing.TB, store *eventstore.Store, n int, streams ...string) eventstore.Position {
	tb.Helper()
	var last eventstore.Position
	for v := range n {
		for _, stream := range streams {
			c, err := store.Append(within(tb), note(stream, eventstore.Version(v), fmt.Sprintf("%s %d", stream, v)))
			require.NoError(tb, err)
			last = c.Position
		}
	}
	return last
}

// wholeLog returns every record.
func wholeLog(t require.TestingT, pool *pgxpool.Pool) []eventstore.Record {
	records, err := eventstore.ReadPage(context.Background(), pool, 1, 1<<60)
	require.NoError(t, err)
	return records
}

// checkOrder fails the test unless positions, times, and the versions of each stream are
// what every log promises.
func checkOrder(t require.TestingT, records []eventstore.Record) {
	versions := map[string]eventstore.Version{}
	for i, rec := range records {
		require.Equal(t, eventstore.Position(i+1), rec.Position, "positions are dense")
		versions[rec.Stream]++
		require.Equal(t, versions[rec.Stream], rec.Version, "versions of %s are dense", rec.Stream)
		if i > 0 {
			require.True(t, rec.RecordedAt.After(records[i-1].RecordedAt), "times rise at position %d", rec.Position)
		}
	}
}

// checkLog fails the test unless the log keeps what it promises, and returns it.
func checkLog(t require.TestingT, pool *pgxpool.Pool) []eventstore.Record {
	records := wholeLog(t, pool)
	checkOrder(t, records)
	n, err := eventstore.Verify(context.Background(), pool, nil)
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(len(records)), n)
	return records
}

// textOf returns the text of a noted event.
func textOf(t require.TestingT, rec eventstore.Record) string {
	var e noted
	require.NoError(t, json.Unmarshal(rec.Data, &e))
	return e.Text
}

// texts returns the texts of noted events.
func texts(t require.TestingT, records []eventstore.Record) []string {
	all := make([]string, len(records))
	for i, rec := range records {
		all[i] = textOf(t, rec)
	}
	return all
}
