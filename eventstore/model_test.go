package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// A call is one append of a history, with when it began and ended by a common clock.
type call struct {
	eventstore.Append
	began, ended int64
	result       eventstore.Result
}

// A script is what one caller does: batches of appends, each with how its context fares.
type script []step

type step struct {
	appends []planned
	cancel  time.Duration // negative: never; 0: before the call
}

// A planned append says how to choose what depends on the moment.
type planned struct {
	stream, guard int // guard -1: none
	wrong         int // added to the version expected
	guardWrong    int // likewise
	events        int
	repeat        int // which earlier append of this history to repeat; negative: none
}

// drawScripts draws what callers do.
func drawScripts(t *rapid.T, streams int) []script {
	none := rapid.Just(-1)
	drawPlanned := rapid.Custom(func(t *rapid.T) planned {
		return planned{
			stream:     rapid.IntRange(0, streams-1).Draw(t, "stream"),
			guard:      rapid.OneOf(none, none, rapid.IntRange(0, streams-1)).Draw(t, "guard"),
			wrong:      rapid.SampledFrom([]int{0, 0, 0, 0, 1, -1}).Draw(t, "wrong"),
			guardWrong: rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "guard wrong"),
			events:     rapid.IntRange(1, 3).Draw(t, "events"),
			repeat:     rapid.OneOf(none, none, rapid.IntRange(0, 20)).Draw(t, "repeat"),
		}
	})
	drawStep := rapid.Custom(func(t *rapid.T) step {
		return step{
			appends: rapid.SliceOfN(drawPlanned, 1, 4).Draw(t, "appends"),
			cancel:  time.Duration(rapid.SampledFrom([]int{-1, -1, -1, 0, 100, 1000}).Draw(t, "cancel")) * time.Microsecond,
		}
	})
	return rapid.SliceOfN(rapid.Map(rapid.SliceOfN(drawStep, 1, 6), func(s []step) script { return s }), 1, 6).Draw(t, "scripts")
}

// A history is what callers did to the log at once, and what they were told.
type history struct {
	clock  atomic.Int64
	prefix string

	mu       sync.Mutex
	calls    []*call
	versions map[string]eventstore.Version // as far as callers were told
}

// plan turns what was drawn into an append.
func (h *history) plan(p planned) *call {
	h.mu.Lock()
	defer h.mu.Unlock()
	var c call
	if p.repeat >= 0 && p.repeat < len(h.calls) {
		c.Append = h.calls[p.repeat].Append
	} else {
		stream := h.prefix + strconv.Itoa(p.stream)
		c.Append = eventstore.Append{ID: uuid.New(), Stream: stream, Expected: max(0, h.versions[stream]+eventstore.Version(p.wrong))}
		for n := range p.events {
			c.Events = append(c.Events, noted{Text: c.ID.String() + " " + strconv.Itoa(n)})
		}
		if p.guard >= 0 {
			guard := h.prefix + strconv.Itoa(p.guard)
			c.Guard = eventstore.Guard{Stream: guard, Version: h.versions[guard] + eventstore.Version(p.guardWrong)}
		}
	}
	h.calls = append(h.calls, &c)
	return &c
}

// run does what s says.
func (h *history) run(store *eventstore.Store, s script) {
	for _, step := range s {
		calls := make([]*call, len(step.appends))
		appends := make([]eventstore.Append, len(step.appends))
		for i, p := range step.appends {
			calls[i] = h.plan(p)
			appends[i] = calls[i].Append
		}
		ctx, cancel := context.WithCancel(context.Background())
		switch {
		case step.cancel == 0:
			cancel()
		case step.cancel > 0:
			ctx, cancel = context.WithTimeout(context.Background(), step.cancel)
		}
		began := h.clock.Add(1)
		results := store.AppendEach(ctx, appends)
		ended := h.clock.Add(1)
		cancel()
		clear(appends) // they are the caller's again
		h.mu.Lock()
		for i, c := range calls {
			c.began, c.ended, c.result = began, ended, results[i]
			if c.result.Err == nil {
				h.versions[c.Stream] = max(h.versions[c.Stream], c.result.Version)
			}
		}
		h.mu.Unlock()
	}
}

// A commit is an append as the log has it.
type commit struct {
	first, last eventstore.Record
	count       int
}

// commits returns what records hold of the history, by ID.
func (h *history) commits(t require.TestingT, records []eventstore.Record) map[uuid.UUID]*commit {
	found := map[uuid.UUID]*commit{}
	for _, rec := range records {
		var id uuid.UUID
		var n int
		var text string
		_, err := fmt.Sscanf(textOf(t, rec), "%s %d", &text, &n)
		require.NoError(t, err)
		require.NoError(t, id.UnmarshalText([]byte(text)))
		c := found[id]
		if n == 0 {
			require.Nil(t, c, "append %s is in the log twice", id)
			require.Equal(t, id, rec.ID)
			c = &commit{first: rec}
			found[id] = c
		}
		require.NotNil(t, c, "append %s begins with event %d", id, n)
		require.Equal(t, n, c.count, "the events of append %s are in order", id)
		if n > 0 {
			require.Equal(t, c.last.Position+1, rec.Position, "the events of append %s lie together", id)
		}
		c.count, c.last = n+1, rec
	}
	return found
}

