package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// An ndjsonReader reads a record a line. Blank lines are none. Lines of a file that --faults wrote
// stand for the lines that are kept in them.
type ndjsonReader struct {
	in         *input
	mapping    mapping // of rows that are kept
	candidates bool
	number     int // of the last line
}

// next returns the next line.
func (r *ndjsonReader) next() (record, error) {
	for {
		r.number++
		line, err := r.read()
		if errors.Is(err, errLongLine) {
			return r.faulty(nil, flaw{Error: err.Error()}), nil
		}
		if err != nil {
			return record{}, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return r.record(line), nil
		}
	}
}

// record returns what a line contains.
func (r *ndjsonReader) record(line []byte) record {
	if mended, ok := parseReject(line); ok {
		return r.again(mended)
	}
	return record{line: r.number, last: r.number, raw: line, body: line}
}

// again returns what is to be sent of a record that was rejected before.
func (r *ndjsonReader) again(mended reject) record {
	if mended.CSV != "" {
		return r.rows(mended.CSV)
	}
	if len(mended.Input) == 0 {
		return r.faulty(nil, flaw{Field: "input", Error: "is not there, so there is nothing to send: the line was too long to be kept"})
	}
	line := []byte(mended.Input)
	var text string
	if json.Unmarshal(line, &text) == nil { // it was no JSON when it was rejected
		line = bytes.TrimSpace([]byte(text))
	}
	if len(line) == 0 || bytes.ContainsAny(line, "\r\n") {
		return r.faulty(line, flaw{Field: "input", Error: "must be one line"})
	}
	return record{line: r.number, last: r.number, raw: line, body: line}
}

// rows returns what is to be sent of rows that were rejected before.
func (r *ndjsonReader) rows(text string) record {
	rec, err := csvRecord(text, r.mapping, r.candidates)
	if err != nil {
		rec = record{faults: []flaw{{Field: "csv", Error: err.Error()}}}
	}
	rec.line, rec.last, rec.csv = r.number, r.number, text
	return rec
}

// faulty returns the record of the current line as one that is not sent.
func (r *ndjsonReader) faulty(line []byte, f flaw) record {
	return record{line: r.number, last: r.number, raw: line, faults: []flaw{f}}
}

// locate returns f: a field of a line needs no other name.
func (r *ndjsonReader) locate(_ record, f flaw) flaw { return f }

// reject keeps the line as it was: as JSON, or as a text if it is none.
func (r *ndjsonReader) reject(rec record) reject {
	if rec.csv != "" {
		return reject{Line: rec.line, CSV: rec.csv}
	}
	kept := reject{Line: rec.line, Input: rec.raw}
	if rec.raw != nil && (!json.Valid(rec.raw) || bytes.HasPrefix(rec.raw, []byte(`"`))) {
		kept.Input, _ = json.Marshal(string(rec.raw)) // a text always marshals
	}
	return kept
}

// errLongLine is returned for a line that is too long. Reading goes on after it.
var errLongLine = errors.New("the line is longer than 1 MiB")

// read returns the next line with its end, or io.EOF.
func (r *ndjsonReader) read() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	r.in.take(line)
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, r.skip()
	case errors.Is(err, io.EOF) && len(line) > 0: // the end comes with the next call
		return line, nil
	}
	return line, err
}

// skip reads to the end of a line that is too long, and returns errLongLine.
func (r *ndjsonReader) skip() error {
	for {
		line, err := r.in.ReadSlice('\n')
		r.in.take(line)
		switch {
		case err == nil || errors.Is(err, io.EOF):
			return errLongLine
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
