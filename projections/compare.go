package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// A DifferenceError names the first row of a projection's table that is not what the log makes it.
type DifferenceError struct {
	Projection string
	Position   eventstore.Position // up to which the projection shows the log
	Table      string
	Key        string // of the row: its columns, with their values

	// Missing and Needless say that the live table has no such row, or that it should have none. Otherwise
	// Column is the first one that differs, with both values as text; nil is null.
	Missing, Needless bool
	Column            string
	Live, Rebuilt     *string
}

// Error names the row, and what is wrong there.
func (e *DifferenceError) Error() string {
	text := func(value *string) string {
		if value == nil {
			return "null"
		}
		return fmt.Sprintf("%q", *value)
	}
	what := fmt.Sprintf("its %s is %s, and must be %s", e.Column, text(e.Live), text(e.Rebuilt))
	switch {
	case e.Missing:
		what = "it is missing"
	case e.Needless:
		what = "the log knows of no such row"
	}
	return fmt.Sprintf("read model %s is not what the log makes it at position %d: table %s, row %s: %s", e.Projection, e.Position, e.Table, e.Key, what)
}

// Compare builds the projection's tables from the log, as temporary ones, up to where its follower has come, and compares
// them with those that are read, as of one instant and row for row. It returns how many rows are the same, and fails with a
// [DifferenceError] when one is not. Readers and the follower go on meanwhile; it leaves nothing behind, and needs no right
// but to read and to make temporary tables. Progress, if given, is called after each page.
func Compare(ctx context.Context, pool *pgxpool.Pool, decoder Decoder, p Projection, progress ...func(done, total eventstore.Position)) (rows int64, err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("compare %s: %w", p.Name, err)
	}
	c := comparison{Projection: p, decoder: decoder, pool: pool, conn: conn.Hijack(), progress: progress}
	defer c.conn.Close(context.WithoutCancel(ctx)) // with which the temporary tables end
	for _, step := range []func(context.Context) error{c.prepare, c.build, c.compare} {
		if err := step(ctx); err != nil {
			if _, ok := errors.AsType[*DifferenceError](err); ok {
				return 0, err
			}
			return 0, fmt.Errorf("compare %s: %w", p.Name, err)
		}
	}
	return c.rows, nil
}

// scratch is the schema of a connection's temporary tables.
const scratch = "pg_temp"

// A comparison is one at work.
type comparison struct {
	Projection
	decoder  Decoder
	pool     *pgxpool.Pool // to read the log from
	conn     *pgx.Conn
	progress []func(done, total eventstore.Position)

	live string              // schema of the tables that are read
	at   eventstore.Position // last one applied to the temporary tables
	rows int64               // that were found to be the same
}

// prepare makes the temporary tables.
func (c *comparison) prepare(ctx context.Context) error {
	const buffers = `SELECT current_schema(), set_config('temp_buffers', '64MB', false), set_config('work_mem', '64MB', false)`
	if err := c.conn.QueryRow(ctx, buffers).Scan(&c.live, nil, nil); err != nil {
		return fmt.Errorf("set up session: %w", err)
	}
	return pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) error {
		if err := c.hold(ctx, tx, c.live); err != nil {
			return err
		}
		like, err := shapeOf(ctx, tx, c.live, c.Tables)
		if err != nil {
			return err
		}
		early, _ := like.split(c.Late)
		return early.makeIn(ctx, tx, scratch)
	})
}

// hold keeps others from taking the place of the live tables until the transaction ends.
func (p Projection) hold(ctx context.Context, tx pgx.Tx, live string) error {
	names := make([]string, len(p.Tables))
	for i, table := range p.Tables {
		names[i] = pgx.Identifier{live, table}.Sanitize()
	}
	return executeAll(ctx, tx, []string{`LOCK TABLE ` + strings.Join(names, ", ") + ` IN ACCESS SHARE MODE`}, "hold tables")
}

// build applies the log to the temporary tables, up to where the follower is when less than a page is left.
func (c *comparison) build(ctx context.Context) error {
	for {
		end, err := c.cursor(ctx, c.conn)
		if err != nil {
			return err
		}
		if end-c.at <= rebuildPage {
			return nil
		}
		if err := c.buildTo(ctx, end-(end-c.at)%rebuildPage, end); err != nil {
			return err
		}
	}
}

// buildTo applies what follows in the log up to last, of which end is the end.
func (c *comparison) buildTo(ctx context.Context, last, end eventstore.Position) error {
	pages, stop := c.ahead(ctx, c.pool, c.decoder, c.at, last)
	defer stop()
	for page := range pages {
		if page.err != nil {
			return page.err
		}
		if err := pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) error { return c.apply(ctx, tx, page) }); err != nil {
			return err
		}
		c.tell(end)
	}
	return ctx.Err()
}

// apply applies the next page of the log.
func (c *comparison) apply(ctx context.Context, tx pgx.Tx, page readPage) error {
	if err := c.sendIn(ctx, tx, scratch, page.statements); err != nil {
		return err
	}
	c.at = page.last
	return lookIn(ctx, tx, c.live)
}

// tell tells of the progress.
func (c *comparison) tell(end eventstore.Position) {
	for _, tell := range c.progress {
		tell(c.at, end)
	}
}

