package export

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// A Type says what the values of a column are.
type Type int

// The types of columns.
const (
	Text    Type = iota // UTF-8
	Integer             // of 64 bits
	Boolean             //
	Time                // in microseconds, UTC
	Date                //
	Real                // of 64 bits
	JSON                // any JSON, as it is stored
)

// A Column is one of an exported table.
type Column struct {
	Name     string
	Type     Type
	Optional bool // it may be null

	sql string // what it is in the database, of the type that Type says; "": the column t.Name
}

// A Table is what can be exported.
type Table struct {
	Name    string
	Columns []Column

	from     string // the table that is read, as t; "": that of the name
	of       string // the organisation of a row
	order    string // of the rows
	follower string // that keeps it; "": it is the log
}

// query returns the statement that reads the rows for which where holds.
func (t Table) query(where string) string {
	columns := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		if columns[i] = c.sql; c.sql == "" {
			columns[i] = `t.` + c.Name
		}
		if c.Type == Integer {
			columns[i] = `(` + columns[i] + `)::bigint`
		}
	}
	return `SELECT ` + strings.Join(columns, `, `) + ` FROM ` + cmp.Or(t.from, t.Name) + ` t WHERE ` + where + ` ORDER BY ` + t.order
}

// A row has the values of a table's columns: text as Postgres writes it, times, dates and reals as it sends them in binary,
// and nil for null. It is valid until the next is read.
type row [][]byte

// each calls do with each row of a query of the table.
func (t Table) each(ctx context.Context, q eventstore.Querier, query string, args []any, do func(row) error) error {
	formats := make(pgx.QueryResultFormats, len(t.Columns))
	for i, c := range t.Columns {
		if c.Type == Time || c.Type == Date || c.Type == Real {
			formats[i] = pgx.BinaryFormatCode
		}
	}
	rows, _ := q.Query(ctx, query, append([]any{formats}, args...)...) // Err reports the error
	defer rows.Close()
	for rows.Next() {
		if err := do(rows.RawValues()); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", t.Name, err)
	}
	return nil
}

// epoch is the time that Postgres counts from, in microseconds since 1970.
const epoch = 946_684_800_000_000

// microseconds returns a time as microseconds since 1970.
func microseconds(value []byte) int64 { return int64(binary.BigEndian.Uint64(value)) + epoch }

// days returns a date as days since 1970.
func days(value []byte) int32 { return int32(binary.BigEndian.Uint32(value)) + epoch/86_400_000_000 }

// realOf returns a real.
func realOf(value []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(value)) }
