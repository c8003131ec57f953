package follower_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
	"github.com/openprospect/delivery-ledger/eventstore/follower/followertest"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "30") // each runs processes; the command line may ask for more
	os.Exit(m.Run())
}

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// poll is short, so that processes take over from each other soon.
const poll = 20 * time.Millisecond

// happened is an event.
type happened struct{}

func (happened) EventType() string { return "happened" }

// bundle is what a test works with.
type bundle struct {
	pool  *pgxpool.Pool
	store *eventstore.Store
}

// setup returns a log with n events, and a table of what followers saw: nothing in it keeps a
// position from being there twice.
func setup(t *testing.T, n int) *bundle {
	t.Helper()
	pool := testdb.New(t)
	_, err := pool.Exec(t.Context(), `CREATE TABLE seen (follower text, position bigint, page bigint)`)
	require.NoError(t, err)
	b := &bundle{pool: pool, store: newStore(pool)}
	b.append(t, n)
	return b
}

// newStore returns a store as a process of its own would have it.
func newStore(pool *pgxpool.Pool) *eventstore.Store {
	return eventstore.New(pool, eventstore.NewRegistry(happened{}), eventstore.Options{})
}

// append appends n events.
func (b *bundle) append(t *testing.T, n int) {
	t.Helper()
	if n == 0 {
		return
	}
	head, err := b.store.Head(within(t))
	require.NoError(t, err)
	a := eventstore.Append{Stream: fmt.Sprint("s", head)}
	for range n {
		a.Events = append(a.Events, happened{})
	}
	_, err = b.store.Append(within(t), a)
	require.NoError(t, err)
}

// within returns a context for what must happen before the test loses patience.
func within(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// see enters a page in the table.
func see(name string) apply {
	return func(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) error {
		const insert = `INSERT INTO seen SELECT $1, p, $2 FROM generate_series($2::bigint, $3::bigint) AS p`
		_, err := tx.Exec(ctx, insert, name, first, last)
		return err
	}
}

// apply is the signature of Apply.
type apply = func(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) error

// before runs hook ahead of what seeing a page does.
func before(name string, hook apply) apply {
	return func(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) error {
		if err := hook(ctx, tx, first, last); err != nil {
			return err
		}
		return see(name)(ctx, tx, first, last)
	}
}

// start follows in one more process: with a pool and a store of its own.
func (b *bundle) start(t *testing.T, cfg follower.Config, add ...followertest.Addition) followertest.Process {
	t.Helper()
	if cfg.Poll == 0 {
		cfg.Poll = poll
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), b.pool.Config())
	require.NoError(t, err)
	p := followertest.Start(t, pool, newStore(pool), []follower.Config{cfg}, add...)
	stop := p.Stop
	p.Stop = func() {
		stop()
		pool.Close()
	}
	t.Cleanup(p.Stop)
	return p
}

// await returns when the follower has come to the head.
func (b *bundle) await(t *testing.T, name string) {
	t.Helper()
	head, err := b.store.Head(within(t))
	require.NoError(t, err)
	require.NoError(t, b.store.Await(within(t), name, head))
}

// requireSeen fails the test unless the follower has seen each event up to its cursor once and
// in order, and none beyond.
func (b *bundle) requireSeen(t require.TestingT, name string) eventstore.Position {
	var at eventstore.Position
	var rows, positions int
	const query = `
		SELECT (SELECT position FROM cursors WHERE name = $1), count(*), count(DISTINCT position)
		FROM seen WHERE follower = $1`
	require.NoError(t, b.pool.QueryRow(context.Background(), query, name).Scan(&at, &rows, &positions))
	require.Equal(t, int(at), positions, "%s saw every event up to its cursor", name)
	require.Equal(t, int(at), rows, "%s saw no event twice", name)
	return at
}

