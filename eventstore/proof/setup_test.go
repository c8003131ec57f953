package proof_test

import (
	"context"
	"flag"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "30") // each works on a database; the command line may ask for more
	os.Exit(m.Run())
}

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// noted is an event: text.
type noted struct {
	Text string `json:"text"`
}

func (noted) EventType() string { return "noted" }

// bundle is what a test works with.
type bundle struct {
	pool  *pgxpool.Pool
	store *eventstore.Store
}

// setup returns a log with n events.
func setup(tb testing.TB, n int) *bundle {
	tb.Helper()
	pool := testdb.New(tb)
	b := &bundle{pool: pool, store: eventstore.New(pool, eventstore.NewRegistry(noted{}), eventstore.Options{})}
	b.append(tb, n)
	return b
}

// append appends n events, and returns the head.
func (b *bundle) append(tb testing.TB, n int) eventstore.Position {
	tb.Helper()
	head, err := b.store.Head(within(tb))
	require.NoError(tb, err)
	a := eventstore.Append{Stream: "s" + strconv.Itoa(int(head))}
	for i := range n {
		a.Events = append(a.Events, noted{Text: strconv.Itoa(i)})
	}
	if n > 0 {
		c, err := b.store.Append(within(tb), a)
		require.NoError(tb, err)
		head = c.Position
	}
	return head
}

// within returns a context for what must happen before the test loses patience.
func within(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// apply enters a page in the tree, as its follower does.
func (b *bundle) apply(t require.TestingT, first, last eventstore.Position) {
	ctx := context.Background()
	require.NoError(t, pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		if err := proof.Follower().Apply(ctx, tx, first, last); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO cursors (name, version, position) VALUES ('tree', 1, $1) ON CONFLICT (name) DO UPDATE SET position = $1`, last)
		return err
	}))
}

// tree returns the rows of the tree's table, by their index.
func (b *bundle) tree(t require.TestingT) map[int64]tlog.Hash {
	rows, _ := b.pool.Query(context.Background(), `SELECT index, hash FROM tree_hashes`)
	found := map[int64]tlog.Hash{}
	var index int64
	var hash []byte
	_, err := pgx.ForEachRow(rows, []any{&index, &hash}, func() error {
		found[index] = tlog.Hash(hash)
		return nil
	})
	require.NoError(t, err)
	return found
}

// tamper runs statements as who has the whole server.
func (b *bundle) tamper(tb testing.TB, statements ...string) {
	tb.Helper()
	require.NoError(tb, pgx.BeginFunc(tb.Context(), b.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(tb.Context(), `SET LOCAL session_replication_role = replica`)
		for _, statement := range statements {
			if err == nil {
				_, err = tx.Exec(tb.Context(), statement)
			}
		}
		return err
	}))
}

// A model is the tree as tlog itself keeps it: every hash, in memory.
type model []tlog.Hash

// ReadHashes implements [tlog.HashReader].
func (m model) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = m[index]
	}
	return hashes, nil
}

// model returns that of the log.
func (b *bundle) model(tb testing.TB) (m model) {
	tb.Helper()
	records, err := eventstore.ReadPage(within(tb), b.pool, 1, 1<<60)
	require.NoError(tb, err)
	for i, rec := range records {
		added, err := tlog.StoredHashes(int64(i), rec.Hash, m)
		require.NoError(tb, err)
		m = append(m, added...)
	}
	return m
}

// rewrite changes the event at position from, and computes all hashes from there on anew, as who has
// the whole server can.
func (b *bundle) rewrite(tb testing.TB, from eventstore.Position) {
	tb.Helper()
	records, err := eventstore.ReadPage(within(tb), b.pool, from-1, 1<<60)
	require.NoError(tb, err)
	require.NoError(tb, pgx.BeginFunc(tb.Context(), b.pool, func(tx pgx.Tx) error {
		var statements pgx.Batch
		statements.Queue(`SET LOCAL session_replication_role = replica`)
		previous := records[0].Hash
		for i := range records[1:] {
			rec := &records[i+1]
			if rec.Position == from {
				rec.Data = []byte(`{"text":"another"}`)
			}
			rec.Hash = eventstore.Hash(previous, rec)
			statements.Queue(`UPDATE events SET data = $2, hash = $3 WHERE position = $1`, rec.Position, rec.Data, rec.Hash)
			previous = rec.Hash
		}
		statements.Queue(`UPDATE log_head SET hash = $1`, previous)
		return tx.SendBatch(tb.Context(), &statements).Close()
	}))
}
