package eventstore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// requireConflict fails the test unless err reports the conflict.
func requireConflict(t *testing.T, err error, stream string, expected, actual eventstore.Version) {
	t.Helper()
	var conflict *eventstore.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, eventstore.ConflictError{Stream: stream, Expected: expected, Actual: actual}, *conflict)
}

func TestAppendTellsWhereTheEventsWent(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	first, err := store.Append(within(t), note("a", 0, "one", "two"))
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(2), first.Position)
	require.Equal(t, eventstore.Version(2), first.Version)
	second, err := store.Append(within(t), note("b", 0, "three"))
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(3), second.Position)
	require.Equal(t, eventstore.Version(1), second.Version)
	records := checkLog(t, pool)
	require.Equal(t, []string{"one", "two", "three"}, texts(t, records))
	require.True(t, records[1].RecordedAt.Equal(first.RecordedAt))
	require.True(t, records[2].RecordedAt.Equal(second.RecordedAt))
	require.Equal(t, eventstore.Position(3), first.Position+1, "the log has its own count")
	head, err := store.Head(within(t))
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(3), head)
	at, _ := store.Mark("").Next()
	require.Equal(t, head, at, "the writer's own mark rises before it is told")
}

func TestAppendKeepsTheBytesOfTheEvent(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	ctx := eventstore.WithMetadata(within(t), eventstore.Metadata{Actor: "key_1", Request: "<req & 1>"})
	_, err := newStore(pool).Append(ctx, note("ä/ö", 0, "<b>Söhne & Co</b> ☃ \x00"))
	require.NoError(t, err)
	rec := checkLog(t, pool)[0]
	require.Contains(t, string(rec.Data), `"<b>Söhne & Co</b> ☃ \u0000"`)
	require.JSONEq(t, `{"actor":"key_1","request":"<req & 1>"}`, string(rec.Metadata))
	require.Equal(t, "ä/ö", rec.Stream)
	require.Equal(t, "noted", rec.Type)
	require.Equal(t, int16(1), rec.SchemaVersion)
}

func TestAppendRefusesAVersionThatTheStreamDoesNotHave(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	fill(t, store, 2, "a", "g")
	_, err := store.Append(within(t), note("a", 0, "late"))
	requireConflict(t, err, "a", 0, 2)
	_, err = store.Append(within(t), note("a", 3, "early"))
	requireConflict(t, err, "a", 3, 2)
	guarded := note("a", 2, "guarded")
	guarded.Guard = eventstore.Guard{Stream: "g", Version: 1}
	_, err = store.Append(within(t), guarded)
	requireConflict(t, err, "g", 1, 2)
	guarded.Guard = eventstore.Guard{Stream: "never", Version: 0}
	_, err = store.Append(within(t), guarded)
	require.NoError(t, err, "a guard may ask for a stream without events")
	require.Len(t, checkLog(t, pool), 5)
}

func TestAppendsOfOneCallAreDecidedInTheirOrder(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	guarded := note("b", 0, "b1")
	guarded.Guard = eventstore.Guard{Stream: "a", Version: 2}
	results := newStore(pool).AppendEach(within(t), []eventstore.Append{
		note("a", 0, "a1"), note("a", 0, "refused"), note("a", 1, "a2"), guarded, note("a", 2, "a3"), note("", 0, "no stream"), {Stream: "a"},
	})
	require.NoError(t, results[0].Err)
	requireConflict(t, results[1].Err, "a", 0, 1)
	for _, i := range []int{2, 3, 4} {
		require.NoError(t, results[i].Err)
	}
	require.Error(t, results[5].Err)
	require.Error(t, results[6].Err, "an append without events")
	require.Equal(t, []string{"a1", "a2", "b1", "a3"}, texts(t, checkLog(t, pool)))
}