// requireAll fails the test unless the follower has seen the whole log.
func (b *bundle) requireAll(t *testing.T, name string) {
	t.Helper()
	b.await(t, name)
	head, err := b.store.Head(within(t))
	require.NoError(t, err)
	require.Equal(t, head, b.requireSeen(t, name))
}

func TestEveryEventIsAppliedOnceWhateverThePagesAndProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		name := fmt.Sprint("reader-", run)
		t.Run(name, func(t *testing.T) {
			pages := rapid.SliceOfN(rapid.IntRange(1, 40), 1, 2).Draw(rt, "page sizes of the processes")
			bursts := rapid.SliceOfN(rapid.IntRange(0, 30), 1, 4).Draw(rt, "events")
			var processes []followertest.Process
			for _, page := range pages {
				processes = append(processes, b.start(t, follower.Config{Name: name, Page: page, Apply: see(name)}))
			}
			for i, n := range bursts {
				b.append(t, n)
				if i == len(bursts)/2 && len(processes) > 1 {
					processes[rapid.IntRange(0, 1).Draw(rt, "stops")].Stop()
				}
			}
			b.requireAll(t, name)
			for _, p := range processes {
				p.Stop()
			}
		})
		if t.Failed() {
			rt.FailNow()
		}
	})
}

func TestAProcessWhoseConnectionsAreKilledMidPageLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, 500)
	pages := make(chan uint32)
	release := make(chan struct{})
	var kills atomic.Int64
	const most = 6
	cfg := follower.Config{Name: "reader", Page: 10, Apply: func(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) error {
		if err := see("reader")(ctx, tx, first, last); err != nil {
			return err
		}
		if kills.Add(1) <= most {
			pages <- tx.Conn().PgConn().PID() // the page was entered, and is not committed
			<-release
		}
		return nil
	}}
	for range 2 {
		b.start(t, cfg)
	}
	for range most {
		pid := <-pages
		_, err := b.pool.Exec(within(t), `SELECT pg_terminate_backend($1)`, pid)
		require.NoError(t, err)
		release <- struct{}{}
	}
	b.requireAll(t, "reader")
}

func TestAPageThatCannotBeAppliedStopsItsFollowerUntilItCan(t *testing.T) {
	t.Parallel()
	b := setup(t, 30)
	broken := errors.New("broken")
	var heal atomic.Bool
	var tries atomic.Int64
	cfg := follower.Config{Name: "reader", Page: 10, Apply: func(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) error {
		if err := see("reader")(ctx, tx, first, last); err != nil {
			return err
		}
		if first == 11 && !heal.Load() { // after it has written
			tries.Add(1)
			return broken
		}
		return nil
	}}
	p := b.start(t, cfg)
	require.Eventually(t, func() bool { return tries.Load() >= 3 }, patience, time.Millisecond, "it is tried again")
	require.ErrorIs(t, p.Followers[0].Fault(), broken)
	require.ErrorContains(t, p.Followers[0].Fault(), "positions 11 to 20")
	require.Equal(t, eventstore.Position(10), b.requireSeen(t, "reader"), "what it wrote is undone, and no later page overtakes")
	heal.Store(true)
	b.requireAll(t, "reader")
	require.Eventually(t, func() bool { return p.Followers[0].Fault() == nil }, patience, time.Millisecond)
}

func TestAFaultLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, 30)
	pool := b.pool
	p := followertest.Start(t, pool, b.store, []follower.Config{
		{Name: "broken", Poll: poll, Apply: func(context.Context, pgx.Tx, eventstore.Position, eventstore.Position) error {
			return errors.New("broken")
		}},
		{Name: "fine", Poll: poll, Apply: see("fine")},
	})
	b.requireAll(t, "fine")
	require.Eventually(t, func() bool { return p.Followers[0].Fault() != nil }, patience, time.Millisecond)
	require.NoError(t, p.Followers[1].Fault())
	require.Equal(t, "fine", p.Followers[1].Name())
}

