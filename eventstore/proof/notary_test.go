package proof_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
)

// newVault returns a vault with a key of its own.
func (b *bundle) newVault(tb testing.TB) *vault.Vault {
	tb.Helper()
	key, err := vault.ParseKey(vault.NewKeyText())
	require.NoError(tb, err)
	return vault.New(b.pool, key)
}

// newNotary returns a notary of the log, and what verifies its checkpoints.
func (b *bundle) newNotary(tb testing.TB) (*proof.Notary, note.Verifiers) {
	tb.Helper()
	n, err := proof.NewNotary(tb.Context(), b.pool, b.store, b.newVault(tb))
	require.NoError(tb, err)
	return n, verifiers(tb, key(tb, n))
}

// key returns the public key of what a notary signs now.
func key(tb testing.TB, n *proof.Notary) string {
	tb.Helper()
	key, err := n.Key(within(tb))
	require.NoError(tb, err)
	return key
}

// verifiers returns what verifies the signatures of keys.
func verifiers(tb testing.TB, keys ...string) note.Verifiers {
	tb.Helper()
	v, err := proof.ParseKeys(keys...)
	require.NoError(tb, err)
	return v
}

// checkpoint signs the whole log, of which the tree takes what it lacks in one page.
func (b *bundle) checkpoint(tb testing.TB, n *proof.Notary) proof.Checkpoint {
	tb.Helper()
	head, err := b.store.Head(within(tb))
	require.NoError(tb, err)
	at, err := b.store.Cursor(within(tb), "tree")
	require.NoError(tb, err)
	if at < head {
		b.apply(tb, at+1, head)
	}
	c, err := n.Checkpoint(within(tb), head)
	require.NoError(tb, err)
	return c
}

func TestCheckpointsAreNotesWithTheRootOfTheTree(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	n, keys := b.newNotary(t)
	for _, more := range []int{0, 1, 254, 1, 1, 700} {
		head := b.append(t, more)
		c := b.checkpoint(t, n)
		root, err := tlog.TreeHash(int64(head), b.model(t))
		require.NoError(t, err)
		require.Equal(t, root, c.Root)
		opened, err := proof.OpenCheckpoint(c.Note, keys)
		require.NoError(t, err)
		require.Len(t, opened.Keys, 1)
		require.True(t, strings.HasPrefix(key(t, n), opened.Origin+"+"+opened.Keys[0]+"+"), "the name and the key are those of the public key")
		opened.Keys = nil
		require.Equal(t, c, opened)
		again, err := n.Checkpoint(within(t), head)
		require.NoError(t, err)
		require.Equal(t, c, again, "what was signed is not signed again")
	}
}

func TestAllProcessesSignWithOneKeyAlsoAfterARestart(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	v := b.newVault(t)
	var mu sync.Mutex
	var keys []string
	var processes sync.WaitGroup
	for range 8 {
		processes.Go(func() {
			n, err := proof.NewNotary(within(t), b.pool, b.store, v)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			key, err := n.Key(within(t))
			if err != nil {
				t.Error(err)
			}
			keys = append(keys, key)
		})
	}
	processes.Wait()
	require.Len(t, keys, 8)
	require.Len(t, slices.Compact(keys), 1)
	_, err := proof.NewNotary(within(t), b.pool, b.store, b.newVault(t))
	require.ErrorContains(t, err, "it was sealed with another key", "a key that cannot be opened is not replaced")
}

