// Package projectionstest follows the log in tests.
package projectionstest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
	"github.com/openprospect/delivery-ledger/eventstore/follower/followertest"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/projections"
)

// NewStore returns a store on pool that knows the domain's events and listens to other
// processes until the test ends.
func NewStore(tb testing.TB, pool *pgxpool.Pool) *eventstore.Store {
	tb.Helper()
	store := eventstore.New(pool, eventstore.NewRegistry(domain.Events()...), eventstore.Options{})
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
	configs := []follower.Config{proof.Follower()}
	tail := projections.NewTail(store.Registry())
	for _, p := range projections.All() {
		configs = append(configs, p.Follower(tail))
	}
	return followertest.Start(tb, pool, store, configs, add...).Stop
}