func TestARepeatFindsItsFirstOutcome(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store, other := newStore(pool), newStore(pool)
	fill(t, store, 1, "g")
	a := note("a", 0, "one", "two")
	a.Guard = eventstore.Guard{Stream: "g", Version: 1}
	first, err := store.Append(within(t), a)
	require.NoError(t, err)
	for _, s := range []*eventstore.Store{store, other} {
		again, err := s.Append(within(t), a)
		require.NoError(t, err)
		require.Equal(t, first.Position, again.Position)
		require.Equal(t, first.Version, again.Version)
		require.True(t, first.RecordedAt.Equal(again.RecordedAt))
	}
	_, err = store.Append(within(t), note("a", 2, "three"))
	require.NoError(t, err)
	_, err = store.Append(within(t), note("g", 1, "the guard is stale"))
	require.NoError(t, err)
	again, err := other.Append(within(t), a)
	require.NoError(t, err, "also after other events, and with a stale guard")
	require.Equal(t, first.Position, again.Position)
	require.Equal(t, first.Version, again.Version)
	require.Len(t, checkLog(t, pool), 5)
}

func TestRepeatsInOneGroupFindTheFirst(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	a := note("a", 0, "one")
	for _, r := range store.AppendEach(within(t), []eventstore.Append{a, a, a}) {
		require.NoError(t, r.Err)
		require.Equal(t, eventstore.Position(1), r.Position)
	}
	for _, r := range store.AppendEach(within(t), []eventstore.Append{a, note("b", 0, "two"), a}) {
		require.NoError(t, r.Err)
	}
	require.Equal(t, []string{"one", "two"}, texts(t, checkLog(t, pool)))
}

func TestConcurrentRepeatsAreRecordedOnce(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	stores := newStores(pool, 3, 2)
	a := note("a", 0, "one", "two", "three")
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			if c, err := stores[i%3].Append(within(t), a); err != nil || c.Version != 3 {
				t.Errorf("repeat: %+v, %v", c, err)
			}
		})
	}
	wg.Wait()
	require.Len(t, checkLog(t, pool), 3)
}

func TestAStreamThatAnotherProcessBeganIsNotBegunAgain(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	mine, other := newStore(pool), newStore(pool)
	repeated := note("repeated", 0, "one")
	first, err := other.Append(within(t), repeated)
	require.NoError(t, err)
	_, err = other.Append(within(t), note("taken", 0, "two"))
	require.NoError(t, err)
	for range 2 { // when it comes as a surprise, and when it does not
		results := mine.AppendEach(within(t), []eventstore.Append{
			note(uuid.NewString(), 0, "fine"), note("taken", 0, "late"), repeated,
		})
		require.NoError(t, results[0].Err)
		requireConflict(t, results[1].Err, "taken", 0, 1)
		require.NoError(t, results[2].Err)
		require.Equal(t, first.Position, results[2].Position)
	}
	require.Len(t, checkLog(t, pool), 4)
}

func TestAConflictHindersNobodyElseInItsGroup(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	fill(t, store, 1, "hot")
	release := holdLog(t, pool) // so that all below wait for one group
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if i%2 == 0 {
				if _, err := store.Append(within(t), note(uuid.NewString(), 0, "fine")); err != nil {
					t.Error(err)
				}
			} else if _, err := store.Append(within(t), note("hot", 0, "late")); err == nil {
				t.Error("a wrong version was accepted")
			}
		})
	}
	release()
	wg.Wait()
	require.Len(t, checkLog(t, pool), 26)
}

func TestAnEventThatPostgresRefusesFailsAlone(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	noise := make([]byte, 6000) // does not compress to what fits in an index
	for i := range noise {
		noise[i] = byte('!' + rand.IntN(90))
	}
	release := holdLog(t, pool)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if i%10 != 5 {
				if _, err := store.Append(within(t), note(uuid.NewString(), 0, "fine")); err != nil {
					t.Error(err)
				}
				return
			}
			_, err := store.Append(within(t), note(string(noise)+uuid.NewString(), 0, "not fine"))
			if _, ok := errors.AsType[*pgconn.PgError](err); !ok || eventstore.IsUnavailable(err) {
				t.Errorf("a stream's name that is too long for an index: %v", err)
			}
		})
	}
	release()
	wg.Wait()
	require.Len(t, checkLog(t, pool), 36)
}

