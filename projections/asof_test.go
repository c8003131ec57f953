package projections_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// past is a schema for read models as of a moment. Its name needs quotes.
const past = `the "past"`

// into builds a projection as of a position in the schema past.
func (b *bundle) into(p projections.Projection, until eventstore.Position, progress ...func(done, total eventstore.Position)) error {
	return projections.RebuildInto(context.Background(), b.pool, b.store.Registry(), p, past, until, progress...)
}

// beginning returns the rows that the log up to a position makes, in one page.
func beginning(t require.TestingT, b *bundle, p projections.Projection, until eventstore.Position) (rows string) {
	nothing := errors.New("roll back")
	err := pgx.BeginFunc(context.Background(), b.pool, func(tx pgx.Tx) error {
		for _, table := range p.Tables {
			if _, err := tx.Exec(context.Background(), `TRUNCATE `+table); err != nil {
				return err
			}
		}
		if err := p.ApplyRange(context.Background(), tx, b.store.Registry(), 1, until); err != nil {
			return err
		}
		rows = dumpOf(t, tx, "public", p)
		return nothing
	})
	require.ErrorIs(t, err, nothing)
	return rows
}

// standsFor returns what the schema past tells of a projection.
func standsFor(t require.TestingT, b *bundle, p projections.Projection) (version int, at eventstore.Position) {
	const query = `
		SELECT a.version, a.position
		FROM "the ""past""".as_of a
		LEFT JOIN events e ON e.position = a.position
		WHERE a.name = $1 AND a.recorded_at IS NOT DISTINCT FROM e.recorded_at`
	require.NoError(t, b.pool.QueryRow(context.Background(), query, p.Name).Scan(&version, &at))
	return version, at
}

func TestAReadModelAsOfAPositionIsWhatTheLogUpToThereMakes(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	rapid.Check(t, func(rt *rapid.T) {
		b.reset(rt)
		_, err := b.pool.Exec(rt.Context(), `DROP SCHEMA IF EXISTS "the ""past""" CASCADE`)
		require.NoError(rt, err)
		h := &history{bundle: b, targets: map[domain.DispatchID]domain.DestinationID{}}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			h.step(rt)
		}
		b.follow(rt)
		head, err := b.store.Head(rt.Context())
		require.NoError(rt, err)
		for _, p := range projections.All() {
			live := dump(rt, b, p)
			for range 3 {
				until := eventstore.Position(rapid.Int64Range(0, int64(head)).Draw(rt, "until"))
				require.NoError(rt, b.into(p, until))
				require.Equal(rt, beginning(rt, b, p, until), dumpOf(rt, b.pool, past, p), "%s as of %d", p.Name, until)
				version, at := standsFor(rt, b, p)
				require.Equal(rt, p.Version, version)
				require.Equal(rt, until, at)
			}
			require.Equal(rt, live, dump(rt, b, p), "%s that is read", p.Name)
		}
	})
}

func TestABuildIntoASchemaLeavesAllElseAlone(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	b.qualify(t, b.delivery(t, "search", webhook()), "comp_1")
	b.follow(t)
	const cursors = `SELECT c::text FROM cursors c ORDER BY name`
	before, followed := catalogue(t, b.pool), lines(t, b.pool, cursors)
	reader, err := b.pool.Begin(t.Context()) // of all, for long
	require.NoError(t, err)
	defer reader.Rollback(context.WithoutCancel(t.Context()))
	for _, p := range projections.All() {
		rows := dumpOf(t, reader, "public", p)
		require.NoError(t, b.into(p, 2, func(_, _ eventstore.Position) {
			require.ErrorIs(t, b.into(projections.Stats(), 2), projections.ErrRebuilding)
		}))
		require.Equal(t, rows, dump(t, b, p))
	}
	require.Equal(t, before, catalogue(t, b.pool))
	require.Equal(t, followed, lines(t, b.pool, cursors))
	require.Empty(t, leftovers(t, b.pool))
	const like = `
		SELECT replace(indexdef, '"the ""past""".', '') FROM pg_indexes WHERE schemaname = 'the "past"' AND tablename = 'companies' ORDER BY indexname`
	require.Equal(t, lines(t, b.pool, `
		SELECT replace(indexdef, 'public.', '') FROM pg_indexes WHERE schemaname = 'public' AND tablename = 'companies' ORDER BY indexname`), lines(t, b.pool, like))
}