func TestAStatementThatFailsStallsNoLongerThanTheBackoff(t *testing.T) {
	t.Parallel()
	for name, swallow := range map[string]bool{"and is reported": false, "and is not": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 5)
			var tries atomic.Int64
			p := b.start(t, follower.Config{Name: "reader", Apply: before("reader", func(ctx context.Context, tx pgx.Tx, _, _ eventstore.Position) error {
				if tries.Add(1) > 3 {
					return nil
				}
				_, err := tx.Exec(ctx, `SELECT 1/0`) // Postgres now refuses every statement of the transaction
				if swallow {
					return nil
				}
				return err
			})})
			b.requireAll(t, "reader")
			require.EqualValues(t, 4, tries.Load())
			require.Eventually(t, func() bool { return p.Followers[0].Fault() == nil }, patience, time.Millisecond)
		})
	}
}

func TestAPanicIsAFault(t *testing.T) {
	t.Parallel()
	b := setup(t, 5)
	var heal atomic.Bool
	p := b.start(t, follower.Config{Name: "reader", Apply: before("reader", func(context.Context, pgx.Tx, eventstore.Position, eventstore.Position) error {
		if !heal.Load() {
			panic("out of order")
		}
		return nil
	})})
	require.Eventually(t, func() bool { return p.Followers[0].Fault() != nil }, patience, time.Millisecond)
	require.ErrorContains(t, p.Followers[0].Fault(), "out of order")
	heal.Store(true)
	b.requireAll(t, "reader")
}

func TestAPageThatCannotBeCommittedIsAFault(t *testing.T) {
	t.Parallel()
	b := setup(t, 5)
	_, err := b.pool.Exec(t.Context(), `ALTER TABLE seen ADD UNIQUE (follower, position) DEFERRABLE INITIALLY DEFERRED`)
	require.NoError(t, err)
	var tries atomic.Int64
	var heal atomic.Bool
	p := b.start(t, follower.Config{Name: "reader", Apply: before("reader", func(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) error {
		tries.Add(1)
		if heal.Load() {
			return nil
		}
		return see("reader")(ctx, tx, first, last) // and once more: found out at the commit
	})})
	require.Eventually(t, func() bool { return tries.Load() >= 3 }, patience, time.Millisecond)
	require.ErrorContains(t, p.Followers[0].Fault(), "commit positions up to 5")
	require.Zero(t, b.requireSeen(t, "reader"))
	require.Less(t, tries.Load(), int64(20), "it is not tried without a pause")
	heal.Store(true)
	b.requireAll(t, "reader")
}

func TestAPageThatIsUnderWayAtTheCloseIsCommittedWhollyOrNotAtAll(t *testing.T) {
	t.Parallel()
	for range 5 {
		b := setup(t, 30)
		closing := make(chan struct{})
		reached := make(chan struct{})
		p := b.start(t, follower.Config{Name: "reader", Page: 10, Apply: func(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) error {
			if err := see("reader")(ctx, tx, first, last); err != nil || first != 11 {
				return err
			}
			close(reached)
			<-closing
			for range 100 { // by then the subscriber has left
				if _, err := tx.Exec(ctx, `SELECT 1`); err != nil {
					return err
				}
			}
			return nil
		}}, func(r *message.Router) {
			r.AddConsumerHandler("closing", "closing", signal(closing), func(*message.Message) error { return nil })
		})
		<-reached
		p.Stop()
		require.Contains(t, []eventstore.Position{10, 20, 30}, b.requireSeen(t, "reader"))
		b.start(t, follower.Config{Name: "reader", Apply: see("reader")})
		b.requireAll(t, "reader")
	}
}

// signal is a subscriber that is closed when its router closes.
type signal chan struct{}

// Subscribe returns messages that never come.
func (s signal) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	messages := make(chan *message.Message)
	go func() {
		<-s
		close(messages)
	}()
	return messages, nil
}

// Close tells whoever waits.
func (s signal) Close() error {
	close(s)
	return nil
}

