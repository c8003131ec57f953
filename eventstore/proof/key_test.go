package proof_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
)

// keysOf returns all public keys, newest first.
func keysOf(tb testing.TB, n *proof.Notary) []proof.Key {
	tb.Helper()
	keys, err := n.Keys(within(tb))
	require.NoError(tb, err)
	return keys
}

// requireChain fails the test unless each key but the first was handed over to, in a checkpoint that it and the one
// before have signed.
func requireChain(t *testing.T, keys []proof.Key) {
	t.Helper()
	for i, key := range keys[:len(keys)-1] {
		for _, known := range []string{key.Text, keys[i+1].Text, key.Text + "\n" + keys[i+1].Text} {
			c, err := proof.OpenCheckpoint(key.HandOver, verifiers(t, known))
			require.NoError(t, err)
			require.Len(t, c.Keys, strings.Count(known, "\n")+1)
			require.Equal(t, key.Text, c.Next)
			require.Equal(t, key.Size, c.Size)
		}
		require.False(t, key.Since.Before(keys[i+1].Since))
	}
	require.Empty(t, keys[len(keys)-1].HandOver)
}

func TestAKeyHandsOverToTheNextForAllProcessesAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, 5)
	v := b.newVault(t)
	n, err := proof.NewNotary(t.Context(), b.pool, b.store, v)
	require.NoError(t, err)
	other, err := proof.NewNotary(t.Context(), b.pool, b.store, v)
	require.NoError(t, err)
	before, former := b.checkpoint(t, n), key(t, n)
	private, err := v.Open(t.Context(), "checkpoint_key")
	require.NoError(t, err)
	private, _, _ = strings.Cut(private, "\n")
	first := keysOf(t, n)
	require.Len(t, first, 1)
	require.Equal(t, former, first[0].Text)
	require.WithinDuration(t, time.Now(), first[0].Since, time.Hour)

	handed, err := n.Rotate(within(t))
	require.NoError(t, err)
	keys := keysOf(t, other)
	require.Len(t, keys, 2)
	requireChain(t, keys)
	require.Equal(t, first[0], keys[1])
	require.Equal(t, keys[0].Text, key(t, other))
	require.Equal(t, handed.Note, keys[0].HandOver)
	require.Equal(t, before.Root, handed.Root)
	require.Equal(t, before.Origin, handed.Origin, "the ledger keeps its name")
	kept, err := other.Kept(within(t), 5)
	require.NoError(t, err)
	require.Equal(t, handed, kept, "it is the newest one")
	for _, id := range []string{"checkpoint_key", "checkpoint_keys"} {
		secret, err := v.Open(t.Context(), id)
		require.NoError(t, err)
		require.NotContains(t, secret, private, "the former private key is gone")
	}

	b.append(t, 3)
	after := b.checkpoint(t, other)
	_, err = proof.OpenCheckpoint(after.Note, verifiers(t, former))
	require.ErrorContains(t, err, "it is signed by none of the keys")
	opened, err := proof.OpenCheckpoint(after.Note, verifiers(t, keys[0].Text))
	require.NoError(t, err)
	require.Empty(t, opened.Next)
	_, err = proof.OpenCheckpoint(before.Note, verifiers(t, keys[0].Text, former))
	require.NoError(t, err, "what was signed before stays good")
	_, err = proof.Verify(within(t), b.pool, []proof.Checkpoint{before}, verifiers(t, former, keys[0].Text), nil)
	require.NoError(t, err)
	var forged *proof.ForgeryError
	_, err = proof.Verify(within(t), b.pool, nil, verifiers(t, former), nil)
	require.ErrorAs(t, err, &forged)
	require.Equal(t, int64(8), forged.Size, "the hand-over is good by either key")

	_, err = n.Rotate(within(t))
	require.NoError(t, err)
	_, err = n.Rotate(within(t))
	require.NoError(t, err, "also when nothing was recorded meanwhile")
	keys = keysOf(t, n)
	require.Len(t, keys, 4)
	requireChain(t, keys)
}

func TestKeysAreSealedAnewWithTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t, 2)
	former, err := vault.ParseKey(vault.NewKeyText())
	require.NoError(t, err)
	current, err := vault.ParseKey(vault.NewKeyText())
	require.NoError(t, err)
	n, err := proof.NewNotary(t.Context(), b.pool, b.store, vault.New(b.pool, former))
	require.NoError(t, err)
	_, err = n.Rotate(within(t))
	require.NoError(t, err)
	sealed, err := vault.New(b.pool, current, former).Rekey(within(t), func(int64, int64) {})
	require.NoError(t, err)
	require.Equal(t, int64(2), sealed, "the key that signs, and the list of all")
	again, err := proof.NewNotary(t.Context(), b.pool, b.store, vault.New(b.pool, current))
	require.NoError(t, err)
	require.Len(t, keysOf(t, again), 2)
	_, err = again.Rotate(within(t))
	require.NoError(t, err)
	requireChain(t, keysOf(t, again))
}

func TestAKeyOfARewrittenLogHandsNothingOver(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	n, _ := b.newNotary(t)
	b.checkpoint(t, n)
	before := keysOf(t, n)
	b.rewrite(t, 4)
	var mismatch *proof.MismatchError
	_, err := n.Rotate(within(t))
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, int64(10), mismatch.Size)
	require.Equal(t, before, keysOf(t, n))
}

// A key that handed over signs nothing that is larger, whichever process has just begun to sign.
func TestNothingIsSignedByAKeyThatHasHandedOver(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	v := b.newVault(t)
	var processes sync.WaitGroup
	for i := range 6 {
		n, err := proof.NewNotary(t.Context(), b.pool, b.store, v)
		require.NoError(t, err)
		processes.Go(func() {
			for k := range 8 {
				if i < 2 {
					if _, err := n.Rotate(within(t)); err != nil && !errors.Is(err, proof.ErrRotated) {
						t.Error(err)
					}
					continue
				}
				done, err := b.store.Append(within(t), eventstore.Append{Stream: fmt.Sprint(i, "/", k), Events: []eventstore.Event{noted{}}})
				if err == nil {
					_, err = n.Checkpoint(within(t), done.Position)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	processes.Wait()
	n, err := proof.NewNotary(t.Context(), b.pool, b.store, v)
	require.NoError(t, err)
	keys := keysOf(t, n)
	require.GreaterOrEqual(t, len(keys), 9)
	requireChain(t, keys)
	rows, _ := b.pool.Query(t.Context(), `SELECT size, note FROM checkpoints ORDER BY size`)
	var size int64
	var signed string
	_, err = pgx.ForEachRow(rows, []any{&size, &signed}, func() error {
		signers := 0
		for i, key := range slices.Backward(keys) {
			if _, err := proof.OpenCheckpoint(signed, verifiers(t, key.Text)); err != nil {
				continue
			}
			signers++
			if i > 0 {
				require.LessOrEqual(t, size, keys[i-1].Size, "it had handed over")
			}
		}
		require.NotZero(t, signers)
		return nil
	})
	require.NoError(t, err)
}