func TestWhatIsNoTextIsRefusedBeforeItReachesTheGroup(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	for _, a := range []eventstore.Append{
		note("\xff", 0, "x"),
		note("a\x00", 0, "x"),
		{Stream: "a", Events: []eventstore.Event{unmarshalable{}}},
	} {
		_, err := store.Append(within(t), a)
		require.Error(t, err)
		require.False(t, eventstore.IsUnavailable(err))
	}
	require.Empty(t, wholeLog(t, pool))
}

// unmarshalable is an event that cannot be encoded.
type unmarshalable struct {
	C chan int
}

func (unmarshalable) EventType() string { return "unmarshalable" }

// lockLog takes the log's lock.
const lockLog = `SELECT FROM log_head FOR UPDATE`

// holdLog holds the log's lock until the function that it returns is called.
func holdLog(t *testing.T, pool *pgxpool.Pool) (release func()) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	_, err = tx.Exec(t.Context(), lockLog)
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Commit(t.Context())) }
}

func TestACallerThatLeavesIsToldThatTheOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	release := holdLog(t, pool)
	ctx, cancel := context.WithCancel(t.Context())
	a := note("a", 0, "one")
	outcome := make(chan error, 1)
	go func() {
		_, err := store.Append(ctx, a)
		outcome <- err
	}()
	requireWaiting(t, pool, 1)
	cancel()
	err := <-outcome
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, eventstore.IsUnavailable(err))
	release()
	c, err := store.Append(within(t), a)
	require.NoError(t, err, "asking again with the same ID is safe")
	require.Equal(t, eventstore.Position(1), c.Position)
	require.Len(t, checkLog(t, pool), 1)
}

// requireWaiting returns once n wait for the log's lock.
func requireWaiting(t *testing.T, pool *pgxpool.Pool, n int) {
	t.Helper()
	const query = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	require.Eventually(t, func() bool {
		var waiting int
		return pool.QueryRow(t.Context(), query).Scan(&waiting) == nil && waiting == n
	}, patience, 5*time.Millisecond)
}

func TestLargeEventsDoNotMakeLargeTransactions(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	large := strings.Repeat("x", 1<<20)
	release := holdLog(t, pool)
	var wg sync.WaitGroup
	for range 48 {
		wg.Go(func() {
			if _, err := store.Append(within(t), note(uuid.NewString(), 0, large)); err != nil {
				t.Error(err)
			}
		})
	}
	release()
	wg.Wait()
	const query = `SELECT max(events) FROM (SELECT count(*) AS events FROM events GROUP BY xmin::text) AS transactions`
	var most int
	require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&most))
	require.LessOrEqual(t, most, 16)
	require.Len(t, checkLog(t, pool), 48)
}

func TestTheLogRefusesToBeChanged(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	fill(t, newStore(pool), 3, "a")
	asRetention := retentionRole(t, pool)
	for _, statement := range []string{
		`UPDATE events SET data = '{}' WHERE position = 1`,
		`DELETE FROM events WHERE position = 1`,
		`DELETE FROM events WHERE false`,
		`TRUNCATE events`,
	} {
		_, err := pool.Exec(t.Context(), statement)
		var refusal *pgconn.PgError
		require.ErrorAs(t, err, &refusal, statement)
		require.Equal(t, "42501", refusal.Code)
	}
	require.Len(t, checkLog(t, pool), 3)
	asRetention(`UPDATE events SET data = '{"text":"forgotten"}' WHERE position = 1`)
	asRetention(`DELETE FROM events WHERE position = 2`)
	asRetention(`TRUNCATE events`)
	require.Empty(t, wholeLog(t, pool))
}

// retentionRole returns what runs statements as the role that may change the log.
func retentionRole(t *testing.T, pool *pgxpool.Pool) (run func(statement string, args ...any)) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `
		DO $$
		BEGIN
			CREATE ROLE ledger_retention;
		EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- roles are the server's, not the database's
		END
		$$`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `GRANT ALL ON events, log_head TO ledger_retention`)
	require.NoError(t, err)
	return func(statement string, args ...any) {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `SET LOCAL ROLE ledger_retention`); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), statement, args...)
			return err
		})
		require.NoError(t, err, statement)
	}
}
