package main

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestProcessStoppedWhileItHoldsTheLogHoldsTheOthersUpForSecondsOnly(t *testing.T) {
	t.Parallel()
	database, key := testdb.URL(t), encryptionKey()
	pool, apiKey := openPool(t, database), newKey(t, database)
	frozen, other := serve(t, database, key, "--roles", "api"), serve(t, database, key)
	c := other.at(apiKey)
	j := newJournal(t, taken)
	delivery := c.delivery(t, j.url)

	release := lock(t, pool, `SELECT FROM log_head FOR UPDATE`)
	answered := make(chan int, 1)
	go func() {
		status, _, _, _ := frozen.at(apiKey).do(context.WithoutCancel(t.Context()), http.MethodPost,
			"/api/v1/deliveries/"+delivery+"/qualifications", "application/json", qualification("comp_frozen"))
		answered <- status
	}()
	awaitBlocked(t, pool, `%FROM log_head FOR UPDATE%`)
	frozen.freeze(t)
	release() // to the one that is frozen

	c.qualify(t, delivery, comp)
	c.awaitCount(t, delivery, "delivered", 1)
	frozen.thaw(t)
	if status := <-answered; status != http.StatusOK { // it was stopped for longer than a request may wait
		require.Equal(t, http.StatusServiceUnavailable, status)
		frozen.at(apiKey).qualify(t, delivery, "comp_frozen")
	}
	c.awaitCount(t, delivery, "delivered", 2)
	c.awaitCaughtUp(t)
	require.NoError(t, frozen.stop(t), frozen.printed())
	require.NoError(t, other.stop(t), other.printed())
	reconcile(t, pool, j)
	requireSound(t, pool)
}

func TestFollowerOfAStoppedProcessIsTakenOverWithinSeconds(t *testing.T) {
	t.Parallel()
	database, key := testdb.URL(t), encryptionKey()
	pool := openPool(t, database)
	rest := serve(t, database, key, "--roles", "api,attempt")
	frozen := serve(t, database, key, "--roles", "follow")
	c := rest.at(newKey(t, database))
	j := newJournal(t, taken)
	delivery := c.delivery(t, j.url)
	c.qualify(t, delivery, "comp_before")
	c.awaitCount(t, delivery, "delivered", 1)

	release := lock(t, pool, `LOCK TABLE dispatches IN SHARE MODE`)
	c.qualify(t, delivery, comp)
	awaitBlocked(t, pool, `%dispatches%`)
	frozen.freeze(t)
	release() // to the one that is frozen

	second := serve(t, database, key, "--roles", "follow")
	c.awaitCount(t, delivery, "delivered", 2)
	frozen.thaw(t)
	settle(t, c, database, delivery, j, []string{"comp_before", comp})
	for _, p := range []*process{frozen, second, rest} {
		require.NoError(t, p.stop(t), p.printed())
	}
	require.Len(t, j.all(), 2)
	reconcile(t, pool, j)
	requireSound(t, pool)
}
