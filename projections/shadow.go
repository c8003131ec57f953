package projections

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// shadow is the schema in which tables stand that are being rebuilt.
const shadow = "shadow"

// A shape is what tables of a schema are like, but for their rows.
type shape struct {
	schema     string
	tables     []string
	columns    []string // of each of the tables that are there
	statements []string // that give tables with such columns the rest
	rights     []string // statements that give them their owner, and others their privileges
}

// shapeOf reads the shape of tables from the catalogue. It sets the search path to their schema.
func shapeOf(ctx context.Context, tx pgx.Tx, schema string, tables []string) (shape, error) {
	const (
		named = `
			WITH t AS (
				SELECT c.oid, c.relname, c.reloptions, c.relacl, c.relowner
				FROM pg_class c
				WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND c.relkind = 'r' AND c.relname = ANY ($2)
			) `
		columns = named + `
			SELECT relname || ': ' || (
					SELECT string_agg(format('%I %s %s %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
						pg_get_expr(d.adbin, d.adrelid)), ', ' ORDER BY a.attnum)
					FROM pg_attribute a
					LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
					WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
				)
			FROM t
			ORDER BY relname`
		rest = named + `
			SELECT statement
			FROM (
				SELECT 1 AS turn, format('ALTER TABLE %I SET (%s)', relname, array_to_string(reloptions, ', ')) AS statement
				FROM t
				WHERE reloptions IS NOT NULL
				UNION ALL
				SELECT 2, format('ALTER TABLE %I ADD CONSTRAINT %I %s', relname, k.conname, pg_get_constraintdef(k.oid, true))
				FROM t
				JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype IN ('p', 'u', 'x', 'f')
				UNION ALL
				SELECT 3, pg_get_indexdef(i.indexrelid, 0, true)
				FROM t
				JOIN pg_index i ON i.indrelid = t.oid AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
				UNION ALL
				SELECT 4, format('COMMENT ON TABLE %I IS %L', relname, obj_description(oid, 'pg_class'))
				FROM t
				WHERE obj_description(oid, 'pg_class') IS NOT NULL
			) AS s
			ORDER BY turn, statement`
		rights = named + `
			SELECT statement
			FROM (
				SELECT 1 AS turn, format('GRANT %s ON %I TO %s', p.privilege_type, relname,
						CASE p.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(p.grantee)) END)
					|| CASE WHEN p.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS statement
				FROM t
				CROSS JOIN LATERAL aclexplode(relacl) AS p
				WHERE p.grantee <> relowner
				UNION ALL
				SELECT 2, format('ALTER TABLE %I OWNER TO %I', relname, pg_get_userbyid(relowner))
				FROM t
				WHERE pg_get_userbyid(relowner) <> current_user
			) AS s
			ORDER BY turn, statement`
	)
	s := shape{schema: schema, tables: tables}
	if err := lookIn(ctx, tx, schema); err != nil { // names are then told without it
		return s, err
	}
	for query, lines := range map[string]*[]string{columns: &s.columns, rest: &s.statements, rights: &s.rights} {
		var err error
		if *lines, err = texts(ctx, tx, query, schema, tables); err != nil {
			return s, fmt.Errorf("read shape of tables: %w", err)
		}
	}
	return s, nil
}

// equal reports whether tables are alike, all of them.
func (s shape) equal(o shape) bool { return s.alike(o) && s.sameRights(o) }

// sameRights reports whether the same have rights on tables.
func (s shape) sameRights(o shape) bool { return slices.Equal(s.rights, o.rights) }

// alike reports whether tables are alike, whoever has rights on them.
func (s shape) alike(o shape) bool {
	return slices.Equal(s.tables, o.tables) && slices.Equal(s.columns, o.columns) && slices.Equal(s.statements, o.statements)
}

// split returns the shape without the indexes of those names, and the statements that make these.
func (s shape) split(late []string) (early shape, makeLate []string) {
	early, early.statements = s, nil
	for _, statement := range s.statements {
		if slices.ContainsFunc(late, func(name string) bool { return makesIndex(statement, name) }) {
			makeLate = append(makeLate, statement)
		} else {
			early.statements = append(early.statements, statement)
		}
	}
	return early, makeLate
}

// makesIndex reports whether a statement makes the index of that name, which needs no quotes.
func makesIndex(statement, name string) bool {
	return strings.HasPrefix(statement, `CREATE INDEX `+name+` ON `) || strings.HasPrefix(statement, `CREATE UNIQUE INDEX `+name+` ON `)
}

// begun reports whether tables are alike, whoever has rights on them, but for indexes of those names which o may lack.
func (s shape) begun(o shape, late []string) bool {
	early, makeLate := s.split(late)
	there, made := o.split(late)
	return early.alike(there) && !slices.ContainsFunc(made, func(statement string) bool { return !slices.Contains(makeLate, statement) })
}

// makeIn makes empty tables of the shape in a schema, in the place of what is there under their names, and sets
// the search path to it. They are the caller's, and nobody else has rights on them. Tables that are not there give an error.
func (s shape) makeIn(ctx context.Context, tx pgx.Tx, schema string) error {
	var statements []string
	for _, table := range s.tables {
		there, like := pgx.Identifier{schema, table}.Sanitize(), pgx.Identifier{s.schema, table}.Sanitize()
		statements = append(statements, `DROP TABLE IF EXISTS `+there, `CREATE TABLE `+there+` (LIKE `+like+` INCLUDING ALL EXCLUDING INDEXES)`)
	}
	if err := lookIn(ctx, tx, schema); err != nil {
		return err
	}
	return executeAll(ctx, tx, append(statements, s.statements...), "make tables")
}

// executeAll executes statements one after the other, of which purpose says what they are for.
func executeAll(ctx context.Context, tx pgx.Tx, statements []string, purpose string) error {
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", purpose, err)
		}
	}
	return nil
}

// lookIn has the rest of the transaction find tables in one schema only.
func lookIn(ctx context.Context, tx pgx.Tx, schema string) error {
	if _, err := tx.Exec(ctx, `SET LOCAL search_path = `+pgx.Identifier{schema}.Sanitize()); err != nil {
		return fmt.Errorf("set search path: %w", err)
	}
	return nil
}

// texts returns the rows of a query for texts.
func texts(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]string, error) {
	rows, _ := tx.Query(ctx, query, args...) // CollectRows reports the error
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