func TestAFollowerThatIsClosedInPeaceHasNoFault(t *testing.T) {
	t.Parallel()
	b := setup(t, 5)
	p := b.start(t, follower.Config{Name: "reader", Apply: see("reader")})
	b.requireAll(t, "reader")
	p.Stop()
	require.NoError(t, p.Followers[0].Fault())
}

func TestASlowFollowerDelaysNobody(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	reached, release := make(chan struct{}, 1), make(chan struct{})
	b.start(t, follower.Config{Name: "slow", Apply: before("slow", func(context.Context, pgx.Tx, eventstore.Position, eventstore.Position) error {
		select {
		case reached <- struct{}{}:
		default:
		}
		<-release
		return nil
	})})
	t.Cleanup(func() { close(release) })
	<-reached // in the middle of its page, with its transaction open
	b.start(t, follower.Config{Name: "fast", Page: 3, Apply: see("fast")})
	for range 3 {
		b.append(t, 5)
		b.requireAll(t, "fast")
	}
	require.Zero(t, b.requireSeen(t, "slow"))
}

func TestAFollowerAtLeisureTakesWhatThereIsWhenSomebodyWaits(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	p := followertest.Start(t, b.pool, b.store, []follower.Config{{Name: "reader", Apply: see("reader"), Rest: time.Hour}})
	t.Cleanup(p.Stop)
	b.requireAll(t, "reader")
	for pages := range 3 {
		for range 5 {
			b.append(t, 2)
		}
		b.requireAll(t, "reader")
		var made int
		const query = `SELECT count(DISTINCT page) FROM seen WHERE position > 1`
		require.NoError(t, b.pool.QueryRow(t.Context(), query).Scan(&made))
		require.Equal(t, pages+1, made)
	}
}

func TestAnOpenTransactionElsewhereDelaysNobody(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	for _, query := range []string{`CREATE TABLE elsewhere (n int)`, `INSERT INTO elsewhere SELECT 1`} {
		tx, err := b.pool.Begin(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
		_, err = tx.Exec(t.Context(), query) // it has a transaction id now
		require.NoError(t, err)
		if query[0] == 'C' {
			require.NoError(t, tx.Commit(t.Context()))
		}
	}
	b.start(t, follower.Config{Name: "reader", Page: 3, Apply: see("reader")})
	for range 3 {
		b.append(t, 5)
		b.requireAll(t, "reader")
	}
}

func TestAnotherVersionOfTheTablesStopsTheFollowerUntilTheyAreRebuilt(t *testing.T) {
	t.Parallel()
	b := setup(t, 5)
	old := b.start(t, follower.Config{Name: "reader", Apply: see("reader")})
	b.requireAll(t, "reader")
	old.Stop()
	b.append(t, 5)
	p := b.start(t, follower.Config{Name: "reader", Version: 2, Apply: see("reader")})
	require.Eventually(t, func() bool { return p.Followers[0].Fault() != nil }, patience, time.Millisecond)
	require.ErrorContains(t, p.Followers[0].Fault(), "of version 1, this build's of version 2")
	require.Equal(t, eventstore.Position(5), b.requireSeen(t, "reader"))
	_, err := b.pool.Exec(t.Context(), `UPDATE cursors SET version = 2`)
	require.NoError(t, err)
	b.requireAll(t, "reader")
	require.Eventually(t, func() bool { return p.Followers[0].Fault() == nil }, patience, time.Millisecond)
}

func TestAFollowerStandsByWhileTheTablesAreOfANewerVersion(t *testing.T) {
	t.Parallel()
	b := setup(t, 5)
	old := b.start(t, follower.Config{Name: "reader", Apply: see("reader")})
	b.requireAll(t, "reader")
	require.False(t, old.Followers[0].Overtaken())
	_, err := b.pool.Exec(t.Context(), `UPDATE cursors SET version = 2`)
	require.NoError(t, err)
	require.Eventually(t, old.Followers[0].Overtaken, patience, time.Millisecond)
	b.append(t, 5)
	require.NoError(t, old.Followers[0].Fault())
	require.Equal(t, eventstore.Position(5), b.requireSeen(t, "reader"))

	b.start(t, follower.Config{Name: "reader", Version: 2, Apply: see("reader")})
	b.requireAll(t, "reader")
	require.True(t, old.Followers[0].Overtaken())
	_, err = b.pool.Exec(t.Context(), `UPDATE cursors SET version = 1`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !old.Followers[0].Overtaken() }, patience, time.Millisecond)
	b.append(t, 5)
	b.requireAll(t, "reader")
}

