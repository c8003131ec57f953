package proof_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
	"github.com/openprospect/delivery-ledger/eventstore/follower/followertest"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
)

// stored returns what the tree's table must hold when the log has come to head.
func (m model) stored(head eventstore.Position) map[int64]tlog.Hash {
	const level, size = 8, 256
	rows := map[int64]tlog.Hash{}
	for index := range tlog.StoredHashCount(int64(head) / size) {
		l, n := tlog.SplitStoredHashIndex(index)
		rows[index] = m[tlog.StoredHashIndex(l+level, n)]
	}
	return rows
}

func TestTheTreeComesOutTheSameHoweverTheLogIsCut(t *testing.T) {
	t.Parallel()
	const head = 2400
	b := setup(t, head)
	m := b.model(t)
	rapid.Check(t, func(t *rapid.T) {
		_, err := b.pool.Exec(t.Context(), `TRUNCATE tree_hashes`)
		require.NoError(t, err)
		edges := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 1100), rapid.SampledFrom([]int{1, 255, 256, 257, 512})), 1, 12).Draw(t, "pages")
		at := eventstore.Position(0)
		for _, size := range edges {
			if last := min(at+eventstore.Position(size), head); last > at {
				b.apply(t, at+1, last)
				at = last
			}
		}
		require.Equal(t, m.stored(at), b.tree(t))
	})
}

func TestTheFollowerKeepsTheTreeAndMakesItAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, 700)
	p := followertest.Start(t, b.pool, b.store, []follower.Config{proof.Follower()})
	await := func(head eventstore.Position) {
		t.Helper()
		require.NoError(t, b.store.Await(within(t), "tree", head))
	}
	await(700)
	head := b.append(t, 900)
	await(head)
	live := b.tree(t)
	require.Equal(t, b.model(t).stored(head), live)
	p.Stop()

	_, err := b.pool.Exec(t.Context(), `TRUNCATE tree_hashes`)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `UPDATE cursors SET position = 0 WHERE name = 'tree'`)
	require.NoError(t, err)
	again := eventstore.New(b.pool, b.store.Registry(), eventstore.Options{}) // a process that knows nothing yet
	followertest.Start(t, b.pool, again, []follower.Config{proof.Follower()})
	require.NoError(t, again.Await(within(t), "tree", head))
	require.Equal(t, live, b.tree(t), "rebuilt equals live")
}

func TestTheTreeDoesNotGrowOverAGap(t *testing.T) {
	t.Parallel()
	b := setup(t, 600)
	b.tamper(t, `DELETE FROM events WHERE position = 300`)
	b.apply(t, 1, 256)
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		return proof.Follower().Apply(t.Context(), tx, 257, 600)
	})
	var corrupt *eventstore.CorruptionError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, eventstore.Position(300), corrupt.Position)
	require.Len(t, b.tree(t), 1)
}

// BenchmarkTree grows the tree over a log of 200,000 events, in pages as its follower does.
func BenchmarkTree(b *testing.B) {
	const events, group = 200_000, 10_000
	l := setup(b, 0)
	for range events / group {
		l.append(b, group)
	}
	b.ResetTimer()
	for range b.N {
		_, err := l.pool.Exec(b.Context(), `TRUNCATE tree_hashes`)
		require.NoError(b, err)
		for at, page := eventstore.Position(0), eventstore.Position(proof.Follower().Page); at < events; at += page {
			l.apply(b, at+1, min(at+page, events))
		}
	}
	b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
}
