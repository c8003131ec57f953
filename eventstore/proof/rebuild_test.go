package proof_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
	"github.com/openprospect/delivery-ledger/eventstore/follower/followertest"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
)

// writers returns by which transaction each row of the tree's table was written.
func (b *bundle) writers(t require.TestingT) map[int64]string {
	rows, _ := b.pool.Query(context.Background(), `SELECT index, xmin::text FROM tree_hashes`)
	found := map[int64]string{}
	var index int64
	var writer string
	_, err := pgx.ForEachRow(rows, []any{&index, &writer}, func() error {
		found[index] = writer
		return nil
	})
	require.NoError(t, err)
	return found
}

func TestRebuildPutsRightWhatIsWrongInTheTreeAndTouchesNothingElse(t *testing.T) {
	t.Parallel()
	const head = 2400
	b := setup(t, head)
	m := b.model(t)
	rapid.Check(t, func(t *rapid.T) {
		_, err := b.pool.Exec(t.Context(), `TRUNCATE tree_hashes`)
		require.NoError(t, err)
		cursor := eventstore.Position(rapid.IntRange(1, head).Draw(t, "cursor"))
		b.apply(t, 1, cursor)
		before := b.writers(t)
		for range rapid.IntRange(0, 4).Draw(t, "damages") {
			damage := rapid.SampledFrom([]string{
				`DELETE FROM tree_hashes WHERE index = %d`,
				`UPDATE tree_hashes SET hash = sha256('x') WHERE index = %d`,
				`INSERT INTO tree_hashes (index, hash) VALUES (%d, sha256('y')) ON CONFLICT (index) DO UPDATE SET hash = excluded.hash`,
			}).Draw(t, "damage")
			index := rapid.Int64Range(0, 20).Draw(t, "index")
			_, err := b.pool.Exec(t.Context(), fmt.Sprintf(damage, index))
			require.NoError(t, err)
			delete(before, index)
		}
		require.NoError(t, proof.Rebuild(t.Context(), b.pool, nil))
		require.Equal(t, m.stored(cursor), b.tree(t))
		after := b.writers(t)
		for index, writer := range before {
			require.Equal(t, writer, after[index], "it was right")
		}
	})
}

func TestTheTreeIsRebuiltWhileItGrowsAndProves(t *testing.T) {
	t.Parallel()
	b := setup(t, 3000)
	n, _ := b.newNotary(t)
	followertest.Start(t, b.pool, b.store, []follower.Config{proof.Follower()})
	require.NoError(t, b.store.Await(within(t), "tree", 3000))
	_, err := n.Checkpoint(within(t), 3000)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		var err error
		for at := eventstore.Position(1); ctx.Err() == nil && err == nil; at = at%3000 + 41 {
			var records []eventstore.Record
			if records, err = eventstore.ReadPage(t.Context(), b.pool, at, at); err == nil && len(records) > 0 {
				_, err = n.ProveRecord(t.Context(), records[0])
			}
		}
		done <- err
	}()
	var head eventstore.Position
	for range 8 {
		head = b.append(t, 900)
		require.NoError(t, proof.Rebuild(within(t), b.pool, nil))
	}
	stop()
	require.NoError(t, <-done, "there is no gap")
	require.NoError(t, b.store.Await(within(t), "tree", head))
	require.Equal(t, b.model(t).stored(head), b.tree(t))

	b.tamper(t, `UPDATE tree_hashes SET hash = sha256('x') WHERE index IN (0, 2, 6, 14)`) // from which it goes on to grow
	head = b.append(t, 2000)
	require.NoError(t, b.store.Await(within(t), "tree", head))
	_, err = proof.Verify(within(t), b.pool, nil, nil, nil)
	require.Error(t, err)
	var told eventstore.Position
	require.NoError(t, proof.Rebuild(within(t), b.pool, func(done, total eventstore.Position) { told = done }))
	require.Equal(t, head, told)
	_, err = proof.Verify(within(t), b.pool, nil, nil, nil)
	require.NoError(t, err)
	require.Equal(t, b.model(t).stored(head), b.tree(t))
}

func TestATreeThatNobodyKeptYetIsRebuiltToNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, 300)
	b.tamper(t, `INSERT INTO tree_hashes (index, hash) VALUES (0, sha256('x'))`)
	require.NoError(t, proof.Rebuild(within(t), b.pool, nil))
	require.Empty(t, b.tree(t))
}
