package projections_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

// rebuild builds a projection again.
func (b *bundle) rebuild(t require.TestingT, p projections.Projection, progress ...func(done, total eventstore.Position)) {
	require.NoError(t, projections.Rebuild(context.Background(), b.pool, b.store.Registry(), p, progress...))
}

// lines returns the rows of a query for texts.
func lines(tb testing.TB, pool *pgxpool.Pool, query string) []string {
	tb.Helper()
	rows, _ := pool.Query(tb.Context(), query) // CollectRows reports the error
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(tb, err)
	return texts
}

// catalogue returns all that the catalogue says of tables, but for what tells one table from the next.
func catalogue(tb testing.TB, pool *pgxpool.Pool) []string {
	tb.Helper()
	const query = `
		SELECT format('table %s %s %s %s', c.relname, c.reloptions, c.relacl, obj_description(c.oid, 'pg_class'))
		FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'S', 'v')
		UNION ALL
		SELECT format('column %s.%s %s %s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation,
			a.attnotnull, a.attgenerated, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
		FROM pg_attribute a
		JOIN pg_class c ON c.oid = a.attrelid AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
		LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		WHERE a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT 'index ' || indexname || ' ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
		UNION ALL
		SELECT format('constraint %s %s %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
		FROM pg_constraint
		WHERE connamespace = 'public'::regnamespace
		ORDER BY 1`
	return lines(tb, pool, query)
}

// leftovers returns what there is of rebuilds that did not end.
func leftovers(tb testing.TB, pool *pgxpool.Pool) []string {
	tb.Helper()
	const query = `
		SELECT name FROM rebuilds
		UNION ALL
		SELECT relname FROM pg_class WHERE relnamespace = 'shadow'::regnamespace`
	return lines(tb, pool, query)
}

func TestRebuiltTablesAreLikeTheOldOnes(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	b.qualify(t, b.delivery(t, "search", webhook()), "comp_1")
	_, err := b.pool.Exec(t.Context(), `
		COMMENT ON TABLE deliveries IS 'It''s ours';
		GRANT SELECT, UPDATE ON companies TO PUBLIC;
		CREATE INDEX "of a report" ON companies (lower(company_id) DESC) WHERE score > 10;
		ALTER TABLE companies ADD CONSTRAINT companies_score CHECK (score <= 100)`)
	require.NoError(t, err)
	const oids = `SELECT 'public.dispatches'::regclass::oid::text`
	before, table := catalogue(t, b.pool), lines(t, b.pool, oids)
	for range 2 { // the second rebuilds what the first made
		b.follow(t)
		require.Equal(t, before, catalogue(t, b.pool))
		require.Empty(t, leftovers(t, b.pool))
		next := lines(t, b.pool, oids)
		require.NotEqual(t, table, next)
		table = next
	}
}

func TestReadersAndWritersNoticeNothingOfARebuild(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	b.store = projectionstest.NewStore(t, b.pool)
	projectionstest.Follow(t, b.pool, b.store)
	d := b.delivery(t, "search", webhook())
	head, err := b.store.Head(t.Context())
	require.NoError(t, err)
	require.NoError(t, b.store.Await(within(t), "deliveries", head))
	var handedOver atomic.Int64
	done, stop := context.WithCancel(t.Context())
	defer stop()
	var group errgroup.Group
	group.Go(func() error {
		for n := 0; done.Err() == nil; n++ {
			b.qualify(t, d, fmt.Sprint("comp_", n))
			handedOver.Store(int64(n + 1))
		}
		return nil
	})
	for range 3 {
		group.Go(func() error { return readOn(done, b.views, d.ID) })
	}
	require.Eventually(t, func() bool { return handedOver.Load() >= 20 }, patience, time.Millisecond)
	for range 2 {
		for _, p := range projections.All() {
			b.rebuild(t, p)
		}
	}
	stop()
	require.NoError(t, group.Wait())

	head, err = b.store.Head(t.Context())
	require.NoError(t, err)
	for _, p := range projections.All() {
		require.NoError(t, b.store.Await(within(t), p.Name, head))
	}
	counts, err := b.views.Counts(t.Context(), d.ID)
	require.NoError(t, err)
	require.Equal(t, handedOver.Load(), counts[domain.Pending])
}

