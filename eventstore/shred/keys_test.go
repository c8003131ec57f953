package shred_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore/shred"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// newVault returns a vault with a key of its own.
func newVault(t *testing.T, pool *pgxpool.Pool) (*vault.Vault, vault.Key) {
	t.Helper()
	key, err := vault.ParseKey(vault.NewKeyText())
	require.NoError(t, err)
	return vault.New(pool, key), key
}

// fresh are options by which nothing is kept in memory.
var fresh = shred.Options{Life: time.Nanosecond}

var jane, john = []string{"jane"}, []string{"john"}

// seal seals a text under the newest key.
func seal(t *testing.T, keys *shred.Keys, org string, subject []string, text string) (int64, []byte) {
	t.Helper()
	key, err := keys.Newest(t.Context(), org)
	require.NoError(t, err)
	sealed, err := key.Seal(subject, "", []byte(text))
	require.NoError(t, err)
	return key.Number(), sealed
}

// open opens what was sealed, and returns "" when it was destroyed.
func open(t *testing.T, keys *shred.Keys, org string, number int64, subject []string, sealed []byte) string {
	t.Helper()
	key, err := keys.Key(t.Context(), org, number)
	require.NoError(t, err)
	plain, held, err := key.Open(subject, "", sealed)
	require.NoError(t, err)
	require.Equal(t, held, len(plain) > 0)
	return string(plain)
}

func TestADestroyedSubjectIsGoneAndNothingElse(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	sealer, _ := newVault(t, pool)
	keys := shred.New(pool, sealer, fresh)
	number, ofJane := seal(t, keys, "org_a", jane, "Jane")
	_, ofJohn := seal(t, keys, "org_a", john, "John")
	_, elsewhere := seal(t, keys, "org_b", jane, "Jane of b")
	require.Equal(t, "Jane", open(t, keys, "org_a", number, jane, ofJane))
	for range 2 { // the second time changes nothing
		require.NoError(t, keys.Destroy(t.Context(), "org_a", map[int64][][]string{number: {jane}}))
	}
	another := shred.New(pool, sealer, shred.Options{})
	for _, keys := range []*shred.Keys{keys, another} {
		require.Empty(t, open(t, keys, "org_a", number, jane, ofJane))
		require.Equal(t, "John", open(t, keys, "org_a", number, john, ofJohn))
		require.Equal(t, "Jane of b", open(t, keys, "org_b", 1, jane, elsewhere))
	}
	later, again := seal(t, keys, "org_a", jane, "Jane again")
	require.Equal(t, number+1, later, "a key that lost a leaf seals no more")
	require.Equal(t, "Jane again", open(t, keys, "org_a", later, jane, again))
	require.NoError(t, keys.Destroy(t.Context(), "org_a", map[int64][][]string{number: {john}}))
	newest, err := keys.Newest(t.Context(), "org_a")
	require.NoError(t, err)
	require.Equal(t, later, newest.Number(), "nothing was destroyed under it")
}

func TestWhatWasInTheClearIsErasedByNumberZero(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	sealer, _ := newVault(t, pool)
	keys := shred.New(pool, sealer, fresh)
	key, err := keys.Key(t.Context(), "org_a", 0)
	require.NoError(t, err)
	require.Nil(t, key, "nothing was erased")
	require.NoError(t, keys.Destroy(t.Context(), "org_a", map[int64][][]string{0: {jane}}))
	key, err = keys.Key(t.Context(), "org_a", 0)
	require.NoError(t, err)
	require.False(t, key.Holds(jane))
	require.True(t, key.Holds(john))
	newest, err := keys.Newest(t.Context(), "org_a")
	require.NoError(t, err)
	require.EqualValues(t, 1, newest.Number())
}

func TestAKeyThatNeverWasIsAnError(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	sealer, _ := newVault(t, pool)
	keys := shred.New(pool, sealer, fresh)
	_, err := keys.Key(t.Context(), "org_a", 7)
	require.ErrorContains(t, err, "read key 7 of org_a: there is none")
	_, err = keys.Each(t.Context(), []shred.Ref{{Organisation: "org_a", Number: 7}})
	require.ErrorContains(t, err, "read key 7 of org_a: there is none")
}

