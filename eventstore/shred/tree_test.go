package shred

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever was destroyed, in whatever order and however often: these leaves are gone, and all others are what they were.
func TestExactlyWhatWasDestroyedIsGone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole := newTree()
		near := rapid.Uint64().Draw(t, "near")
		leaves := rapid.SliceOfNDistinct(rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 20), rapid.Map(rapid.Uint64Range(0, 20), func(n uint64) uint64 {
			return near ^ n
		})), 1, 30, rapid.ID).Draw(t, "leaves")
		secrets, gone := map[uint64][secretSize]byte{}, map[uint64]bool{}
		for _, leaf := range leaves {
			secret, ok := whole.secret(leaf)
			require.True(t, ok)
			for other, known := range secrets {
				require.NotEqual(t, known, secret, "leaves %d and %d", leaf, other)
			}
			secrets[leaf] = secret
		}
		left := whole
		for _, leaf := range rapid.SliceOf(rapid.SampledFrom(leaves)).Draw(t, "destroyed") {
			left, gone[leaf] = left.without(leaf), true
			kept, err := parseTree(left.bytes())
			require.NoError(t, err)
			require.Equal(t, left, kept)
			for _, leaf := range leaves {
				secret, ok := kept.secret(leaf)
				require.Equal(t, !gone[leaf], ok)
				if ok {
					require.Equal(t, secrets[leaf], secret)
				}
			}
			for i, n := range left {
				require.True(t, i == 0 || left[i-1].path < n.path)
				for leaf := range gone {
					require.False(t, n.over(leaf), "no node is over what was destroyed")
				}
			}
		}
	})
}

func TestASubjectIsToldByItsParts(t *testing.T) {
	t.Parallel()
	seen := map[uint64]string{}
	for _, subject := range [][]string{{}, {""}, {"ab"}, {"a", "b"}, {"", "ab"}, {"ab", ""}, {"a", "b", ""}} {
		leaf := leafOf(subject)
		require.NotContains(t, seen, leaf, "%q", subject)
		seen[leaf] = fmt.Sprint(subject)
	}
}

func TestWhatIsSealedOpensInItsPlaceAlone(t *testing.T) {
	t.Parallel()
	k := &Key{number: 3, tree: newTree()}
	jane, john := []string{"prospect", "jane"}, []string{"prospect", "john"}
	sealed, err := k.Seal(jane, "here", []byte("Jane Doe"))
	require.NoError(t, err)
	plain, held, err := k.Open(jane, "here", sealed)
	require.NoError(t, err)
	require.True(t, held)
	require.Equal(t, "Jane Doe", string(plain))
	for _, wrong := range []struct {
		subject []string
		place   string
		sealed  []byte
	}{{john, "here", sealed}, {jane, "there", sealed}, {jane, "here", sealed[1:]}, {jane, "here", nil}} {
		_, _, err := k.Open(wrong.subject, wrong.place, wrong.sealed)
		require.ErrorContains(t, err, "open what was sealed under key 3")
	}
	left := &Key{number: 3, tree: k.tree.without(leafOf(jane))}
	_, held, err = left.Open(jane, "here", sealed)
	require.NoError(t, err)
	require.False(t, held)
	require.False(t, left.Holds(jane))
	require.True(t, left.Holds(john))
	_, err = left.Seal(jane, "here", nil)
	require.ErrorContains(t, err, "seal under key 3: the subject was erased under it")
}

func BenchmarkSeal(b *testing.B) {
	k, plain := &Key{tree: newTree()}, make([]byte, 200)
	for b.Loop() {
		_, _ = k.Seal([]string{"prospect", "comp_456def", "pros_456def"}, "handover/dcf_1/comp_1", plain)
	}
}

func BenchmarkOpen(b *testing.B) {
	k, subject := &Key{tree: newTree()}, []string{"prospect", "comp_456def", "pros_456def"}
	sealed, err := k.Seal(subject, "handover/dcf_1/comp_1", make([]byte, 200))
	require.NoError(b, err)
	for b.Loop() {
		_, _, _ = k.Open(subject, "handover/dcf_1/comp_1", sealed)
	}
}