func TestCheckpointsThatWereNotSignedByTheKeyAreRefused(t *testing.T) {
	t.Parallel()
	b, other := setup(t, 5), setup(t, 5)
	n, keys := b.newNotary(t)
	c := b.checkpoint(t, n)
	forger, _ := other.newNotary(t)
	forged := other.checkpoint(t, forger)
	_, signature, _ := strings.Cut(c.Note, "\n\n")
	for what, text := range map[string]string{
		"another size":          strings.Replace(c.Note, "\n5\n", "\n6\n", 1),
		"another root":          strings.Replace(c.Note, c.Root.String(), forged.Root.String(), 1),
		"another name":          strings.Replace(c.Note, c.Origin+"\n", forged.Origin+"\n", 1),
		"another ledger's":      forged.Note,
		"another's signature":   strings.Split(c.Note, "\n\n")[0] + "\n\n" + strings.Split(forged.Note, "\n\n")[1],
		"no signature":          strings.Split(c.Note, "\n\n")[0] + "\n\n",
		"a cut one":             c.Note[:len(c.Note)-2],
		"something else signed": "hello\n\n" + signature,
		"nothing":               "",
	} {
		_, err := proof.OpenCheckpoint(text, keys)
		require.ErrorContains(t, err, "open checkpoint", what)
	}
	private, public, err := note.GenerateKey(rand.Reader, "stranger")
	require.NoError(t, err)
	stranger, err := note.NewSigner(private)
	require.NoError(t, err)
	body, _, _ := strings.Cut(c.Note, "\n\n")
	signed, err := note.Sign(&note.Note{Text: body + "\n"}, stranger)
	require.NoError(t, err)
	_, err = proof.OpenCheckpoint(string(signed), verifiers(t, key(t, n), public))
	require.ErrorContains(t, err, "whose signature it does not have", "another known ledger cannot speak for this one")
	for _, text := range []string{"delivery-ledger+00000000+AAAA", "", " \n"} {
		_, err = proof.ParseKeys(text)
		require.ErrorContains(t, err, "read public key", text)
	}
}

func TestProofsAreThoseOfTheModel(t *testing.T) {
	t.Parallel()
	const head = 1300
	b := setup(t, head)
	n, keys := b.newNotary(t)
	c := b.checkpoint(t, n)
	m := b.model(t)
	records, err := eventstore.ReadPage(within(t), b.pool, 1, head)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		index := rapid.OneOf(rapid.Int64Range(0, head-1), rapid.SampledFrom([]int64{0, 255, 256, 1023, 1024, 1279, 1280, head - 1})).Draw(t, "index")
		p, err := n.ProveRecord(t.Context(), records[index])
		require.NoError(t, err)
		want, err := tlog.ProveRecord(head, index, m)
		require.NoError(t, err)
		require.Equal(t, want, p.Path)
		require.Equal(t, c, p.Checkpoint)
		require.NoError(t, p.Check())

		size := rapid.Int64Range(1, head).Draw(t, "size")
		path, err := n.ProveTree(t.Context(), size, c)
		require.NoError(t, err)
		prefix, err := tlog.ProveTree(head, size, m)
		require.NoError(t, err)
		require.Equal(t, prefix, path)
		root, err := tlog.TreeHash(size, m)
		require.NoError(t, err)
		require.NoError(t, proof.TreeProof{From: proof.Checkpoint{Size: size, Root: root}, To: c, Path: path}.Check())
		root[0]++
		require.Error(t, proof.TreeProof{From: proof.Checkpoint{Size: size, Root: root}, To: c, Path: path}.Check())

		opened, err := proof.OpenCheckpoint(p.Checkpoint.Note, keys)
		require.NoError(t, err)
		spoilt := p
		spoilt.Checkpoint = opened
		switch rapid.IntRange(0, 7).Draw(t, "spoilt") {
		case 0:
			spoilt.Record.Data = append([]byte(" "), spoilt.Record.Data...)
		case 1:
			spoilt.Record.RecordedAt = spoilt.Record.RecordedAt.Add(time.Microsecond)
		case 2:
			spoilt.Record.Position++
		case 3:
			spoilt.Path = append(tlog.RecordProof{p.Checkpoint.Root}, spoilt.Path...)
		case 4:
			spoilt.Path = spoilt.Path[1:]
		case 5:
			spoilt.Record.Metadata = []byte(`{"actor":"somebody else"}`)
		case 6: // which is shown only
			spoilt.Record.Hash = spoilt.Previous
		case 7: // with a hash to match
			spoilt.Record.Stream = "another"
			spoilt.Record.Hash = eventstore.Hash(spoilt.Previous, &spoilt.Record)
		}
		require.Error(t, spoilt.Check())
	})
}

