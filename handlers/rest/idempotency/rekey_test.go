package idempotency_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/handlers/rest/idempotency"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// newKey returns a key of its own.
func newKey(t *testing.T) vault.Key {
	t.Helper()
	key, err := vault.ParseKey(vault.NewKeyText())
	require.NoError(t, err)
	return key
}

// sealedBy returns what is kept in pool's database, sealed by the first of the keys.
func sealedBy(pool *pgxpool.Pool, first vault.Key, others ...vault.Key) *idempotency.Keys {
	return idempotency.New(pool, vault.New(pool, first, others...))
}

// request returns the nth request.
func request(n int) idempotency.Request {
	return idempotency.Request{Organisation: "org_1", Key: fmt.Sprintf("k%04d", n), Sum: [32]byte{byte(n), byte(n >> 8)}}
}

// begin begins a request's turn.
func begin(t *testing.T, keys *idempotency.Keys, r idempotency.Request) *idempotency.Turn {
	t.Helper()
	turn, err := keys.Begin(t.Context(), r)
	require.NoError(t, err)
	return turn
}

// never is told of progress, and must not be.
func never(t *testing.T) func(int64, int64) {
	t.Helper()
	return func(int64, int64) { require.Fail(t, "there is nothing to do") }
}

// shares returns of how many requests each key has sealed something, by its ID.
func shares(t *testing.T, keys *idempotency.Keys) map[string]int64 {
	t.Helper()
	list, err := keys.Shares(t.Context())
	require.NoError(t, err)
	found := map[string]int64{}
	for _, s := range list {
		found[hex.EncodeToString(s.Mark)] = s.Requests
	}
	return found
}

func TestRekeySealsAnswersAndSeedsAnewAndOnce(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	former, current := newKey(t), newKey(t)
	const n = 600 // more than a batch
	old := sealedBy(pool, former)
	for i := range n {
		require.NoError(t, begin(t, old, request(i)).Keep(t.Context(), []byte(fmt.Sprint("answer ", i))))
	}
	crashed := begin(t, old, request(n))
	require.NoError(t, crashed.Release(t.Context()))

	both := sealedBy(pool, current, former)
	require.Equal(t, map[string]int64{former.ID(): n + 1}, shares(t, both))
	var told []int64
	done, err := both.Rekey(t.Context(), func(done, total int64) {
		require.EqualValues(t, n+1, total)
		told = append(told, done)
	})
	require.NoError(t, err)
	require.EqualValues(t, n+1, done)
	require.Equal(t, []int64{500, n + 1}, told)
	require.Equal(t, map[string]int64{current.ID(): n + 1}, shares(t, both))

	alone := sealedBy(pool, current)
	for i := range n {
		require.Equal(t, fmt.Sprint("answer ", i), string(begin(t, alone, request(i)).Answer))
	}
	require.Equal(t, crashed.Seed, begin(t, alone, request(n)).Seed, "it makes what it made")
	other := request(0)
	other.Sum[0]++
	_, err = alone.Begin(t.Context(), other)
	require.ErrorIs(t, err, idempotency.ErrOther)
	done, err = both.Rekey(t.Context(), never(t))
	require.NoError(t, err)
	require.Zero(t, done)
}

func TestRekeyTakesFewOfLargeAnswersAtATime(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	former, current := newKey(t), newKey(t)
	old := sealedBy(pool, former)
	for i := range 5 {
		require.NoError(t, begin(t, old, request(i)).Keep(t.Context(), []byte(strings.Repeat("x", 3<<20))))
	}
	var told []int64
	_, err := sealedBy(pool, current, former).Rekey(t.Context(), func(done, _ int64) { told = append(told, done) })
	require.NoError(t, err)
	require.Equal(t, []int64{2, 4, 5}, told)
}

func TestRequestUnderWayKeepsItsAnswerThroughARekey(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	former, current := newKey(t), newKey(t)
	both := sealedBy(pool, current, former)
	turn := begin(t, sealedBy(pool, former, current), request(1))
	_, err := both.Rekey(t.Context(), func(int64, int64) {})
	require.NoError(t, err)
	require.NoError(t, turn.Keep(t.Context(), []byte("answer"))) // by a process that seals with the former one still
	require.Equal(t, map[string]int64{former.ID(): 1, current.ID(): 1}, shares(t, both))
	done, err := both.Rekey(t.Context(), func(int64, int64) {})
	require.NoError(t, err)
	require.EqualValues(t, 1, done)
	require.Equal(t, "answer", string(begin(t, sealedBy(pool, current), request(1)).Answer))
}

// interrupted is a vault in the midst of whose work something happens once.
type interrupted struct {
	*vault.Vault
	event func()
}

// Unseal unseals after the event.
func (i *interrupted) Unseal(id string, sealed []byte) ([]byte, error) {
	if i.event != nil {
		i.event()
		i.event = nil
	}
	return i.Vault.Unseal(id, sealed)
}

func TestAnswerThatComesDuringARekeyIsKept(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	former, current := newKey(t), newKey(t)
	turn := begin(t, sealedBy(pool, former), request(1))
	both := vault.New(pool, current, former)
	turns := sealedBy(pool, current, former)
	done, err := idempotency.New(pool, &interrupted{both, func() {
		require.NoError(t, turn.Keep(t.Context(), []byte("answer")))
	}}).Rekey(t.Context(), func(int64, int64) {})
	require.NoError(t, err)
	require.EqualValues(t, 1, done)
	require.Equal(t, "answer", string(begin(t, turns, request(1)).Answer))
}

func TestRekeyLeavesWhatItCannotOpenUntilNobodyReadsIt(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	lost, current := newKey(t), newKey(t)
	require.NoError(t, begin(t, sealedBy(pool, lost), request(1)).Keep(t.Context(), []byte("answer")))
	keys := sealedBy(pool, current)
	_, err := keys.Rekey(t.Context(), never(t))
	about := request(1)
	require.EqualError(t, err, "open what is kept of the request under Idempotency-Key "+about.Key+" of "+string(about.Organisation)+
		": it was sealed with another key, "+lost.ID())
	require.Equal(t, "answer", string(begin(t, sealedBy(pool, lost), request(1)).Answer))

	_, err = pool.Exec(t.Context(), `UPDATE idempotency_keys SET created_at = created_at - interval '24 hours'`)
	require.NoError(t, err)
	_, err = keys.Rekey(t.Context(), never(t))
	require.NoError(t, err)
	require.Empty(t, shares(t, keys))
}