// cursor returns how far the live tables are. Those of another version cannot be compared.
func (c *comparison) cursor(ctx context.Context, q eventstore.Querier) (at eventstore.Position, err error) {
	const query = `SELECT position, version FROM cursors WHERE name = $1`
	var version int
	rows, _ := q.Query(ctx, query, c.Name) // ForEachRow reports the error
	tag, err := pgx.ForEachRow(rows, []any{&at, &version}, func() error { return nil })
	switch {
	case err != nil:
		return 0, fmt.Errorf("read cursor: %w", err)
	case tag.RowsAffected() > 0 && version != c.Version:
		return 0, fmt.Errorf("the tables are of version %d, this build's of version %d", version, c.Version)
	}
	return at, nil
}

// compare applies the rest and compares the tables, in one snapshot. The tables are locked before that is taken: others
// that took their place after it would look empty.
func (c *comparison) compare(ctx context.Context) error {
	return pgx.BeginTxFunc(ctx, c.conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if err := c.hold(ctx, tx, c.live); err != nil {
			return err
		}
		end, err := c.cursor(ctx, tx)
		if err != nil {
			return err
		}
		for c.at < end {
			page := c.readPage(ctx, tx, c.decoder, c.at, end)
			if page.err != nil {
				return page.err
			}
			if err := c.apply(ctx, tx, page); err != nil {
				return err
			}
			c.tell(end)
		}
		for _, table := range c.Tables {
			if err := c.compareTable(ctx, tx, table); err != nil {
				return err
			}
		}
		return nil
	})
}

// compareTable compares the checksums of a table and, if they differ, finds the first row that does.
func (c *comparison) compareTable(ctx context.Context, tx pgx.Tx, table string) error {
	live, made := pgx.Identifier{c.live, table}.Sanitize(), pgx.Identifier{scratch, table}.Sanitize()
	sum := func(table string) string {
		return `(SELECT (count(*), sum(hashtextextended((t.*)::text, 0)::numeric))::text FROM ` + table + ` t)`
	}
	var same bool
	var rows int64
	query := `SELECT ` + sum(live) + ` = ` + sum(made) + `, (SELECT count(*) FROM ` + made + `)`
	if err := tx.QueryRow(ctx, query).Scan(&same, &rows); err != nil {
		return fmt.Errorf("sum up %s: %w", table, err)
	}
	if !same {
		return c.difference(ctx, tx, table, live, made)
	}
	c.rows += rows
	return nil
}

// difference returns the first row that differs, in order of the key.
func (c *comparison) difference(ctx context.Context, tx pgx.Tx, table, live, made string) error {
	const columnsOf = `
		SELECT a.attname::text AS name, a.attnum = ANY (i.indkey) AS key
		FROM pg_index i
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE i.indrelid = $1::regclass AND i.indisprimary
		ORDER BY a.attnum`
	rows, _ := tx.Query(ctx, columnsOf, live) // CollectRows reports the error
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByName[column])
	if err != nil {
		return fmt.Errorf("read columns of %s: %w", table, err)
	}
	var same, order, ofLive, ofMade []string
	for _, column := range columns {
		l, m := `l.`+pgx.Identifier{column.Name}.Sanitize(), `m.`+pgx.Identifier{column.Name}.Sanitize()
		ofLive, ofMade = append(ofLive, l+`::text`), append(ofMade, m+`::text`)
		if column.Key {
			same, order = append(same, l+` = `+m), append(order, `coalesce(`+l+`, `+m+`)`)
		}
	}
	query := `
		SELECT CASE WHEN l IS DISTINCT FROM NULL THEN ARRAY[` + strings.Join(ofLive, `, `) + `] END,
			CASE WHEN m IS DISTINCT FROM NULL THEN ARRAY[` + strings.Join(ofMade, `, `) + `] END
		FROM ` + live + ` l
		FULL JOIN ` + made + ` m ON ` + strings.Join(same, ` AND `) + `
		WHERE (l.*)::text IS DISTINCT FROM (m.*)::text
		ORDER BY ` + strings.Join(order, `, `) + `
		LIMIT 1`
	var is, must []*string
	if err := tx.QueryRow(ctx, query).Scan(&is, &must); err != nil {
		return fmt.Errorf("find difference of %s: %w", table, err)
	}
	return c.differenceOf(table, columns, is, must)
}

// A column is one of a table's.
type column struct {
	Name string `db:"name"`
	Key  bool   `db:"key"` // a part of the primary key
}

// differenceOf returns how a row differs from what it must be. None has no values.
func (c *comparison) differenceOf(table string, columns []column, is, must []*string) *DifferenceError {
	e := &DifferenceError{Projection: c.Name, Position: c.at, Table: table, Missing: is == nil, Needless: must == nil}
	row := is
	if e.Missing {
		row = must
	}
	var key []string
	for i, column := range columns {
		if column.Key {
			key = append(key, column.Name+"="+*row[i])
		}
		if e.Column == "" && !e.Missing && !e.Needless && !equalText(is[i], must[i]) {
			e.Column, e.Live, e.Rebuilt = column.Name, is[i], must[i]
		}
	}
	e.Key = strings.Join(key, " ")
	return e
}

// equalText reports whether two texts are the same, or both null.
func equalText(a, b *string) bool {
	return a == b || a != nil && b != nil && *a == *b
}
