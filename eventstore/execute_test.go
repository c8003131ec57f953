package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// counter is what added events add up to.
type counter struct{ Sum, Events int }

// counterEvent is an event of a counter.
type counterEvent interface {
	eventstore.Event
	amount() int
}

func (a added) amount() int { return a.N }

// Evolve adds an event to the counter.
func (c counter) Evolve(e counterEvent) counter {
	return counter{c.Sum + e.amount(), c.Events + 1}
}

// add is a command: to add N, but no further than to Limit.
type add struct {
	Counter  string
	N, Limit int
	Before   func(try int) // called when it is decided; counts from 1
	tries    *int
}

// errLimit is add's refusal.
var errLimit = errors.New("that is too much")

func (a add) Stream() string { return a.Counter }

func (a add) Decide(c counter, _ time.Time) ([]counterEvent, error) {
	if a.tries != nil {
		*a.tries++
		a.Before(*a.tries)
	}
	switch {
	case a.N == 0:
		return nil, nil
	case a.Limit > 0 && c.Sum+a.N > a.Limit:
		return nil, errLimit
	}
	return []counterEvent{added{a.N}}, nil
}

// plan returns cmd, when nothing is known of its stream.
func plan(cmd add) eventstore.Plan[counter, counterEvent] {
	return eventstore.Plan[counter, counterEvent]{Command: cmd}
}

func TestExecuteRecordsWhatIsDecided(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	for i := 1; i <= 3; i++ {
		o, err := eventstore.Execute(within(t), store, add{Counter: "a", N: 2})
		require.NoError(t, err)
		require.Equal(t, counter{2 * i, i}, o.State)
		require.Equal(t, eventstore.Version(i), o.Version)
		require.Equal(t, eventstore.Position(i), o.Commit.Position)
	}
	o, err := eventstore.Execute(within(t), store, add{Counter: "a"})
	require.NoError(t, err)
	require.Zero(t, o.Commit, "nothing to do is recorded as nothing")
	require.Equal(t, counter{6, 3}, o.State)
	require.Equal(t, eventstore.Version(3), o.Version)
	known, err := eventstore.Load[counter, counterEvent](within(t), store, "a")
	require.NoError(t, err)
	require.Equal(t, o.Known, known)
	require.Len(t, checkLog(t, pool), 3)
}

func TestARefusalComesBackAsItIs(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	o, err := eventstore.Execute(within(t), newStore(pool), add{Counter: "a", N: 3, Limit: 2})
	require.Same(t, errLimit, err)
	require.Same(t, errLimit, o.Err)
	require.Empty(t, wholeLog(t, pool))
}

func TestALostRaceIsDecidedAgain(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store, other := newStore(pool), newStore(pool)
	tries := 0
	cmd := add{Counter: "a", N: 1, Limit: 4, tries: &tries, Before: func(try int) {
		if try <= 3 { // somebody is faster
			_, err := eventstore.Execute(t.Context(), other, add{Counter: "a", N: 1})
			require.NoError(t, err)
		}
	}}
	o, err := eventstore.Execute(within(t), store, cmd)
	require.NoError(t, err)
	require.Equal(t, 4, tries)
	require.Equal(t, counter{4, 4}, o.State)

	tries = 0
	_, err = eventstore.Execute(within(t), store, cmd)
	require.Same(t, errLimit, err, "it is the later state that counts")
	require.Len(t, checkLog(t, pool), 5)
}

func TestARaceThatIsLostEachTimeEndsWithItsConflict(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	tries := 0
	cmd := add{Counter: "a", N: 1, tries: &tries, Before: func(int) {
		_, err := eventstore.Execute(t.Context(), store, add{Counter: "a", N: 1})
		require.NoError(t, err)
	}}
	_, err := eventstore.Execute(within(t), store, cmd)
	var conflict *eventstore.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, 20, tries)
}

