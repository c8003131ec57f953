package proof_test

import (
	"crypto/rand"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
)

// forget makes the tree anew, and has the checkpoints signed anew, as who rewrote the log would.
func (b *bundle) forget(t *testing.T, n *proof.Notary) {
	t.Helper()
	b.tamper(t, `TRUNCATE tree_hashes, checkpoints`, `DELETE FROM cursors WHERE name = 'tree'`)
	b.checkpoint(t, n)
}

func TestVerifyAgreesWithWhatWasSignedHoweverTheTreeHasGrown(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	n, _ := b.newNotary(t)
	var kept []proof.Checkpoint
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 3).Draw(rt, "times") {
			b.append(t, rapid.IntRange(1, 300).Draw(rt, "events"))
			kept = append(kept, b.checkpoint(t, n))
		}
		b.append(t, rapid.IntRange(0, 2).Draw(rt, "events after"))
		others := rapid.SliceOfN(rapid.SampledFrom(kept), 0, 3).Draw(rt, "kept elsewhere")
		found, err := proof.Verify(within(t), b.pool, others, nil, nil)
		require.NoError(t, err)
		require.Equal(t, proof.Finding{Checkpoints: len(kept) + len(others), Size: kept[len(kept)-1].Size}, found)
	})
}

func TestVerifyNamesWhatIsNotAsItWasSigned(t *testing.T) {
	t.Parallel()
	const n = 700
	for name, c := range map[string]struct {
		rewrite, cut eventstore.Position // from where to rewrite the log, and after which to cut it; 0: not
		statements   []string
		regrow       bool                // the tree is made anew
		forget       bool                // and all is signed anew: only what is kept elsewhere tells
		position     eventstore.Position // that is named; 0: the size of the checkpoint is
	}{
		"a tail rewritten within the stored tree":        {rewrite: 300, position: 257},
		"a tail rewritten beyond the stored tree":        {rewrite: 600},
		"a rewritten tail, and the tree":                 {rewrite: 300, regrow: true},
		"a rewritten tail, the tree and what was signed": {rewrite: 300, forget: true},
		"a removed tail": {cut: 650, position: 651},
		"a removed tail, the tree and what was signed": {cut: 650, forget: true, position: 651},
		"a record, removed":                            {statements: []string{`DELETE FROM events WHERE position = 400`}, position: 400},
		"a swapped pair": {statements: []string{
			`UPDATE events e SET hash = o.hash FROM events o WHERE e.position IN (301, 302) AND o.position = 603 - e.position`,
		}, position: 257},
		"a hash of the tree":          {statements: []string{`UPDATE tree_hashes SET hash = sha256('x') WHERE index = 1`}, position: 257},
		"a hash of the tree, missing": {statements: []string{`DELETE FROM tree_hashes WHERE index = 0`}, position: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, n)
			notary, _ := b.newNotary(t)
			others := []proof.Checkpoint{b.checkpoint(t, notary)}
			_, err := proof.Verify(within(t), b.pool, others, nil, nil)
			require.NoError(t, err)

			if c.rewrite > 0 {
				b.rewrite(t, c.rewrite)
			}
			if c.cut > 0 {
				b.cut(t, c.cut)
			}
			b.tamper(t, c.statements...)
			if c.regrow {
				b.tamper(t, `TRUNCATE tree_hashes`)
				b.apply(t, 1, n)
			}
			if c.forget {
				b.forget(t, notary)
			}
			_, err = proof.Verify(within(t), b.pool, others, nil, nil)
			requireNamed(t, err, c.position, n)
			if _, err = proof.Verify(within(t), b.pool, nil, nil, nil); c.forget {
				require.NoError(t, err, "nothing in the database tells")
			} else {
				requireNamed(t, err, c.position, n)
			}
		})
	}
}

func TestAForgedCheckpointIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	b := setup(t, 5)
	n, keys := b.newNotary(t)
	b.checkpoint(t, n)
	b.append(t, 4)
	c := b.checkpoint(t, n)
	_, err := proof.Verify(within(t), b.pool, nil, keys, nil)
	require.NoError(t, err)

	private, public, err := note.GenerateKey(rand.Reader, c.Origin)
	require.NoError(t, err)
	forger, err := note.NewSigner(private)
	require.NoError(t, err)
	forge := func(body string) {
		signed, err := note.Sign(&note.Note{Text: body}, forger)
		require.NoError(t, err)
		_, err = b.pool.Exec(t.Context(), `UPDATE checkpoints SET note = $1 WHERE size = 9`, string(signed))
		require.NoError(t, err)
	}
	body, _, _ := strings.Cut(c.Note, "\n\n")
	forge(body + "\n")
	_, err = proof.Verify(within(t), b.pool, nil, nil, nil)
	require.NoError(t, err, "who has no key cannot tell who signed what is so")
	var forged *proof.ForgeryError
	_, err = proof.Verify(within(t), b.pool, nil, keys, nil)
	require.ErrorAs(t, err, &forged)
	require.Equal(t, int64(9), forged.Size)
	_, err = proof.Verify(within(t), b.pool, nil, verifiers(t, key(t, n), public), nil)
	require.NoError(t, err)

	forge(strings.Replace(body, c.Root.String(), tlog.Hash{}.String(), 1) + "\n")
	_, err = proof.Verify(within(t), b.pool, nil, nil, nil)
	requireNamed(t, err, 0, 9)
}

// cut removes the log's end, as who has the whole server can.
func (b *bundle) cut(t *testing.T, last eventstore.Position) {
	t.Helper()
	end := strconv.Itoa(int(last))
	b.tamper(t, `DELETE FROM events WHERE position > `+end,
		`UPDATE log_head h SET position = e.position, hash = e.hash, recorded_at = e.recorded_at FROM events e WHERE e.position = `+end)
}

// requireNamed fails the test unless err names the position, or if that is 0 the size of a checkpoint.
func requireNamed(t *testing.T, err error, position eventstore.Position, size int64) {
	t.Helper()
	if position == 0 {
		var mismatch *proof.MismatchError
		require.ErrorAs(t, err, &mismatch)
		require.Equal(t, size, mismatch.Size)
		return
	}
	var corrupt *eventstore.CorruptionError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, position, corrupt.Position, err)
}
