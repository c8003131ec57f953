package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestLookupSeesWhatWasCommittedBeforeItWasAsked(t *testing.T) {
	t.Parallel()
	store := newStore(testdb.New(t))
	lookup := eventstore.NewLookup[counter, counterEvent](store)
	var group sync.WaitGroup
	for caller := range 16 {
		group.Go(func() {
			for n := range 20 {
				stream := fmt.Sprintf("counter/%d", caller)
				_, err := eventstore.Execute(within(t), store, add{Counter: stream, N: 1})
				if err != nil {
					t.Error(err)
					return
				}
				found, err := lookup.Load(within(t), []string{"counter/none", stream, stream})
				if err != nil || found[stream].State.Sum != n+1 || found[stream].Version != eventstore.Version(n+1) || found["counter/none"].Version != 0 {
					t.Errorf("caller %d: %+v after %d, %v", caller, found[stream], n+1, err)
				}
			}
		})
	}
	group.Wait()
}

func TestLookupFailsForThoseWhoAskedAndWorksAfterwards(t *testing.T) {
	t.Parallel()
	store := newStore(testdb.New(t))
	_, err := store.Append(within(t), eventstore.Append{Stream: "broken", Events: []eventstore.Event{foreign{}}})
	require.NoError(t, err)
	lookup := eventstore.NewLookup[counter, counterEvent](store)
	_, err = lookup.Load(within(t), []string{"broken"})
	require.ErrorContains(t, err, "foreign is no event of this stream")
	found, err := lookup.Load(within(t), []string{"fine"})
	require.NoError(t, err)
	require.Empty(t, found)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = lookup.Load(gone, []string{"fine"}); err != nil { // unless it was faster
		require.True(t, eventstore.IsUnavailable(err))
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestEveryGuardMustHold(t *testing.T) {
	t.Parallel()
	store := newStore(testdb.New(t))
	fill(t, store, 1, "one", "two")
	guarded := func(stream string, one, two eventstore.Version) error {
		a := note(stream, 0, "x")
		a.Guard = eventstore.Guard{Stream: "one", Version: one, And: &eventstore.Guard{Stream: "two", Version: two}}
		_, err := store.Append(within(t), a)
		return err
	}
	require.NoError(t, guarded("a", 1, 1))
	for stream, versions := range map[string][2]eventstore.Version{"one": {0, 1}, "two": {1, 0}} {
		c, ok := errors.AsType[*eventstore.ConflictError](guarded("b", versions[0], versions[1]))
		require.True(t, ok)
		require.Equal(t, stream, c.Stream)
	}
}