func TestARowThatCannotBeReadIsAFault(t *testing.T) {
	t.Parallel()
	b := setup(t, 5)
	// The look for the next page divides by zero, but not before it has begun to give rows.
	const spoil = `
		ALTER TABLE log_head RENAME TO real_head;
		CREATE FUNCTION spoilt() RETURNS bigint LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN 1/(SELECT 0); END';
		CREATE VIEW log_head AS SELECT spoilt() AS position, now() AS recorded_at, ''::bytea AS hash;`
	const heal = `DROP VIEW log_head; ALTER TABLE real_head RENAME TO log_head`
	_, err := b.pool.Exec(t.Context(), spoil)
	require.NoError(t, err)
	p := b.start(t, follower.Config{Name: "reader", Apply: see("reader")})
	require.Eventually(t, func() bool { return p.Followers[0].Fault() != nil }, patience, time.Millisecond, "an error is no empty page")
	require.ErrorContains(t, p.Followers[0].Fault(), "division by zero")
	_, err = b.pool.Exec(t.Context(), heal)
	require.NoError(t, err)
	b.requireAll(t, "reader")
}

func TestACursorThatIsNotWhereThePageBeginsIsNotMoved(t *testing.T) {
	t.Parallel()
	b := setup(t, 20)
	var tries atomic.Int64
	cfg := follower.Config{Name: "reader", Page: 10, Apply: before("reader", func(ctx context.Context, tx pgx.Tx, first, _ eventstore.Position) error {
		if first == 11 && tries.Add(1) == 1 {
			_, err := tx.Exec(ctx, `UPDATE cursors SET position = 12 WHERE name = 'reader'`) // as a stale owner would find it
			return err
		}
		return nil
	})}
	p := b.start(t, cfg)
	b.requireAll(t, "reader")
	require.Equal(t, int64(2), tries.Load(), "the page is rolled back and applied again")
	require.Eventually(t, func() bool { return p.Followers[0].Fault() == nil }, patience, time.Millisecond)
}

func TestOneProcessFollowsWhileAnotherStandsBy(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	var inside, most atomic.Int64
	cfg := follower.Config{Name: "reader", Page: 2, Apply: before("reader", func(context.Context, pgx.Tx, eventstore.Position, eventstore.Position) error {
		most.Store(max(most.Load(), inside.Add(1)))
		defer inside.Add(-1)
		return nil
	})}
	var processes []followertest.Process
	for range 3 {
		processes = append(processes, b.start(t, cfg))
	}
	for range len(processes) {
		b.append(t, 40)
		b.requireAll(t, "reader")
		processes[0].Stop()
		if processes = processes[1:]; len(processes) == 0 {
			break
		}
	}
	require.Equal(t, int64(1), most.Load(), "never two at once")
}

func TestAwaitSeesWhatAnotherProcessApplied(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	b.start(t, follower.Config{Name: "reader", Apply: see("reader")})
	here := newStore(b.pool)
	for range 3 {
		b.append(t, 4)
		head, err := here.Head(within(t))
		require.NoError(t, err)
		require.NoError(t, here.Await(within(t), "reader", head))
		require.GreaterOrEqual(t, b.requireSeen(t, "reader"), head)
	}
}
