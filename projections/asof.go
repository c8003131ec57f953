package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// ErrSchemaTaken is in the chain of errors of RebuildInto when a schema is not one for tables of its own.
var ErrSchemaTaken = errors.New("it takes a schema of its own")

// RebuildInto builds the projection's tables as of a position of the log, in a schema of their own that is made if
// it is not there. Nothing else of the ledger's is touched, nor waits for it.
//
// The schema's table as_of says for each projection which position its tables stand for, also while they are being
// built, and after that was interrupted: rows and position commit together. Where they stand for an earlier position, by
// the same version of the projection, and were not altered, it goes on from there; else it begins afresh.
//
// The tables have the columns, defaults, constraints, indexes, storage parameters and comments of the live ones. They
// belong to the database's user; rights that others were given on them stay while it goes on from there. Views on
// them make a fresh beginning fail. Two at a time into one schema exclude each other, by [ErrRebuilding].
//
// It fails with [ErrSchemaTaken] for the schemas of the live tables and of rebuilds, and for one that has anything
// under the name of a projection's table, the log's or as_of that was not made by this function.
func RebuildInto(ctx context.Context, pool *pgxpool.Pool, decoder Decoder, p Projection, schema string, until eventstore.Position, progress ...func(done, total eventstore.Position)) error {
	b := newAsOf(p, decoder, schema, until, progress)
	if err := b.begin(ctx, pool, "into "+schema); err != nil {
		return fmt.Errorf("build %s into %s: %w", p.Name, schema, err)
	}
	defer b.end(ctx)
	for _, step := range []func(context.Context) error{b.prepare, b.build, b.index, b.vacuum} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("build %s into %s: %w", p.Name, schema, err)
		}
	}
	return nil
}

// An asOf is one at work: a rebuild whose tables stay where they are built.
type asOf struct {
	*rebuild
	record string // the table as_of, with its schema
	until  eventstore.Position
}

// recordOf is the comment by which a table as_of is known.
const recordOf = `Read models of the ledger in this schema: each stands for the log up to a position, by ledger rebuild --until.`

// newAsOf returns one.
func newAsOf(p Projection, decoder Decoder, schema string, until eventstore.Position, progress []func(done, total eventstore.Position)) *asOf {
	b := &asOf{rebuild: newRebuild(p, decoder, progress), record: pgx.Identifier{schema, "as_of"}.Sanitize(), until: until}
	b.schema = schema
	b.note = `UPDATE ` + b.record + ` SET position = $2, recorded_at = (SELECT recorded_at FROM events WHERE position = $2) WHERE name = $1`
	return b
}

// build applies the log up to where it is to end.
func (b *asOf) build(ctx context.Context) error { return b.buildTo(ctx, b.until) }

// prepare finds the tables of an earlier position, or makes them, once the schema is found to be fit.
func (b *asOf) prepare(ctx context.Context) error {
	const longest = 63 // bytes of a name; Postgres cuts longer ones
	switch end, err := head(ctx, b.conn); {
	case err != nil:
		return err
	case b.schema == b.live || b.schema == shadow:
		return fmt.Errorf("the ledger's own tables are in %s: %w", b.schema, ErrSchemaTaken)
	case len(b.schema) > longest:
		return fmt.Errorf("a schema's name has %d bytes at most", longest)
	case b.until > end:
		return fmt.Errorf("position %d, and the log ends at %d: %w", b.until, end, eventstore.ErrYetToCome)
	}
	return pgx.BeginFunc(ctx, b.conn, func(tx pgx.Tx) error {
		if err := b.enter(ctx, tx); err != nil {
			return err
		}
		made, err := b.made(ctx, tx)
		if err != nil {
			return err
		}
		if err := b.hold(ctx, tx, b.live); err != nil {
			return err
		}
		live, err := shapeOf(ctx, tx, b.live, b.Tables)
		if err != nil {
			return err
		}
		left, err := shapeOf(ctx, tx, b.schema, b.Tables)
		if err != nil {
			return err
		}
		if live.begun(left, b.Late) {
			if found, err := b.resume(ctx, tx); err != nil || found {
				return err
			}
		}
		return b.restart(ctx, tx, live, made)
	})
}

