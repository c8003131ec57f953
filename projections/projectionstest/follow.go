// Package projectionstest follows the log in tests.
package projectionstest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
	"github.com/openprospect/delivery-ledger/projections"
)

// NewStore returns a store on pool that knows the domain's events and listens to other
// processes until the test ends.
func NewStore(t testing.TB, pool *pgxpool.Pool) *eventstore.Store {
	t.Helper()
	store := eventstore.New(pool, eventstore.NewRegistry(domain.Events()...), eventstore.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = store.Listen(ctx, slog.New(slog.DiscardHandler)) // returns nil when ctx is done
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return store
}

// Follow runs a router that keeps all projections, and whatever add puts on it, until the
// test ends or the function that it returns is called.
func Follow(t testing.TB, pool *pgxpool.Pool, store *eventstore.Store, add ...func(*message.Router)) (stop func()) {
	t.Helper()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 30 * time.Second}, watermill.NopLogger{})
	require.NoError(t, err)
	for _, p := range projections.All() {
		_, err := follower.Add(router, pool, store, p.Follower(store.Registry()), slog.New(slog.DiscardHandler))
		require.NoError(t, err)
	}
	for _, a := range add {
		a(router)
	}
	done := make(chan error, 1)
	go func() { done <- router.Run(context.Background()) }()
	<-router.Running()
	closed := false
	stop = func() {
		if !closed {
			closed = true
			require.NoError(t, router.Close())
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}
