package eventstore_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestEventsOfStreamsAreFoundInOrder(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	fill(t, store, 3, "a", "b", "c")
	positions, err := eventstore.PositionsOf(t.Context(), pool, []string{"c", "none", "a"})
	require.NoError(t, err)
	require.Equal(t, []eventstore.Position{1, 3, 4, 6, 7, 9}, positions)
	records, err := eventstore.ReadAt(t.Context(), pool, []eventstore.Position{9, 4, 400})
	require.NoError(t, err)
	require.Equal(t, []string{"a 1", "c 2"}, texts(t, records))
}

func TestPositionAtIsWhatAScanFinds(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	var records []eventstore.Record
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(0, 3).Draw(t, "more events") {
			_, err := store.Append(t.Context(), note("a", eventstore.Version(len(records)), "x"))
			require.NoError(t, err)
			records = wholeLog(t, pool)
		}
		at := time.Unix(0, 0)
		if len(records) > 0 {
			at = rapid.SampledFrom(records).Draw(t, "event").RecordedAt
		}
		at = at.Add(time.Duration(rapid.SampledFrom([]int64{0, -1, 1, -1e9, 1e9, -1e15, 1e15}).Draw(t, "off by µs")) * time.Microsecond)
		want := eventstore.Position(0)
		for _, rec := range records {
			if !rec.RecordedAt.After(at) {
				want = rec.Position
			}
		}
		got, err := store.PositionAt(t.Context(), at)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestPagesOfAnyLengthAreTheLog(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	fill(t, store, 12, "a", "b")
	all := wholeLog(t, pool)
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 30).Draw(t, "limit")
		var read []eventstore.Record
		for {
			page, err := store.ReadPage(t.Context(), eventstore.Position(len(read)), limit)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), limit)
			if len(page) == 0 {
				break
			}
			read = append(read, page...)
		}
		require.Equal(t, all, read)
	})
}

func TestAPageHasTheTypesAskedFor(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	for v, e := range []eventstore.Event{noted{}, added{1}, foreign{}, added{2}} {
		_, err := store.Append(within(t), eventstore.Append{Stream: "a", Expected: eventstore.Version(v), Events: []eventstore.Event{e}})
		require.NoError(t, err)
	}
	page, err := eventstore.ReadPage(within(t), pool, 2, 4, "added", "noted")
	require.NoError(t, err)
	require.Len(t, page, 2)
	require.Equal(t, eventstore.Position(2), page[0].Position)
	require.Equal(t, eventstore.Position(4), page[1].Position)
	for _, rec := range page {
		e, err := store.Registry().Decode(rec)
		require.NoError(t, err)
		require.IsType(t, added{}, e)
	}
}

func TestAStreamIsReadFromItsStart(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	fill(t, store, 3, "a", "ab", "b")
	records, err := store.ReadStream(within(t), "a")
	require.NoError(t, err)
	require.Equal(t, []string{"a 0", "a 1", "a 2"}, texts(t, records))
	records, err = store.ReadStream(within(t), "never")
	require.NoError(t, err)
	require.Empty(t, records)
}

func TestAWatermarkOnlyRises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var mark eventstore.Watermark
		highest := eventstore.Position(0)
		for _, pos := range rapid.SliceOf(rapid.Int64Range(-5, 50)).Draw(t, "raises") {
			_, changed := mark.Next()
			before := highest
			highest = max(highest, eventstore.Position(pos))
			mark.Raise(eventstore.Position(pos))
			at, _ := mark.Next()
			require.Equal(t, highest, at)
			select {
			case <-changed:
				require.Greater(t, highest, before, "who waits is woken by a rise")
			default:
				require.Equal(t, before, highest, "and only by one")
			}
		}
	})
}

func TestWhoWaitsForAWatermarkWakesExactlyWhenItIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mark eventstore.Watermark
		var mu sync.Mutex
		var woken []eventstore.Position
		for pos := range eventstore.Position(10) {
			go func() {
				if err := mark.Wait(t.Context(), pos); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				woken = append(woken, pos)
			}()
		}
		for _, raise := range []eventstore.Position{0, 3, 2, 7, 9} {
			mark.Raise(raise)
			synctest.Wait()
			at, _ := mark.Next()
			mu.Lock()
			slices.Sort(woken)
			for i, pos := range woken {
				require.Equal(t, eventstore.Position(i), pos)
			}
			require.Len(t, woken, int(at)+1)
			mu.Unlock()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.ErrorIs(t, mark.Wait(ctx, 10), context.DeadlineExceeded)
	})
}

// listen makes store hear of other processes until the test ends.
func listen(t *testing.T, store *eventstore.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- store.Listen(ctx, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done, "Listen ends without an error when it is told to")
	})
}

func TestAListenerHearsOfAppendsOfOtherProcesses(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	here, there := newStore(pool), newStore(pool)
	head := fill(t, there, 2, "a")
	listen(t, here)
	require.NoError(t, here.Mark("").Wait(within(t), head), "also of those before it listened")
	c, err := there.Append(within(t), note("a", 2, "x"))
	require.NoError(t, err)
	require.NoError(t, here.Mark("").Wait(within(t), c.Position))
}

func TestAListenerFindsAnotherConnectionWhenItsOwnIsLost(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	here, there := newStore(pool), newStore(pool)
	listen(t, here)
	for v := range 3 {
		terminateListener(t, pool)
		c, err := there.Append(within(t), note("a", eventstore.Version(v), "x"))
		require.NoError(t, err)
		require.NoError(t, here.Mark("").Wait(within(t), c.Position))
	}
}

// terminateListener ends the backend that listens, once there is one.
func terminateListener(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	const query = `
		SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND query = 'LISTEN ledger'`
	require.Eventually(t, func() bool {
		var n int
		return pool.QueryRow(t.Context(), query).Scan(&n) == nil && n == 1
	}, patience, 5*time.Millisecond)
}

func TestAwaitReturnsWhenAnotherProcessHasAppliedTheEvent(t *testing.T) {
	t.Parallel()
	for name, listens := range map[string]bool{"by a notification": true, "by looking": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := testdb.New(t)
			here := newStore(pool)
			if listens {
				listen(t, here)
			}
			arrived := make(chan error, 1)
			go func() { arrived <- here.Await(within(t), "reader", 5) }()
			for _, at := range []int{0, 4, 5} {
				select {
				case err := <-arrived:
					require.FailNow(t, "Await returned before the event was applied", "%v", err)
				default:
				}
				const move = `
					INSERT INTO cursors (name, version, position) VALUES ('reader', 1, $1)
					ON CONFLICT (name) DO UPDATE SET position = excluded.position`
				_, err := pool.Exec(t.Context(), move, at)
				require.NoError(t, err)
				_, err = pool.Exec(t.Context(), `SELECT pg_notify('ledger', 'reader ' || $1::bigint)`, at)
				require.NoError(t, err)
			}
			require.NoError(t, <-arrived)
			at, err := here.Cursor(within(t), "reader")
			require.NoError(t, err)
			require.Equal(t, eventstore.Position(5), at)
		})
	}
}

func TestAwaitGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	store := newStore(testdb.New(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, store.Await(ctx, "reader", 1), context.Canceled)
	require.NoError(t, store.Await(ctx, "reader", 0), "what is there need not be waited for")
}
