package export

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Format is how rows are written.
type Format string

// The formats.
const (
	NDJSON  Format = "ndjson"  // an object a line
	CSV     Format = "csv"     // RFC 4180, with the columns' names first, and lines that end in \n; null is nothing, and no text is ""
	Parquet Format = "parquet" // compressed by zstd
)

// A Writer writes rows in a format.
type Writer struct {
	columns []Column
	format  Format
	out     io.Writer
	line    []byte
	parquet *parquetWriter // when that is the format
}

// newWriter returns a writer of a table's rows. It writes what comes before the first one, unless they are the
// continuation of others.
func newWriter(out io.Writer, format Format, t Table, continued bool) (*Writer, error) {
	w := &Writer{columns: t.Columns, format: format, out: out}
	switch {
	case format == Parquet:
		w.parquet = newParquetWriter(out, t)
	case format == CSV && !continued:
		for i, c := range w.columns {
			w.comma(i)
			w.line = append(w.line, c.Name...)
		}
		if err := w.end(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// write writes one row.
func (w *Writer) write(r row) error {
	switch w.format {
	case Parquet:
		return w.parquet.write(r)
	case CSV:
		for i, c := range w.columns {
			w.comma(i)
			w.line = appendCSV(w.line, c.Type, r[i])
		}
	default:
		w.line = append(w.line, '{')
		for i, c := range w.columns {
			w.comma(i)
			w.line = append(strconv.AppendQuote(w.line, c.Name), ':')
			var err error
			if w.line, err = appendJSON(w.line, c.Type, r[i]); err != nil {
				return fmt.Errorf("write %s: %w", c.Name, err)
			}
		}
		w.line = append(w.line, '}')
	}
	return w.end()
}

// comma separates the i-th value of a line from the one before.
func (w *Writer) comma(i int) {
	if i > 0 {
		w.line = append(w.line, ',')
	}
}

// end ends a line and hands it on.
func (w *Writer) end() error {
	_, err := w.out.Write(append(w.line, '\n'))
	if w.line = w.line[:0]; err != nil {
		return fmt.Errorf("write row: %w", err)
	}
	return nil
}

// Close completes what was written. It does not close what it was written to.
func (w *Writer) Close() error {
	if w.parquet == nil {
		return nil
	}
	return w.parquet.close()
}

// appendTime appends a time as RFC 3339 has it.
func appendTime(b, value []byte) []byte {
	return time.UnixMicro(microseconds(value)).UTC().AppendFormat(b, time.RFC3339Nano)
}

// appendDate appends a date as RFC 3339 has it.
func appendDate(b, value []byte) []byte {
	return time.Unix(int64(days(value))*86_400, 0).UTC().AppendFormat(b, time.DateOnly)
}

// appendReal appends a real, without an exponent.
func appendReal(b, value []byte) []byte { return strconv.AppendFloat(b, realOf(value), 'f', -1, 64) }

// appendJSON appends a value as JSON. Stored JSON stays as it is, but for ends of lines between its parts.
func appendJSON(b []byte, t Type, value []byte) ([]byte, error) {
	if value == nil {
		return append(b, "null"...), nil
	}
	switch t {
	case Integer:
		return append(b, value...), nil
	case Boolean:
		return strconv.AppendBool(b, value[0] == 't'), nil
	case Time:
		return append(appendTime(append(b, '"'), value), '"'), nil
	case Date:
		return append(appendDate(append(b, '"'), value), '"'), nil
	case Real:
		return appendReal(b, value), nil
	case JSON:
		start := len(b)
		b = append(b, value...)
		for i, c := range b[start:] {
			if c == '\n' || c == '\r' { // within strings there are none
				b[start+i] = ' '
			}
		}
		return b, nil
	default:
		return jsontext.AppendQuote(b, value)
	}
}

// appendCSV appends a value as CSV.
func appendCSV(b []byte, t Type, value []byte) []byte {
	switch {
	case value == nil:
		return b
	case t == Boolean:
		return strconv.AppendBool(b, value[0] == 't')
	case t == Time:
		return appendTime(b, value)
	case t == Date:
		return appendDate(b, value)
	case t == Real:
		return appendReal(b, value)
	case t == Integer, len(value) > 0 && !bytes.ContainsAny(value, "\",\r\n \t\\"):
		return append(b, value...)
	}
	b = append(b, '"')
	for _, c := range value {
		if c == '"' {
			b = append(b, '"')
		}
		b = append(b, c)
	}
	return append(b, '"')
}
