package export

import (
	"fmt"
	"io"
	"reflect"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

// A row group, which is in memory until it is complete, ends with one of these.
const (
	groupRows  = 100_000
	groupBytes = 16 << 20 // of values, before compression
)

// A parquetWriter writes rows as Parquet.
type parquetWriter struct {
	columns     []Column
	out         *parquet.GenericWriter[any]
	row         parquet.Row
	rows, bytes int // in the row group
}

// newParquetWriter returns a writer of the table's rows.
func newParquetWriter(out io.Writer, t Table) *parquetWriter {
	options := []parquet.WriterOption{
		parquet.NewSchema(t.Name, parquet.SchemaOf(reflect.New(model(t.Columns)).Interface())), parquet.Compression(&parquet.Zstd),
		parquet.CreatedBy("ledger", "", ""),
	}
	for _, c := range t.Columns {
		if c.Type == JSON { // has no order
			options = append(options, parquet.SkipPageBounds(c.Name), parquet.SkipPageStatistics(c.Name))
		}
	}
	return &parquetWriter{columns: t.Columns, out: parquet.NewGenericWriter[any](out, options...)}
}

// model returns a struct whose fields are the columns, in order: a schema that is made of a map would sort them.
func model(columns []Column) reflect.Type {
	types := map[Type]reflect.Type{
		Text: reflect.TypeFor[string](), JSON: reflect.TypeFor[[]byte](), Boolean: reflect.TypeFor[bool](),
		Integer: reflect.TypeFor[int64](), Time: reflect.TypeFor[int64](),
		Date: reflect.TypeFor[int32](), Real: reflect.TypeFor[float64](),
	}
	tags := map[Type]string{JSON: ",json", Time: ",timestamp(microsecond)", Date: ",date"}
	fields := make([]reflect.StructField, len(columns))
	for i, c := range columns {
		tag := c.Name + tags[c.Type]
		if c.Optional {
			tag += ",optional"
		}
		fields[i] = reflect.StructField{Name: "F" + strconv.Itoa(i), Type: types[c.Type], Tag: reflect.StructTag(`parquet:"` + tag + `"`)}
	}
	return reflect.StructOf(fields)
}

// write writes one row.
func (w *parquetWriter) write(r row) error {
	w.row = w.row[:0]
	for i, c := range w.columns {
		value, err := parquetValue(c.Type, r[i])
		if err != nil {
			return fmt.Errorf("write %s: %w", c.Name, err)
		}
		defined := 0
		if c.Optional && r[i] != nil {
			defined = 1
		}
		w.row = append(w.row, value.Level(0, defined, i))
		w.bytes += len(r[i])
	}
	if _, err := w.out.WriteRows([]parquet.Row{w.row}); err != nil {
		return fmt.Errorf("write row: %w", err)
	}
	if w.rows++; w.rows < groupRows && w.bytes < groupBytes {
		return nil
	}
	w.rows, w.bytes = 0, 0
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return nil
}

// parquetValue returns a value as Parquet has it.
func parquetValue(t Type, value []byte) (parquet.Value, error) {
	if value == nil {
		return parquet.NullValue(), nil
	}
	switch t {
	case Integer:
		n, err := strconv.ParseInt(string(value), 10, 64)
		return parquet.Int64Value(n), err
	case Boolean:
		return parquet.BooleanValue(value[0] == 't'), nil
	case Time:
		return parquet.Int64Value(microseconds(value)), nil
	case Date:
		return parquet.Int32Value(days(value)), nil
	case Real:
		return parquet.DoubleValue(realOf(value)), nil
	default:
		return parquet.ByteArrayValue(value), nil
	}
}

// close writes what a reader begins with, which is at the end.
func (w *parquetWriter) close() error {
	if err := w.out.Close(); err != nil {
		return fmt.Errorf("complete file: %w", err)
	}
	return nil
}
