// Package followertest runs followers of the log in tests.
package followertest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
)

// An Addition puts something else on a router.
type Addition = func(*message.Router)

// A Process is a router with followers, as a process of the ledger has it.
type Process struct {
	Followers []*follower.Follower
	Stop      func() // may be called more than once
}

// Start runs followers, and whatever add puts on their router, until the test ends or Stop is
// called. It returns when they run.
func Start(tb testing.TB, pool *pgxpool.Pool, store *eventstore.Store, configs []follower.Config, add ...Addition) Process {
	tb.Helper()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 30 * time.Second}, watermill.NopLogger{})
	require.NoError(tb, err)
	var p Process
	for _, cfg := range configs {
		f, err := follower.Add(router, pool, store, cfg, slog.New(slog.DiscardHandler))
		require.NoError(tb, err)
		p.Followers = append(p.Followers, f)
	}
	for _, a := range add {
		a(router)
	}
	done := make(chan error, 1)
	go func() { done <- router.Run(context.WithoutCancel(tb.Context())) }()
	select {
	case <-router.Running():
	case err := <-done:
		require.NoError(tb, err, "the router did not start")
	}
	stopped := false
	p.Stop = func() {
		if !stopped {
			stopped = true
			require.NoError(tb, router.Close())
			require.NoError(tb, <-done)
		}
	}
	tb.Cleanup(p.Stop)
	return p
}
