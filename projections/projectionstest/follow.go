// Package projectionstest follows the log in tests.
package projectionstest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
	"github.com/openprospect/delivery-ledger/eventstore/follower/followertest"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/eventstore/shred"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/personal"
)

// NewStore returns a store on pool that knows the domain's events and listens to other
// processes until the test ends.
func NewStore(tb testing.TB, pool *pgxpool.Pool) *eventstore.Store {
	tb.Helper()
	return newStore(tb, pool, eventstore.Options{})
}

// Life is for how long the keys of [NewSealingStore] are kept in memory.
const Life = 100 * time.Millisecond

// NewSealingStore is like NewStore, but that what is personal is sealed, under keys that sealer seals.
func NewSealingStore(tb testing.TB, pool *pgxpool.Pool, sealer shred.Sealer) (*eventstore.Store, *shred.Keys) {
	tb.Helper()
	keys := shred.New(pool, sealer, shred.Options{Life: Life})
	return newStore(tb, pool, eventstore.Options{Seal: personal.NewKeyring(keys).Seal}), keys
}

// newStore returns a store that listens until the test ends.
func newStore(tb testing.TB, pool *pgxpool.Pool, opts eventstore.Options) *eventstore.Store {
	tb.Helper()
	store := eventstore.New(pool, eventstore.NewRegistry(domain.Events()...), opts)
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = store.Listen(ctx, slog.New(slog.DiscardHandler)) // returns nil when ctx is done
	}()
	tb.Cleanup(func() {
		cancel()
		<-done
	})
	return store
}

// Follow runs a router that keeps all projections and the tree, and whatever add puts on it, until the
// test ends or the function that it returns is called.
func Follow(tb testing.TB, pool *pgxpool.Pool, store *eventstore.Store, add ...followertest.Addition) (stop func()) {
	tb.Helper()
	return FollowOpened(tb, pool, store, nil, add...)
}

// FollowOpened is like Follow, with keys that open what is sealed.
func FollowOpened(tb testing.TB, pool *pgxpool.Pool, store *eventstore.Store, keys *shred.Keys, add ...followertest.Addition) (stop func()) {
	tb.Helper()
	configs := []follower.Config{proof.Follower()}
	reader := personal.Reader{Registry: store.Registry()}
	if keys != nil {
		reader.Keyring = personal.NewKeyring(keys)
	}
	tail := projections.NewTail(reader)
	for _, p := range projections.All() {
		configs = append(configs, p.Follower(tail))
	}
	return followertest.Start(tb, pool, store, configs, add...).Stop
}