// readOn reads a delivery's views until ctx is done. It fails when one of them has a gap, or shows less than it did.
func readOn(ctx context.Context, views *projections.Views, id domain.DeliveryID) error {
	var companies, dispatches, owed, events int64
	for ctx.Err() == nil {
		feed, err := views.Companies(context.WithoutCancel(ctx), projections.Feed{Delivery: id}, projections.FeedPage{Limit: 100, Offset: companies / 2})
		if err != nil {
			return err
		}
		for i, c := range feed.Items {
			if want := companies/2 + int64(i) + 1; c.Number != want {
				return fmt.Errorf("company %d is where %d must be", c.Number, want)
			}
		}
		list, err := views.DispatchesOf(context.WithoutCancel(ctx), projections.DispatchFilter{Delivery: id}, projections.DispatchPage{Limit: 10})
		if err != nil {
			return err
		}
		counts, err := views.Counts(context.WithoutCancel(ctx), id)
		if err != nil {
			return err
		}
		trail, err := views.Events(context.WithoutCancel(ctx), projections.Trail{Delivery: id}, projections.TrailPage{Limit: 10})
		if err != nil {
			return err
		}
		if feed.Total < companies || list.Total < dispatches || counts[domain.Pending] < owed || trail.Total < events {
			return fmt.Errorf("companies %d, dispatches %d, owed %d, events %d after %d, %d, %d, %d",
				feed.Total, list.Total, counts[domain.Pending], trail.Total, companies, dispatches, owed, events)
		}
		companies, dispatches, owed, events = feed.Total, list.Total, counts[domain.Pending], trail.Total
		if _, err := views.Delivery(context.WithoutCancel(ctx), org, id); err != nil {
			return err
		}
	}
	return nil
}

// interrupt begins to rebuild the deliveries' read model, and cancels that when it shows the whole log.
func interrupt(t *testing.T, b *bundle) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := projections.Rebuild(ctx, b.pool, b.store.Registry(), projections.Deliveries(), func(done, total eventstore.Position) {
		if done == total {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	_, err = b.pool.Exec(t.Context(), `UPDATE shadow.deliveries SET name = 'of the first rebuild'`)
	require.NoError(t, err)
}

func TestAnInterruptedRebuildGoesOnUnlessItsTablesWouldBeOthers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(t *testing.T, b *bundle, p *projections.Projection)
		goesOn bool
	}{
		"nothing": {func(*testing.T, *bundle, *projections.Projection) {}, true},
		"another version": {func(_ *testing.T, _ *bundle, p *projections.Projection) {
			p.Version++
		}, false},
		"another column": {func(t *testing.T, b *bundle, _ *projections.Projection) {
			t.Helper()
			_, err := b.pool.Exec(t.Context(), `ALTER TABLE deliveries ADD COLUMN note text`)
			require.NoError(t, err)
		}, false},
		"another index": {func(t *testing.T, b *bundle, _ *projections.Projection) {
			t.Helper()
			_, err := b.pool.Exec(t.Context(), `CREATE INDEX again ON deliveries (name)`)
			require.NoError(t, err)
		}, false},
		"the log was restored": {func(t *testing.T, b *bundle, _ *projections.Projection) {
			t.Helper()
			_, err := b.pool.Exec(t.Context(), `UPDATE rebuilds SET position = 100`)
			require.NoError(t, err)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(testdb.New(t))
			first := b.delivery(t, "search")
			b.follow(t)
			before := dump(t, b, projections.Deliveries())
			interrupt(t, b)
			require.Equal(t, before, dump(t, b, projections.Deliveries()))

			p := projections.Deliveries()
			test.change(t, b, &p)
			second := b.delivery(t, "search")
			b.rebuild(t, p)
			require.Empty(t, leftovers(t, b.pool))
			got, err := b.views.Delivery(t.Context(), org, first.ID)
			require.NoError(t, err)
			require.Equal(t, test.goesOn, got.Name == "of the first rebuild")
			got, err = b.views.Delivery(t.Context(), org, second.ID)
			require.NoError(t, err)
			require.Equal(t, second.Name, got.Name)
		})
	}
}

func TestRebuildsOfOneProjectionExcludeEachOther(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	b.delivery(t, "search")
	again := func(p projections.Projection) error {
		return projections.Rebuild(t.Context(), b.pool, b.store.Registry(), p)
	}
	b.rebuild(t, projections.Companies(), func(_, _ eventstore.Position) {
		require.ErrorIs(t, again(projections.Companies()), projections.ErrRebuilding)
		require.NoError(t, again(projections.History()))
	})
	require.NoError(t, again(projections.Companies()))
}

func TestARebuildWaitsForALongReaderAndKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	b.store = projectionstest.NewStore(t, b.pool)
	projectionstest.Follow(t, b.pool, b.store)
	d := b.delivery(t, "search")
	b.qualify(t, d, "comp_0")

	reader, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer reader.Rollback(context.WithoutCancel(t.Context()))
	_, err = reader.Exec(t.Context(), `SELECT count(*) FROM companies`)
	require.NoError(t, err)
	rebuilt := make(chan error, 1)
	go func() {
		rebuilt <- projections.Rebuild(t.Context(), b.pool, b.store.Registry(), projections.Companies())
	}()
	const waits = `SELECT count(*) > 0 FROM pg_locks WHERE relation = 'public.companies'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted`
	for n := 1; n <= 3; n++ {
		require.Eventually(t, func() bool {
			var waiting bool
			require.NoError(t, b.pool.QueryRow(t.Context(), waits).Scan(&waiting))
			return waiting
		}, patience, time.Millisecond)
		b.qualify(t, d, fmt.Sprint("comp_", n))
		head, err := b.store.Head(t.Context())
		require.NoError(t, err)
		require.NoError(t, b.store.Await(within(t), "companies", head))
		list, err := b.views.Companies(within(t), projections.Feed{Delivery: d.ID}, projections.FeedPage{Limit: 10})
		require.NoError(t, err)
		require.Len(t, list.Items, n+1)
	}
	require.Empty(t, rebuilt)
	require.NoError(t, reader.Rollback(t.Context()))
	require.NoError(t, <-rebuilt)
	require.Empty(t, leftovers(t, b.pool))
	list, err := b.views.Companies(within(t), projections.Feed{Delivery: d.ID}, projections.FeedPage{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list.Items, 4)
}