func TestAProcessForgetsWhatWasDestroyedInTime(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	sealer, _ := newVault(t, pool)
	opts := shred.Options{Life: 200 * time.Millisecond}
	one, two := shred.New(pool, sealer, opts), shred.New(pool, sealer, opts)
	number, ofJane := seal(t, one, "org_a", jane, "Jane")
	require.Equal(t, "Jane", open(t, two, "org_a", number, jane, ofJane), "both have it now")
	require.NoError(t, one.Destroy(t.Context(), "org_a", map[int64][][]string{number: {jane}}))
	<-time.After(one.Settled())
	for _, keys := range []*shred.Keys{one, two} {
		require.Empty(t, open(t, keys, "org_a", number, jane, ofJane))
		later, _ := seal(t, keys, "org_a", jane, "Jane")
		require.Equal(t, number+1, later)
	}
}

func TestKeysAreBegunOnceHoweverManyAsk(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	sealer, _ := newVault(t, pool)
	var group sync.WaitGroup
	for range 8 {
		keys := shred.New(pool, sealer, shred.Options{})
		for range 4 {
			group.Go(func() {
				key, err := keys.Newest(t.Context(), "org_a")
				if err != nil || key.Number() != 1 {
					t.Error(key, err)
				}
			})
		}
	}
	group.Wait()
}

func TestAKeySealsForItsTimeAndIsDestroyedWhole(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	sealer, _ := newVault(t, pool)
	keys := shred.New(pool, sealer, shred.Options{Life: time.Nanosecond, Renewal: time.Hour})
	first, ofJane := seal(t, keys, "org_a", jane, "Jane")
	_, err := pool.Exec(t.Context(), `UPDATE subject_keys SET begun_at = begun_at - interval '1 hour'`)
	require.NoError(t, err)
	second, ofJohn := seal(t, keys, "org_a", john, "John")
	require.Equal(t, []int64{1, 2}, []int64{first, second})

	destroy := func(age time.Duration) []int64 {
		numbers, err := keys.DestroyBefore(t.Context(), "org_a", time.Now().Add(-age), 5)
		require.NoError(t, err)
		return numbers
	}
	require.Empty(t, destroy(0), "what it sealed may be recorded an hour later")
	_, err = pool.Exec(t.Context(), `UPDATE subject_keys SET begun_at = begun_at - interval '2 hours' WHERE number > 0`)
	require.NoError(t, err)
	require.Equal(t, []int64{1}, destroy(30*time.Minute))
	require.Empty(t, open(t, keys, "org_a", first, jane, ofJane))
	require.Equal(t, "John", open(t, keys, "org_a", second, john, ofJohn))
	require.Equal(t, []int64{2}, destroy(0))
	require.Empty(t, open(t, keys, "org_a", second, john, ofJohn))
	third, _ := seal(t, keys, "org_a", john, "John")
	require.EqualValues(t, 3, third)
	zero, err := keys.Key(t.Context(), "org_a", 0)
	require.NoError(t, err)
	require.EqualValues(t, 5, zero.ClearedTo())
}

func TestRekeySealsKeysAnew(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	before, former := newVault(t, pool)
	keys := shred.New(pool, before, fresh)
	number, ofJane := seal(t, keys, "org_a", jane, "Jane")
	seal(t, keys, "org_b", jane, "Jane")
	_, current := newVault(t, pool)
	both := shred.New(pool, vault.New(pool, current, former), fresh)
	done, err := both.Rekey(t.Context(), func(done, total int64) { require.Equal(t, done, total) })
	require.NoError(t, err)
	require.EqualValues(t, 2, done)
	alone := shred.New(pool, vault.New(pool, current), fresh)
	require.Equal(t, "Jane", open(t, alone, "org_a", number, jane, ofJane))
	shares, err := alone.Shares(t.Context())
	require.NoError(t, err)
	require.Len(t, shares, 1)
	require.EqualValues(t, 2, shares[0].Keys)
	_, err = keys.Key(t.Context(), "org_a", number)
	require.ErrorContains(t, err, "open key 1 of org_a: it was sealed with another key")
}

func TestKeysAreNotReadFromTheTable(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	sealer, _ := newVault(t, pool)
	number, _ := seal(t, shred.New(pool, sealer, fresh), "org_a", jane, strings.Repeat("x", 100))
	_, err := pool.Exec(t.Context(), `UPDATE subject_keys SET number = 9 WHERE number = $1`, number)
	require.NoError(t, err)
	_, err = shred.New(pool, sealer, fresh).Key(t.Context(), "org_a", 9)
	require.ErrorContains(t, err, "open key 9 of org_a", "a key cannot be passed off as another")
}