// check holds the history against the records that it left.
func (h *history) check(t require.TestingT, before, records []eventstore.Record) {
	found := h.commits(t, records)
	at := versionsAt(before, records)
	firstAck := map[uuid.UUID]int64{} // when the first caller was told of a commit
	asked := map[uuid.UUID]bool{}
	for _, c := range h.calls {
		asked[c.ID] = true
		if c.result.Err == nil && (firstAck[c.ID] == 0 || c.ended < firstAck[c.ID]) {
			firstAck[c.ID] = c.ended
		}
	}
	for id := range found {
		require.True(t, asked[id], "nobody asked for %s", id)
	}
	for _, c := range h.calls {
		committed := found[c.ID]
		switch conflict, ok := errors.AsType[*eventstore.ConflictError](c.result.Err); {
		case c.result.Err == nil:
			require.NotNil(t, committed, "acknowledged append %s is not in the log", c.ID)
			require.Equal(t, len(c.Events), committed.count)
			require.Equal(t, committed.last.Position, c.result.Position, "every caller is told the position of the first outcome")
			require.Equal(t, committed.last.Version, c.result.Version)
			require.True(t, committed.last.RecordedAt.Equal(c.result.RecordedAt))
			require.Equal(t, c.Expected+1, committed.first.Version, "an append goes where it was expected to")
			if c.Guard != (eventstore.Guard{}) {
				require.Equal(t, c.Guard.Version, at(c.Guard.Stream, committed.first.Position), "an append goes in while its guard holds")
			}
		case ok:
			require.NotEqual(t, conflict.Expected, conflict.Actual)
			require.True(t, conflict.Stream == c.Stream && conflict.Expected == c.Expected ||
				conflict.Stream == c.Guard.Stream && conflict.Expected == c.Guard.Version, "%v is about %v", conflict, c.Append)
			if ack := firstAck[c.ID]; ack > 0 {
				require.Less(t, c.began, ack, "append %s was refused after it had been acknowledged", c.ID)
			} else if committed != nil {
				require.True(t, h.unknown(c.ID), "refused append %s is in the log", c.ID)
			}
		default:
			require.ErrorIs(t, c.result.Err, eventstore.ErrUnavailable)
		}
	}
	h.checkRealTime(t)
}

// unknown reports whether some caller left before it was told what became of id.
func (h *history) unknown(id uuid.UUID) bool {
	return slices.ContainsFunc(h.calls, func(c *call) bool { return c.ID == id && errors.Is(c.result.Err, eventstore.ErrUnavailable) })
}

// checkRealTime fails the test unless an append that returned before another was first asked
// for has the lower position.
func (h *history) checkRealTime(t require.TestingT) {
	began := map[uuid.UUID]int64{}
	for _, c := range h.calls {
		if at, ok := began[c.ID]; !ok || c.began < at {
			began[c.ID] = c.began
		}
	}
	for _, a := range h.calls {
		for _, b := range h.calls {
			if a.result.Err == nil && b.result.Err == nil && a.ended < began[b.ID] {
				require.Less(t, a.result.Position, b.result.Position, "%s returned before %s began", a.ID, b.ID)
			}
		}
	}
}

// versionsAt returns what tells the version that a stream had just before a position.
func versionsAt(logs ...[]eventstore.Record) func(string, eventstore.Position) eventstore.Version {
	positions := map[string][]eventstore.Position{}
	for _, records := range logs {
		for _, rec := range records {
			positions[rec.Stream] = append(positions[rec.Stream], rec.Position)
		}
	}
	return func(stream string, before eventstore.Position) eventstore.Version {
		n, _ := slices.BinarySearch(positions[stream], before)
		return eventstore.Version(n)
	}
}

func TestWhateverCallersDoTheLogHoldsWhatTheyWereTold(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		before := wholeLog(t, pool)
		h := &history{prefix: fmt.Sprintf("run %d/", run), versions: map[string]eventstore.Version{}}
		h.clock.Store(1)
		scripts := drawScripts(t, rapid.IntRange(1, 4).Draw(t, "streams"))
		stores := newStores(pool, rapid.IntRange(1, 3).Draw(t, "processes"), rapid.SampledFrom([]int{1, 3, 4096}).Draw(t, "group size"))
		var wg sync.WaitGroup
		for i, s := range scripts {
			wg.Go(func() { h.run(stores[i%len(stores)], s) })
		}
		wg.Wait()
		for i, store := range stores { // what callers left behind is settled before what comes now
			_, err := store.Append(t.Context(), note(h.prefix+"end "+strconv.Itoa(i), 0, uuid.NewString()+" 0"))
			require.NoError(t, err)
		}
		records := checkLog(t, pool)
		fresh := slices.DeleteFunc(records[len(before):], func(rec eventstore.Record) bool {
			return len(rec.Stream) > len(h.prefix)+4 && rec.Stream[:len(h.prefix)+4] == h.prefix+"end "
		})
		h.check(t, nil, fresh)
	})
}

// newStores returns stores such as n processes would have.
func newStores(pool *pgxpool.Pool, n, groupSize int) []*eventstore.Store {
	stores := make([]*eventstore.Store, n)
	for i := range stores {
		stores[i] = newStore(pool, eventstore.Options{GroupSize: groupSize})
	}
	return stores
}

func TestProcessesShareOneOrder(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	const processes, callers, each = 3, 8, 40
	var wg sync.WaitGroup
	for p, store := range newStores(pool, processes, 0) {
		for c := range callers {
			wg.Go(func() {
				stream := fmt.Sprintf("%d/%d", p, c)
				last := eventstore.Position(0)
				for v := range each {
					got, err := store.Append(within(t), note(stream, eventstore.Version(v), "x"))
					if err != nil || got.Position <= last || got.Version != eventstore.Version(v+1) {
						t.Errorf("append %d to %s: %+v, %v", v, stream, got, err)
						return
					}
					last = got.Position
				}
			})
		}
	}
	wg.Wait()
	require.Len(t, checkLog(t, pool), processes*callers*each)
}