func TestASchemaThatIsNotForReadModelsAsOfAMomentIsRefusedByName(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		schema, prepare, want string
	}{
		"of the live tables": {"public", ``, "build stats into public: the ledger's own tables are in public: it takes a schema of its own"},
		"of rebuilds":        {"shadow", ``, "build stats into shadow: the ledger's own tables are in shadow: it takes a schema of its own"},
		"with one of its tables": {
			"mine", `CREATE SCHEMA mine; CREATE TABLE mine.stats (precious text)`, "mine.stats was not made by a rebuild into mine: it takes a schema of its own",
		},
		"with another read model's": {
			"mine", `CREATE SCHEMA mine; CREATE VIEW mine.companies AS SELECT 1`, "mine.companies was not made by a rebuild into mine: it takes a schema of its own",
		},
		"with a log": {
			"mine", `CREATE SCHEMA mine; CREATE TABLE mine.events (position bigint)`, "mine.events was not made by a rebuild into mine: it takes a schema of its own",
		},
		"with a record of somebody": {
			"mine", `CREATE SCHEMA mine; CREATE TABLE mine.as_of (name text)`, "mine.as_of was not made by a rebuild into mine: it takes a schema of its own",
		},
		"whose name is cut": {strings.Repeat("x", 64), ``, "a schema's name has 63 bytes at most"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(testdb.New(t))
			b.delivery(t, "search")
			b.follow(t)
			_, err := b.pool.Exec(t.Context(), test.prepare)
			require.NoError(t, err)
			const tables = `SELECT oid::text FROM pg_class WHERE relkind IN ('r', 'v') ORDER BY oid`
			before := lines(t, b.pool, tables)
			err = projections.RebuildInto(t.Context(), b.pool, b.store.Registry(), projections.Stats(), test.schema, 1)
			require.ErrorContains(t, err, test.want)
			require.Equal(t, before, lines(t, b.pool, tables))
		})
	}
}

func TestWhatIsYetToComeCannotBeBuilt(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	b.delivery(t, "search")
	require.EqualError(t, b.into(projections.Stats(), 2), `build stats into the "past": position 2, and the log ends at 1: it is yet to come`)
	require.ErrorIs(t, b.into(projections.Stats(), 2), eventstore.ErrYetToCome)
	require.NoError(t, b.into(projections.Stats(), 1))
}

func TestABuildIntoASchemaGoesOnUnlessItsTablesWouldBeOthers(t *testing.T) {
	t.Parallel()
	const grant = `GRANT SELECT ON "the ""past""".deliveries TO PUBLIC`
	for name, test := range map[string]struct {
		change string
		adapt  func(p *projections.Projection)
		until  eventstore.Position
		goesOn bool
	}{
		"to a later position":                        {grant, nil, 2, true},
		"to the same position":                       {grant, nil, 1, true},
		"to an earlier one":                          {grant, nil, 0, false},
		"of another version":                         {grant, func(p *projections.Projection) { p.Version++ }, 2, false},
		"with a column of mine":                      {`ALTER TABLE "the ""past""".deliveries ADD COLUMN note text`, nil, 2, false},
		"with a column of the ledger's that is gone": {`ALTER TABLE "the ""past""".deliveries DROP COLUMN name CASCADE`, nil, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(testdb.New(t))
			b.delivery(t, "search")
			b.delivery(t, "search")
			p := projections.Deliveries()
			ctx, cancel := context.WithCancel(t.Context())
			err := projections.RebuildInto(ctx, b.pool, b.store.Registry(), p, past, 1, func(_, _ eventstore.Position) { cancel() })
			require.ErrorIs(t, err, context.Canceled)
			_, at := standsFor(t, b, p)
			require.EqualValues(t, 1, at)
			require.Equal(t, beginning(t, b, p, 1), dumpOf(t, b.pool, past, p), "also after an interruption")

			const mark = `UPDATE "the ""past""".deliveries SET name = 'of the first build'`
			const marked = `SELECT (t::text LIKE '%of the first build%')::text FROM "the ""past""".deliveries t`
			_, err = b.pool.Exec(t.Context(), mark)
			require.NoError(t, err)
			_, err = b.pool.Exec(t.Context(), test.change)
			require.NoError(t, err)
			if test.adapt != nil {
				test.adapt(&p)
			}
			require.NoError(t, b.into(p, test.until))
			version, at := standsFor(t, b, p)
			require.Equal(t, p.Version, version)
			require.Equal(t, test.until, at)
			if !test.goesOn {
				require.Equal(t, beginning(t, b, p, test.until), dumpOf(t, b.pool, past, p))
				return
			}
			require.Contains(t, lines(t, b.pool, marked), "true")
			const granted = `SELECT has_table_privilege('pg_read_server_files', '"the ""past""".deliveries', 'SELECT')::text`
			require.Equal(t, []string{"true"}, lines(t, b.pool, granted))
		})
	}
}