func TestARebuildOfTablesThatAreAlteredMeanwhileLeavesThem(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	b.qualify(t, b.delivery(t, "search"), "comp_1")
	b.follow(t)
	err := projections.Rebuild(t.Context(), b.pool, b.store.Registry(), projections.Companies(), func(_, _ eventstore.Position) {
		_, err := b.pool.Exec(t.Context(), `ALTER TABLE companies ADD COLUMN note text DEFAULT 'kept'`)
		require.NoError(t, err)
	})
	require.EqualError(t, err, "rebuild companies: the tables were altered meanwhile: run it again")
	require.Equal(t, []string{"kept"}, lines(t, b.pool, `SELECT note FROM companies`))
	b.rebuild(t, projections.Companies())
	require.Equal(t, []string{"kept"}, lines(t, b.pool, `SELECT note FROM companies`))
}

func TestApplyFindsNothingButItsOwnTablesInARebuild(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	b.delivery(t, "search")
	b.follow(t)
	before := dump(t, b, projections.Deliveries())
	careless := projections.Deliveries()
	careless.Tables = careless.Tables[1:]
	require.ErrorContains(t, projections.Rebuild(t.Context(), b.pool, b.store.Registry(), careless), `relation "deliveries" does not exist`)
	require.Equal(t, before, dump(t, b, projections.Deliveries()))
}

func TestOnlyTablesOfAnOlderVersionAreRenewedAndOnlyOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	b.delivery(t, "search")
	const oid = `SELECT 'public.companies'::regclass::oid::text`
	never := lines(t, b.pool, oid)
	p := projections.Companies()
	renew := func(version int) error {
		next := p
		next.Version = version
		return projections.Renew(t.Context(), b.pool, b.store.Registry(), next)
	}
	require.NoError(t, renew(2))
	require.Equal(t, never, lines(t, b.pool, oid), "a new projection is built by its follower")

	b.rebuild(t, p)
	current := lines(t, b.pool, oid)
	require.NoError(t, renew(1))
	require.NoError(t, renew(0))
	require.Equal(t, current, lines(t, b.pool, oid))

	var rebuilds atomic.Int64
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			next := p
			next.Version = 2
			return projections.Renew(t.Context(), b.pool, b.store.Registry(), next, func(_, _ eventstore.Position) { rebuilds.Add(1) })
		})
	}
	require.NoError(t, group.Wait())
	require.EqualValues(t, 1, rebuilds.Load(), "the log is one page long")
	require.Equal(t, []string{"2"}, lines(t, b.pool, `SELECT version::text FROM cursors`))
}

func TestIndexesThatAreMadeLateAreMadeAlsoAfterAnInterruption(t *testing.T) {
	t.Parallel()
	const indexes = `SELECT indexname FROM pg_indexes WHERE schemaname = 'shadow'`
	b := newBundle(testdb.New(t))
	b.qualify(t, b.delivery(t, "search", webhook()), "comp_1")
	b.follow(t)
	before, p := catalogue(t, b.pool), projections.Dispatches()
	for range 2 { // the second is interrupted where it goes on
		ctx, cancel := context.WithCancel(t.Context())
		err := projections.Rebuild(ctx, b.pool, b.store.Registry(), p, func(eventstore.Position, eventstore.Position) { cancel() })
		require.ErrorIs(t, err, context.Canceled)
		there := lines(t, b.pool, indexes)
		require.Contains(t, there, "dispatches_owed")
		for _, index := range p.Late {
			require.NotContains(t, there, index)
		}
		b.qualify(t, b.delivery(t, "search", webhook()), "comp_2")
	}
	b.rebuild(t, p)
	require.Equal(t, before, catalogue(t, b.pool))
	require.Empty(t, leftovers(t, b.pool))
}

func TestIndexesThatAreMadeLateAreThereUnderTheirNames(t *testing.T) {
	t.Parallel()
	there := lines(t, testdb.New(t), `SELECT indexname FROM pg_indexes WHERE schemaname = 'public'`)
	for _, p := range projections.All() {
		require.Subset(t, there, p.Late, p.Name)
	}
}