func TestAProofOfWhatIsNotSignedForYetSigns(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	n, _ := b.newNotary(t)
	first := b.checkpoint(t, n)
	b.append(t, 3)
	records, err := eventstore.ReadPage(within(t), b.pool, 10, 11)
	require.NoError(t, err)
	p, err := n.ProveRecord(within(t), records[0])
	require.NoError(t, err)
	require.Equal(t, first, p.Checkpoint)
	p, err = n.ProveRecord(within(t), records[1])
	require.NoError(t, err)
	require.Equal(t, int64(13), p.Checkpoint.Size)
	path, err := n.ProveTree(within(t), first.Size, p.Checkpoint)
	require.NoError(t, err)
	require.NoError(t, proof.TreeProof{From: first, To: p.Checkpoint, Path: path}.Check())
}

func TestWhatTheTreeHasNotComeToIsSignedForAsFarAsCanBe(t *testing.T) {
	t.Parallel()
	b := setup(t, 900)
	n, _ := b.newNotary(t)
	b.apply(t, 1, 600)
	c, err := n.Checkpoint(within(t), 700)
	require.NoError(t, err)
	require.Equal(t, int64(767), c.Size, "of the block that is not whole the records tell")
	hasty, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = n.Checkpoint(hasty, 768)
	require.ErrorIs(t, err, context.Canceled)
	done := make(chan proof.Checkpoint, 1)
	go func() {
		c, _ := n.Checkpoint(within(t), 800) // the zero one if it fails
		done <- c
	}()
	b.apply(t, 601, 900)
	require.Equal(t, int64(900), (<-done).Size, "it waits for the tree")
	root, err := tlog.TreeHash(767, b.model(t))
	require.NoError(t, err)
	require.Equal(t, root, c.Root)
}

func TestNothingIsSignedOrProvenOfARewrittenLog(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	n, _ := b.newNotary(t)
	b.checkpoint(t, n)
	b.rewrite(t, 4)
	b.append(t, 1)
	records, err := eventstore.ReadPage(within(t), b.pool, 1, 11)
	require.NoError(t, err)
	var mismatch *proof.MismatchError
	_, err = n.Checkpoint(within(t), 11)
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, int64(10), mismatch.Size)
	_, err = n.ProveRecord(within(t), records[0])
	require.ErrorAs(t, err, &mismatch, "a proof that does not hold is not given")
	kept, err := n.Kept(within(t), 10)
	require.NoError(t, err)
	_, err = n.ProveTree(within(t), 5, kept)
	require.ErrorAs(t, err, &mismatch)

	b.tamper(t, `DELETE FROM events WHERE position > 8`, `UPDATE log_head h SET position = 8, hash = e.hash FROM events e WHERE e.position = 8`)
	var corrupt *eventstore.CorruptionError
	_, err = n.Checkpoint(within(t), 11)
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, eventstore.Position(9), corrupt.Position)
}

func TestRunSignsWhileTheLogGrows(t *testing.T) {
	t.Parallel()
	b := setup(t, 2)
	n, _ := b.newNotary(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx, time.Millisecond, slog.New(slog.DiscardHandler)) }()
	signed := func(size int64) func() bool {
		return func() bool { _, err := n.Kept(ctx, size); return err == nil }
	}
	require.Eventually(t, signed(2), patience, time.Millisecond)
	b.append(t, 5)
	require.Eventually(t, signed(7), patience, time.Millisecond)
	stop()
	require.NoError(t, <-done)
	var checkpoints int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM checkpoints`).Scan(&checkpoints))
	require.Equal(t, 2, checkpoints, "a log that does not grow is not signed again")
}
