package eventstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestWorkThatIsDoneAgainFindsItsFirstOutcome(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	work := func(secret string) (outcomes []eventstore.Outcome[counter]) {
		ctx := eventstore.WithSeed(within(t), []byte(secret))
		for _, n := range []int{2, 0, 3} {
			o, err := eventstore.Execute(ctx, store, add{Counter: "a", N: n})
			require.NoError(t, err)
			outcomes = append(outcomes, o)
		}
		return append(outcomes, eventstore.ExecuteEach(ctx, store, []eventstore.Plan[counter, counterEvent]{
			plan(add{Counter: "b", N: 1}), plan(add{Counter: "b", N: 1}), plan(add{Counter: "a", N: 4}),
		})...)
	}
	first := work("one")
	_, err := eventstore.Execute(within(t), store, add{Counter: "a", N: 100})
	require.NoError(t, err)
	again := work("one")
	for i, o := range first {
		require.NoError(t, o.Err)
		if o.Commit.Position == 0 { // it recorded nothing, and is decided on what there is
			require.Zero(t, again[i].Commit)
			continue
		}
		require.Equal(t, o.Known, again[i].Known, "%d: not what came after it", i)
		require.Equal(t, o.Commit, again[i].Commit)
	}
	require.Len(t, checkLog(t, pool), 6)
	work("another")
	require.Len(t, checkLog(t, pool), 11)
}

func TestWorkThatBrokeOffIsFinished(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	rapid.Check(t, func(rt *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "secret")
		counters := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 6).Draw(rt, "counters")
		before := len(wholeLog(rt, pool))
		for broke := range len(counters) + 1 {
			ctx := eventstore.WithSeed(within(t), secret)
			for _, c := range counters[:broke] {
				_, err := eventstore.Execute(ctx, store, add{Counter: c, N: 1})
				require.NoError(rt, err)
			}
		}
		require.Len(rt, wholeLog(rt, pool), before+len(counters))
	})
}

// Whoever looked before the first writer wrote, and decided again because a third was faster,
// must find the first outcome then.
func TestWorkThatIsDoneTwiceAtOnceIsDoneOnce(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store, other := newStore(pool), newStore(pool)
	tries := 0
	slow := add{Counter: "a", N: 1, tries: &tries, Before: func(try int) {
		if try > 1 {
			return
		}
		_, err := eventstore.Execute(within(t), other, add{Counter: "a", N: 10})
		require.NoError(t, err)
		_, err = eventstore.Execute(eventstore.WithSeed(within(t), []byte("s")), other, add{Counter: "a", N: 1})
		require.NoError(t, err)
		_, err = eventstore.Execute(within(t), other, add{Counter: "a", N: 10})
		require.NoError(t, err)
	}}
	o, err := eventstore.Execute(eventstore.WithSeed(within(t), []byte("s")), store, slow)
	require.NoError(t, err)
	require.EqualValues(t, 2, o.Commit.Position)
	require.Len(t, checkLog(t, pool), 3)
}