// enter makes the schema and its record, where they are not there.
func (b *asOf) enter(ctx context.Context, tx pgx.Tx) error {
	const query = `
		SELECT to_regnamespace(quote_ident($1)) IS NOT NULL AS schema,
			to_regclass($2) IS NOT NULL AS record,
			coalesce(obj_description(to_regclass($2), 'pg_class') = $3, false) AS ours`
	var schema, record, ours bool
	if err := tx.QueryRow(ctx, query, b.schema, b.record, recordOf).Scan(&schema, &record, &ours); err != nil {
		return fmt.Errorf("look for schema: %w", err)
	}
	var statements []string
	switch {
	case record && !ours:
		return b.taken("as_of")
	case !schema:
		statements = append(statements, `CREATE SCHEMA `+pgx.Identifier{b.schema}.Sanitize())
	}
	if !record {
		statements = append(statements, `
			CREATE TABLE `+b.record+` (
				name        text        PRIMARY KEY,
				version     int         NOT NULL,
				position    bigint      NOT NULL,
				recorded_at timestamptz,
				tables      text[]      NOT NULL
			)`, `COMMENT ON TABLE `+b.record+` IS '`+recordOf+`'`)
	}
	return executeAll(ctx, tx, statements, "make schema")
}

// made returns the tables that this function made in the schema, after all that has a name of the ledger's is among them.
func (b *asOf) made(ctx context.Context, tx pgx.Tx) (ours []string, err error) {
	const found = `
		SELECT c.relname::text
		FROM pg_class c
		WHERE c.relnamespace = to_regnamespace(quote_ident($1)) AND c.relname = ANY ($2)
		ORDER BY c.relname`
	made, err := texts(ctx, tx, `SELECT unnest(tables) FROM `+b.record)
	if err != nil {
		return nil, fmt.Errorf("read what was built: %w", err)
	}
	names := append([]string{"events"}, b.Tables...)
	for _, p := range All() {
		names = append(names, p.Tables...)
	}
	there, err := texts(ctx, tx, found, b.schema, names)
	if err != nil {
		return nil, fmt.Errorf("look for tables: %w", err)
	}
	for _, table := range there {
		if !slices.Contains(made, table) {
			return nil, b.taken(table)
		}
	}
	return texts(ctx, tx, `SELECT unnest(tables) FROM `+b.record+` WHERE name = $1`, b.Name)
}

// taken returns the refusal of a schema in which somebody made a table of the ledger's.
func (b *asOf) taken(table string) error {
	return fmt.Errorf("%s.%s was not made by a rebuild into %[1]s: %[3]w", b.schema, table, ErrSchemaTaken)
}

// resume reports whether there is something to go on from, and sets where it ended.
func (b *asOf) resume(ctx context.Context, tx pgx.Tx) (bool, error) {
	query := `SELECT position FROM ` + b.record + ` WHERE name = $1 AND version = $2 AND position <= $3`
	rows, _ := tx.Query(ctx, query, b.Name, b.Version, b.until) // CollectExactlyOneRow reports the error
	at, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[eventstore.Position])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read what was built: %w", err)
	}
	b.at = at
	return true, nil
}

// restart makes empty tables in the place of those that were made before.
func (b *asOf) restart(ctx context.Context, tx pgx.Tx, live shape, made []string) error {
	begin := `
		INSERT INTO ` + b.record + ` (name, version, position, tables) VALUES ($1, $2, 0, $3)
		ON CONFLICT (name) DO UPDATE
		SET version = excluded.version, position = 0, recorded_at = NULL, tables = excluded.tables`
	if _, err := tx.Exec(ctx, begin, b.Name, b.Version, b.Tables); err != nil {
		return fmt.Errorf("note position: %w", err)
	}
	drops := make([]string, len(made))
	for i, table := range made {
		drops[i] = `DROP TABLE IF EXISTS ` + pgx.Identifier{b.schema, table}.Sanitize()
	}
	if err := executeAll(ctx, tx, drops, "make tables"); err != nil {
		return err
	}
	early, _ := live.split(b.Late)
	return early.makeIn(ctx, tx, b.schema)
}
