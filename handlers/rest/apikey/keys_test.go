package apikey_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// setup returns keys on a database of their own, and an organisation.
func setup(t *testing.T) (*apikey.Keys, apikey.Organisation) {
	t.Helper()
	keys := apikey.New(testdb.New(t))
	org, err := keys.CreateOrganisation(t.Context(), "Acme")
	require.NoError(t, err)
	return keys, org
}

func TestKeyIsKeptAsItsHash(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	keys := apikey.New(pool)
	org, err := keys.CreateOrganisation(t.Context(), "Acme")
	require.NoError(t, err)
	key, text, err := keys.Create(t.Context(), apikey.NewKey{Organisation: org.ID, Name: "CRM", Scopes: apikey.Scopes()})
	require.NoError(t, err)
	require.Regexp(t, `^lnc_live_[a-z2-7]{52}$`, text)
	require.Regexp(t, `^lnc_live_[a-z2-7]{4}…[a-z2-7]{4}$`, key.Hint)
	var row string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT k::text FROM api_keys k`).Scan(&row))
	require.NotContains(t, row, text)

	found, err := keys.Find(t.Context(), text)
	require.NoError(t, err)
	require.Equal(t, key, found)
	listed, err := keys.List(t.Context(), org.ID)
	require.NoError(t, err)
	require.Equal(t, []apikey.Key{key}, listed)
}

func TestFindKnowsOnlyActiveKeys(t *testing.T) {
	t.Parallel()
	now := time.Now()
	keys := apikey.NewWithClock(testdb.New(t), func() time.Time { return now })
	org, err := keys.CreateOrganisation(t.Context(), "Acme")
	require.NoError(t, err)
	_, expiring, err := keys.Create(t.Context(), apikey.NewKey{Organisation: org.ID, ExpiresAt: new(now.Add(100 * time.Millisecond))})
	require.NoError(t, err)
	_, err = keys.Find(t.Context(), expiring)
	require.NoError(t, err)
	now = now.Add(100 * time.Millisecond)
	_, err = keys.Find(t.Context(), expiring)
	require.ErrorIs(t, err, apikey.ErrUnknown, "also one that was believed a moment ago")

	for _, text := range []string{"", "x", "lnc_live_", "lnc_live_unknown", "lnc_prod_x", expiring + "x"} {
		_, err := keys.Find(t.Context(), text)
		require.ErrorIs(t, err, apikey.ErrUnknown, "%q", text)
	}
}

func TestRevocationIsSeenByOthersWithinASecond(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	now := time.Now()
	keys, others := apikey.New(pool), apikey.NewWithClock(pool, func() time.Time { return now })
	org, err := keys.CreateOrganisation(t.Context(), "Acme")
	require.NoError(t, err)
	key, text, err := keys.Create(t.Context(), apikey.NewKey{Organisation: org.ID})
	require.NoError(t, err)
	_, err = others.Find(t.Context(), text)
	require.NoError(t, err)
	ok, err := keys.Revoke(t.Context(), key.ID)
	require.NoError(t, err)
	require.True(t, ok)
	now = now.Add(time.Second)
	_, err = others.Find(t.Context(), text)
	require.ErrorIs(t, err, apikey.ErrUnknown)
	ok, err = keys.Revoke(t.Context(), key.ID)
	require.NoError(t, err)
	require.False(t, ok, "it was over already")
}

func TestFindAsksOnceForMany(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	keys := apikey.New(pool)
	org, err := keys.CreateOrganisation(t.Context(), "Acme")
	require.NoError(t, err)
	_, text, err := keys.Create(t.Context(), apikey.NewKey{Organisation: org.ID})
	require.NoError(t, err)
	before := pool.Stat().AcquireCount()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, err := keys.Find(t.Context(), text); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, pool.Stat().AcquireCount()-before, int64(3))
}

func TestKeyOfFixedText(t *testing.T) {
	t.Parallel()
	keys, org := setup(t)
	fixed := apikey.NewKey{Organisation: org.ID, Text: "lnc_test_dev", Scopes: []apikey.Scope{apikey.DeliveriesRead}}
	first, text, err := keys.Create(t.Context(), fixed)
	require.NoError(t, err)
	require.Equal(t, "lnc_test_dev", text)
	_, err = keys.Revoke(t.Context(), first.ID)
	require.NoError(t, err)
	fixed.Scopes = apikey.Scopes()
	again, _, err := keys.Create(t.Context(), fixed)
	require.NoError(t, err)
	require.Equal(t, first.ID, again.ID)
	found, err := keys.Find(t.Context(), "lnc_test_dev")
	require.NoError(t, err)
	require.Equal(t, apikey.Scopes(), found.Scopes)

	other, err := keys.CreateOrganisation(t.Context(), "Globex")
	require.NoError(t, err)
	fixed.Organisation = other.ID
	_, _, err = keys.Create(t.Context(), fixed)
	require.ErrorContains(t, err, "another organisation")
}

func TestWhatCannotBeCreated(t *testing.T) {
	t.Parallel()
	keys, org := setup(t)
	for text, n := range map[string]apikey.NewKey{
		"no scope":        {Organisation: org.ID, Scopes: []apikey.Scope{"everything"}},
		"begins with":     {Organisation: org.ID, Text: "secret"},
		"no organisation": {Organisation: domain.OrganisationID("org_absent")},
	} {
		_, _, err := keys.Create(t.Context(), n)
		require.ErrorContains(t, err, text)
	}
	_, err := keys.CreateOrganisation(t.Context(), " ")
	require.Error(t, err)
}

func TestOrganisationIsFoundByNameAndID(t *testing.T) {
	t.Parallel()
	keys, org := setup(t)
	for _, s := range []string{"Acme", string(org.ID)} {
		found, ok, err := keys.Organisation(t.Context(), s)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, org, found)
	}
	_, ok, err := keys.Organisation(t.Context(), "Globex")
	require.NoError(t, err)
	require.False(t, ok)
}
