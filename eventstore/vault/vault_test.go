package vault_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// newVault returns a vault with a key of its own.
func newVault(t *testing.T, pool *pgxpool.Pool) *vault.Vault {
	t.Helper()
	key, err := vault.ParseKey(vault.NewKeyText())
	require.NoError(t, err)
	return vault.New(pool, key)
}

func TestASecretComesBackAsItWasPut(t *testing.T) {
	t.Parallel()
	v := newVault(t, testdb.New(t))
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		id, secret := strings.Repeat("s", n), rapid.String().Draw(t, "secret")
		require.NoError(t, v.Put(t.Context(), id, secret))
		got, err := v.Open(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, secret, got)
	})
}

func TestWhatIsKeptIsTheFirst(t *testing.T) {
	t.Parallel()
	v := newVault(t, testdb.New(t))
	for _, fresh := range []string{"first", "second"} {
		kept, err := v.Keep(t.Context(), "key", fresh)
		require.NoError(t, err)
		require.Equal(t, "first", kept)
	}
}

func TestAKeyIsTheSameAfterARestart(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	text := vault.NewKeyText()
	first, err := vault.ParseKey(text)
	require.NoError(t, err)
	require.NoError(t, vault.New(pool, first).Put(t.Context(), "sec_1", "token"))
	again, err := vault.ParseKey(text)
	require.NoError(t, err)
	secret, err := vault.New(pool, again).Open(t.Context(), "sec_1")
	require.NoError(t, err)
	require.Equal(t, "token", secret)
}

func TestWhatIsStoredDoesNotShowTheSecret(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	v := newVault(t, pool)
	const secret = "your-secret-token"
	require.NoError(t, v.Put(t.Context(), "sec_1", secret))
	require.NoError(t, v.Put(t.Context(), "sec_2", secret))
	var first, second []byte
	const query = `SELECT (SELECT sealed FROM secrets WHERE id = 'sec_1'), (SELECT sealed FROM secrets WHERE id = 'sec_2')`
	require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&first, &second))
	for n := range len(secret) - 3 {
		require.NotContains(t, string(first), secret[n:n+4])
	}
	require.NotEqual(t, first, second, "nor that two are the same")
}

func TestASealedSecretIsOfNoUseElsewhere(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	v := newVault(t, pool)
	require.NoError(t, v.Put(t.Context(), "sec_1", "first"))
	require.NoError(t, v.Put(t.Context(), "sec_2", "second"))
	exec := func(statement string) {
		_, err := pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}

	_, err := newVault(t, pool).Open(t.Context(), "sec_1")
	require.ErrorContains(t, err, "sealed with another key")
	exec(`UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE id = 'sec_1') WHERE id = 'sec_2'`)
	_, err = v.Open(t.Context(), "sec_2")
	require.ErrorContains(t, err, "open secret sec_2", "another secret's ciphertext")
	exec(`UPDATE secrets SET sealed = set_byte(sealed, length(sealed) - 1, get_byte(sealed, length(sealed) - 1) # 1) WHERE id = 'sec_1'`)
	_, err = v.Open(t.Context(), "sec_1")
	require.Error(t, err, "a bit changed")
	exec(`UPDATE secrets SET sealed = '' WHERE id = 'sec_1'`)
	_, err = v.Open(t.Context(), "sec_1")
	require.Error(t, err)
	_, err = v.Open(t.Context(), "sec_3")
	require.ErrorContains(t, err, "there is none")
	require.NotContains(t, err.Error(), "first")
}

func TestASecretIsPutOnce(t *testing.T) {
	t.Parallel()
	v := newVault(t, testdb.New(t))
	require.NoError(t, v.Put(t.Context(), "sec_1", "first"))
	require.Error(t, v.Put(t.Context(), "sec_1", "second"))
	secret, err := v.Open(t.Context(), "sec_1")
	require.NoError(t, err)
	require.Equal(t, "first", secret)
}

func TestAKeyIs32BytesInBase64(t *testing.T) {
	t.Parallel()
	first, second := vault.NewKeyText(), vault.NewKeyText()
	require.NotEqual(t, first, second)
	for _, text := range []string{"", "secret", "c2hvcnQ=", strings.Repeat("A", 64), vault.NewKeyText() + "AAAA"} {
		_, err := vault.ParseKey(text)
		require.ErrorContains(t, err, "32 random bytes in base64", text)
		if text != "" {
			require.NotContains(t, err.Error(), text, "what was given may be the key")
		}
	}
}

func TestWhatIsKeptElsewhereIsBoundToItsPlace(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	v := newVault(t, pool)
	sealed := v.Seal("here", []byte("your-secret-token"))
	require.NotContains(t, string(sealed), "secret")
	plain, err := v.Unseal("here", sealed)
	require.NoError(t, err)
	require.Equal(t, "your-secret-token", string(plain))
	_, err = v.Unseal("there", sealed)
	require.Error(t, err)
	_, err = newVault(t, pool).Unseal("here", sealed)
	require.Error(t, err)
}
