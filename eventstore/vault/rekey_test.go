package vault_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// newKey returns a key of its own.
func newKey(t *testing.T) vault.Key {
	t.Helper()
	key, err := vault.ParseKey(vault.NewKeyText())
	require.NoError(t, err)
	return key
}

func TestFirstKeySealsAndAllOpen(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	former, current := newKey(t), newKey(t)
	require.NoError(t, vault.New(pool, former).Put(t.Context(), "sec_1", "first"))
	both := vault.New(pool, current, former)
	require.NoError(t, both.Put(t.Context(), "sec_2", "second"))
	for id, want := range map[string]string{"sec_1": "first", "sec_2": "second"} {
		secret, err := both.Open(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, secret)
	}
	_, err := vault.New(pool, former).Open(t.Context(), "sec_2")
	require.ErrorContains(t, err, "sealed with another key, "+current.ID())
}

func TestRekeySealsAllAnewAndOnce(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	former, current := newKey(t), newKey(t)
	const n = 1234
	old := vault.New(pool, former)
	for i := range n {
		require.NoError(t, old.Put(t.Context(), fmt.Sprintf("sec_%04d", i), strconv.Itoa(i)))
	}
	both := vault.New(pool, current, former)
	shares, err := both.Shares(t.Context())
	require.NoError(t, err)
	require.Equal(t, []vault.Share{{Key: former.ID(), Secrets: n}}, shares)

	var told []int64
	done, err := both.Rekey(t.Context(), func(done, total int64) {
		require.EqualValues(t, n, total)
		told = append(told, done)
	})
	require.NoError(t, err)
	require.EqualValues(t, n, done)
	require.Equal(t, []int64{500, 1000, n}, told)
	shares, err = both.Shares(t.Context())
	require.NoError(t, err)
	require.Equal(t, []vault.Share{{Key: current.ID(), Secrets: n}}, shares)
	alone := vault.New(pool, current)
	for i := range n {
		secret, err := alone.Open(t.Context(), fmt.Sprintf("sec_%04d", i))
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i), secret)
	}
	done, err = both.Rekey(t.Context(), func(int64, int64) {})
	require.NoError(t, err)
	require.Zero(t, done, "there is nothing left to do")
}

func TestRekeyLeavesWhatItCannotOpen(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	lost, former, current := newKey(t), newKey(t), newKey(t)
	require.NoError(t, vault.New(pool, lost).Put(t.Context(), "sec_2", "lost"))
	require.NoError(t, vault.New(pool, former).Put(t.Context(), "sec_1", "kept"))
	_, err := vault.New(pool, current, former).Rekey(t.Context(), func(int64, int64) {})
	require.ErrorContains(t, err, "open secret sec_2: it was sealed with another key, "+lost.ID())
	for key, id := range map[vault.Key]string{lost: "sec_2", former: "sec_1"} {
		_, err := vault.New(pool, key).Open(t.Context(), id)
		require.NoError(t, err)
	}
}

func TestKeysStandBetweenCommasOrInLines(t *testing.T) {
	t.Parallel()
	first, second := vault.NewKeyText(), vault.NewKeyText()
	for _, text := range []string{first + "," + second, first + "\n" + second + "\n", " " + first + " , \r\n" + second} {
		keys, err := vault.ParseKeys(text)
		require.NoError(t, err)
		require.Len(t, keys, 2)
		want, err := vault.ParseKey(first)
		require.NoError(t, err)
		require.Equal(t, want.ID(), keys[0].ID(), "the first stays the first")
	}
	_, err := vault.ParseKeys(first + ",c2hvcnQ=")
	require.ErrorContains(t, err, "key 2 of 2: an encryption key is 32 random bytes in base64")
	require.NotContains(t, err.Error(), "c2hvcnQ")
	_, err = vault.ParseKeys(strings.Repeat(" ", 3))
	require.ErrorContains(t, err, "an encryption key is 32 random bytes in base64")
}
