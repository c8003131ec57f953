package apikey_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestNobodyChangesAKeyBetweenItsConditionAndItsChange(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	keys := apikey.New(pool)
	org, err := keys.CreateOrganisation(t.Context(), "Acme")
	require.NoError(t, err)
	key, _, err := keys.Create(t.Context(), apikey.NewKey{Organisation: org.ID, Name: "seen"})
	require.NoError(t, err)
	stale := errors.New("stale")
	unless := func(asked func()) func(apikey.Key) error {
		return func(k apikey.Key) error {
			asked()
			if k.Name != "seen" {
				return stale
			}
			return nil
		}
	}

	var second sync.WaitGroup
	var judged atomic.Bool
	first := func() { // while this one is judged, another one comes
		second.Go(func() {
			ok, err := keys.RevokeIf(t.Context(), key.ID, unless(func() { judged.Store(true) }))
			if ok || !errors.Is(err, stale) {
				t.Errorf("revoked: %t, %v", ok, err)
			}
		})
		require.Eventually(t, func() bool {
			var waits bool
			err := pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits)
			return err == nil && waits || judged.Load()
		}, 10*time.Second, 5*time.Millisecond)
	}
	name := "changed"
	changed, ok, err := keys.Change(t.Context(), key.ID, apikey.Change{Name: &name, If: unless(first)})
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, name, changed.Name)
	second.Wait()

	now, ok, err := keys.Key(t.Context(), key.ID)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, changed, now, "a refused change changes nothing")
}
