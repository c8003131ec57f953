package apikey_test

import (
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// take counts a request that must be accepted or refused.
func take(t *testing.T, keys *apikey.Keys, key apikey.Key, accepted bool) apikey.Allowance {
	t.Helper()
	a, err := keys.Take(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, accepted, a.Accepted, "%+v", a)
	return a
}

// limitedTo returns a key with a limit of its own.
func limitedTo(t *testing.T, keys *apikey.Keys, limit int64) apikey.Key {
	t.Helper()
	org, err := keys.CreateOrganisation(t.Context(), "Acme")
	require.NoError(t, err)
	key, _, err := keys.Create(t.Context(), apikey.NewKey{Organisation: org.ID, LimitPerHour: &limit})
	require.NoError(t, err)
	return key
}

func TestTiersHaveLimits(t *testing.T) {
	t.Parallel()
	keys, org := setup(t)
	five, none := int64(5), int64(0)
	for _, c := range []struct {
		tier  apikey.Tier
		own   *int64
		limit int64 // zero: any number
		fault string
	}{
		{"", nil, 0, ""},
		{"", &five, 5, ""},
		{apikey.Free, nil, 100, ""},
		{apikey.Pro, nil, 1000, ""},
		{apikey.Enterprise, nil, 0, ""},
		{apikey.Enterprise, &five, 5, ""},
		{apikey.Enterprise, &none, 0, "at least 1"},
		{apikey.Pro, &five, 0, "only a key of the tier enterprise"},
		{"gold", nil, 0, "no tier"},
	} {
		key, _, err := keys.Create(t.Context(), apikey.NewKey{Organisation: org.ID, Tier: c.tier, LimitPerHour: c.own})
		if c.fault != "" {
			require.ErrorContains(t, err, c.fault)
			continue
		}
		require.NoError(t, err)
		limit, limited := key.Limit()
		require.Equal(t, c.limit, limit)
		require.Equal(t, c.limit > 0, limited)
		a := take(t, keys, key, true)
		require.Equal(t, c.limit > 0, a.Limited)
		require.Equal(t, max(0, c.limit-1), a.Remaining)
	}
}

func TestMostRequestsCostNoQueryAndRefusalsNone(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	keys := apikey.New(pool)
	key := limitedTo(t, keys, 1000)
	before := pool.Stat().AcquireCount()
	for range 1000 {
		take(t, keys, key, true)
	}
	used := pool.Stat().AcquireCount()
	require.Less(t, used-before, int64(70))
	for range 100 {
		take(t, keys, key, false)
	}
	require.Equal(t, used, pool.Stat().AcquireCount())
	take(t, apikey.New(pool), key, false) // nor has another process any left
}

func TestLimitChangesWithinAWindow(t *testing.T) {
	t.Parallel()
	keys := apikey.New(testdb.New(t))
	key := limitedTo(t, keys, 10)
	for range 10 {
		take(t, keys, key, true)
	}
	take(t, keys, key, false)
	more, less := int64(12), int64(3)
	key.LimitPerHour = &more
	require.EqualValues(t, 1, take(t, keys, key, true).Remaining)
	key.LimitPerHour = &less
	require.Zero(t, take(t, keys, key, false).Remaining)
	key.LimitPerHour = &more
	require.Zero(t, take(t, keys, key, true).Remaining)
	take(t, keys, key, false)
}

func TestRequestsCannotBeTakenWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	key := limitedTo(t, apikey.New(pool), 20)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close()) // nobody listens there now
	gone, err := pgxpool.New(t.Context(), "postgres://nobody@"+l.Addr().String()+"/none?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(gone.Close)
	begun := time.Now()
	_, err = apikey.New(gone).Take(t.Context(), key)
	require.True(t, eventstore.IsUnavailable(err), "%v", err)
	require.ErrorContains(t, err, "take requests: ")
	require.Less(t, time.Since(begun), 5*time.Second)
}