func TestConcurrentCommandsLoseNothing(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	stores := newStores(pool, 2, 0)
	const callers, each = 8, 8
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for range each {
				if _, err := eventstore.Execute(within(t), stores[c%2], add{Counter: "a", N: 1}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	known, err := eventstore.Load[counter, counterEvent](within(t), stores[0], "a")
	require.NoError(t, err)
	require.Equal(t, counter{callers * each, callers * each}, known.State)
	checkLog(t, pool)
}

func TestExecuteEachDecidesEachPlanByItself(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	_, err := eventstore.Execute(within(t), store, add{Counter: "old", N: 5})
	require.NoError(t, err)
	guarded := plan(add{Counter: "guarded", N: 1})
	guarded.Guard = eventstore.Guard{Stream: "old", Version: 0}
	held := plan(add{Counter: "held", N: 1})
	held.Guard = eventstore.Guard{Stream: "old", Version: 1}
	outcomes := eventstore.ExecuteEach(within(t), store, []eventstore.Plan[counter, counterEvent]{
		plan(add{Counter: "new", N: 1}),
		plan(add{Counter: "new", N: 1}),           // the same stream once more
		plan(add{Counter: "old", N: 1, Limit: 6}), // known by an old state
		plan(add{Counter: "over", N: 9, Limit: 1}),
		plan(add{Counter: "idle"}),
		guarded,
		held,
	})
	for _, i := range []int{0, 1, 2, 4} {
		require.NoError(t, outcomes[i].Err, "plan %d", i)
	}
	require.Equal(t, counter{1, 1}, outcomes[0].State)
	require.Equal(t, counter{2, 2}, outcomes[1].State)
	require.Equal(t, counter{6, 2}, outcomes[2].State)
	require.Same(t, errLimit, outcomes[3].Err)
	require.Zero(t, outcomes[4].Commit)
	requireConflict(t, outcomes[5].Err, "old", 0, 1)
	require.NoError(t, outcomes[6].Err, "its guard held when it was recorded")
	require.Less(t, outcomes[6].Commit.Position, outcomes[2].Commit.Position)
	require.Len(t, checkLog(t, pool), 5)
}

func TestAStreamThatThisBuildCannotReadIsAnError(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	for stream, e := range map[string]eventstore.Event{"unknown": secretly{}, "mixed": foreign{}} {
		_, err := store.Append(within(t), eventstore.Append{Stream: stream, Events: []eventstore.Event{e}})
		require.NoError(t, err)
	}
	_, err := eventstore.Execute(within(t), store, add{Counter: "unknown", N: 1})
	require.ErrorContains(t, err, "unknown type secretly")
	_, err = eventstore.Execute(within(t), store, add{Counter: "mixed", N: 1})
	require.ErrorContains(t, err, "foreign is no event of this stream")

	tries := 0
	o := eventstore.ExecuteEach(within(t), store, []eventstore.Plan[counter, counterEvent]{
		plan(add{Counter: "unknown", N: 1, tries: &tries, Before: func(int) {}}),
	})[0]
	require.ErrorContains(t, o.Err, "unknown type secretly", "not a conflict that nobody can settle")
	require.Equal(t, 1, tries)
}

func TestCommandsAreDecidedByTheStoresClock(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)
	store := newStore(testdb.New(t), eventstore.Options{Now: func() time.Time { return noon }})
	var got time.Time
	_, err := eventstore.Execute(within(t), store, timed{&got})
	require.NoError(t, err)
	require.Equal(t, noon, got)
}

// timed is a command that notes when it was decided.
type timed struct{ at *time.Time }

func (timed) Stream() string { return "timed" }

func (c timed) Decide(_ counter, now time.Time) ([]counterEvent, error) {
	*c.at = now
	return nil, nil
}

func TestACacheShowsWhatItReadUntilItIsToldToForget(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	cache := eventstore.NewCache[counter, counterEvent](store, 2)
	load := func(stream string) eventstore.Known[counter] {
		known, err := cache.Load(within(t), stream)
		require.NoError(t, err)
		return known
	}
	addOne := func(stream string) {
		_, err := eventstore.Execute(within(t), store, add{Counter: stream, N: 1})
		require.NoError(t, err)
	}
	require.Zero(t, load("a"))
	addOne("a")
	require.Equal(t, counter{1, 1}, load("a").State, "a stream without events is read each time")
	addOne("a")
	require.Equal(t, counter{1, 1}, load("a").State)
	cache.Forget("a")
	require.Equal(t, counter{2, 2}, load("a").State)
	for i := range 5 { // more than it keeps
		stream := fmt.Sprint("b", i)
		addOne(stream)
		require.Equal(t, counter{1, 1}, load(stream).State)
	}
	addOne("a")
	require.Equal(t, counter{3, 3}, load("a").State, "what it has no room for it reads again")
}

func TestACacheKeepsNothingThatWasReadBeforeForget(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	_, err := eventstore.Execute(within(t), store, add{Counter: "a", N: 1})
	require.NoError(t, err)
	cache := eventstore.NewCache[slow, counterEvent](store, 10)
	ctx, reading := context.WithCancel(t.Context())
	forgotten := make(chan struct{})
	hold := func() { reading(); <-forgotten }
	slowly.Store(t.Name(), &hold)
	go func() {
		defer close(forgotten)
		<-ctx.Done()
		_, err := eventstore.Execute(t.Context(), store, add{Counter: "a", N: 1})
		if err != nil {
			t.Error(err)
		}
		cache.Forget("a")
	}()
	old, err := cache.Load(within(t), "a")
	require.NoError(t, err)
	require.Equal(t, eventstore.Version(1), old.Version)
	slowly.Delete(t.Name())
	known, err := cache.Load(within(t), "a")
	require.NoError(t, err)
	require.Equal(t, eventstore.Version(2), known.Version)
}

// slow is a state that can be held while it is folded.
type slow struct{}

// slowly holds who folds a slow state.
var slowly sync.Map

// Evolve waits for whoever holds it.
func (s slow) Evolve(counterEvent) slow {
	slowly.Range(func(_, hold any) bool { (*hold.(*func()))(); return true })
	return s
}
