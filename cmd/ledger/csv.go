package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A csvReader reads companies from rows, each with at most one prospect. Adjacent rows with the same company.id
// are one company. A file whose rows cannot be told apart, or read as text, is not read on.
type csvReader struct {
	in      *input
	tape    *tape
	rows    *csv.Reader
	header  []string
	top     []byte // the header as it stands in the file
	lines   int    // read so far
	columns []column
	unused  []string // columns that are not sent
	ahead   *row     // read, but of the next company
	ended   bool
}

// newCSVReader returns a reader of in, whose header it reads.
func newCSVReader(in *input, m mapping, candidates bool) (*csvReader, error) {
	r := &csvReader{in: in, tape: &tape{r: in}}
	start, _ := in.Peek(4 << 10) // an error comes again
	r.rows = csv.NewReader(r.tape)
	r.rows.Comma, r.rows.FieldsPerRecord = delimiter(start), -1
	first, err := r.row()
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty, and must begin with a header")
	}
	if err != nil {
		return nil, fmt.Errorf("read file to ingest: %w", err)
	}
	for _, name := range first.cells {
		r.header = append(r.header, strings.TrimSpace(name))
	}
	r.top = first.raw
	in.take(first.raw)
	if r.columns, r.unused, err = m.bind(r.header, candidates); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return r, nil
}

// delimiter returns what is between cells: that of a comma, a semicolon and a tab which the first line has most of.
func delimiter(start []byte) rune {
	line, _, _ := bytes.Cut(start, []byte("\n"))
	most := ','
	for _, r := range ";\t" {
		if bytes.Count(line, []byte(string(r))) > bytes.Count(line, []byte(string(most))) {
			most = r
		}
	}
	return most
}

// csvRecord returns the company in a text that has a header.
func csvRecord(text string, m mapping, candidates bool) (record, error) {
	in := &input{Reader: bufio.NewReader(strings.NewReader(text)), sum: sha256.New()}
	r, err := newCSVReader(in, m, candidates)
	if err != nil {
		return record{}, err
	}
	rec, err := r.next()
	if errors.Is(err, io.EOF) || err == nil && !r.ended {
		err = errors.New("must be the rows of one company, below a header")
	}
	return rec, err
}

// A row is a row of a file.
type row struct {
	cells      []string
	raw        []byte
	line, last int // where it begins and ends
}

// row returns the next row, or io.EOF.
func (r *csvReader) row() (row, error) {
	if r.ahead != nil {
		ahead := *r.ahead
		r.ahead = nil
		return ahead, nil
	}
	cells, err := r.rows.Read()
	if r.tape.long {
		return row{}, fmt.Errorf("the row that begins in line %d is longer than 1 MiB: is a quote in it never closed?", r.lines+1)
	}
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		return row{}, fmt.Errorf("line %d, character %d: a quote is out of place, or never closed, in the row that begins in line %d: "+
			`write "" for a quote in a cell, and put the cell in quotes`, wrong.Line, wrong.Column, wrong.StartLine)
	}
	if err != nil {
		return row{}, err
	}
	got := row{cells: cells, raw: r.tape.cut(r.rows.InputOffset())}
	got.line, _ = r.rows.FieldPos(0)
	r.lines += bytes.Count(got.raw, []byte("\n"))
	if got.last = r.lines; !bytes.HasSuffix(got.raw, []byte("\n")) {
		got.last++
	}
	return got, r.checkText(got)
}

// checkText returns an error unless a row is UTF-8.
func (r *csvReader) checkText(got row) error {
	if utf8.Valid(got.raw) && bytes.IndexByte(got.raw, 0) < 0 {
		return nil
	}
	at := max(0, slices.IndexFunc(got.cells, func(cell string) bool { return !utf8.ValidString(cell) || strings.Contains(cell, "\x00") }))
	line, _ := r.rows.FieldPos(at)
	name := strconv.Itoa(at + 1)
	if at < len(r.header) {
		name = r.header[at]
	}
	return fmt.Errorf("line %d, column %s: it is not UTF-8: save the file as UTF-8, or convert it, such as by iconv -f WINDOWS-1252 -t UTF-8",
		line, name)
}

// id returns the ID of a row's company, "" if it has none.
func (r *csvReader) id(got row) string {
	for _, c := range r.columns {
		if c.field == "company.id" && c.at < len(got.cells) {
			return got.cells[c.at]
		}
	}
	return ""
}

// next returns the next company.
func (r *csvReader) next() (record, error) {
	if r.ended {
		return record{}, io.EOF
	}
	first, err := r.row()
	if err != nil {
		return record{}, err
	}
	g := group{columns: r.columns, width: len(r.header), record: record{line: first.line}, fields: map[string]any{}, given: map[int]given{}}
	g.add(first)
	r.in.take(first.raw)
	for {
		more, err := r.row()
		if r.ended = errors.Is(err, io.EOF); r.ended {
			break
		}
		if err != nil {
			return record{}, err
		}
		if id := r.id(more); id == "" || id != r.id(first) {
			r.ahead = &more
			break
		}
		g.add(more)
		r.in.take(more.raw)
	}
	return g.finish()
}

// locate names the column of the field in which the ledger found a flaw, and its line.
func (r *csvReader) locate(rec record, f flaw) flaw {
	field := f.Field
	if rest, ok := strings.CutPrefix(field, "prospects."); ok {
		number, name, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(number); err == nil && n < len(rec.prospects) && rec.prospects[n] != rec.line {
			f.Line = rec.prospects[n]
		}
		field = "prospect." + name
	}
	for _, c := range r.columns {
		if field == c.field || strings.HasPrefix(field, c.field+".") {
			f.Column = c.name
		}
	}
	return f
}

// reject keeps the rows as they were, below the header.
func (r *csvReader) reject(rec record) reject {
	kept := reject{Line: rec.line}
	if rec.raw != nil {
		kept.CSV = string(r.top) + string(rec.raw)
	}
	return kept
}

// A tape is a reader that keeps what is read until that is cut off.
type tape struct {
	r    io.Reader
	kept []byte
	from int64 // where kept begins
	long bool  // when more was read than a row may have
}

// readAhead is how much of a tape is read before it is needed, at most.
const readAhead = 4 << 10

// Read reads.
func (t *tape) Read(b []byte) (int, error) {
	if t.long = len(t.kept) > maxLine+readAhead; t.long {
		return 0, errLongLine
	}
	n, err := t.r.Read(b)
	t.kept = append(t.kept, b[:n]...)
	return n, err
}

// cut returns what is kept up to a place, and keeps it no more.
func (t *tape) cut(end int64) []byte {
	n := end - t.from
	b := bytes.Clone(t.kept[:n])
	t.kept, t.from = append(t.kept[:0], t.kept[n:]...), end
	return b
}
