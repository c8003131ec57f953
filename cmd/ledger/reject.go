package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	api "github.com/openprospect/delivery-ledger/handlers/rest/client"
)

// A flaw is what is wrong with a record.
type flaw struct {
	Line     int    `json:"line,omitempty"`   // when it is not the one that the record begins in
	Column   string `json:"column,omitempty"` // by its header
	Field    string `json:"field,omitempty"`  // "": the record
	Error    string `json:"error"`            // what would be right
	Provided any    `json:"provided,omitempty"`
}

// String returns the flaw in words.
func (f flaw) String() string {
	var b strings.Builder
	if f.Line != 0 {
		fmt.Fprintf(&b, "in line %d ", f.Line)
	}
	switch {
	case f.Column != "" && f.Field != "" && f.Column != f.Field:
		fmt.Fprintf(&b, "column %s (%s) ", f.Column, f.Field)
	case f.Column != "":
		fmt.Fprintf(&b, "column %s ", f.Column)
	case f.Field != "":
		b.WriteString(f.Field + " ")
	}
	return b.String() + f.Error
}

// newFlaws returns what the ledger says of an item.
func newFlaws(e api.ItemError) []flaw {
	if e.Details == nil || e.Details.ValidationErrors == nil {
		return []flaw{{Error: e.Message}}
	}
	faults := make([]flaw, len(*e.Details.ValidationErrors))
	for i, v := range *e.Details.ValidationErrors {
		faults[i] = flaw{Field: v.Field, Error: v.Error, Provided: v.Provided}
	}
	return faults
}

// A reject is a record that was rejected. As a line of a file it can be mended where it is kept,
// and ingested again.
type reject struct {
	Line   int             `json:"line"`
	Faults []flaw          `json:"faults"`
	Input  json.RawMessage `json:"input,omitempty"` // the line as it was; as a text if it is no JSON
	CSV    string          `json:"csv,omitempty"`   // instead: the rows as they were, below the header
}

// String returns what is wrong, in one line.
func (r reject) String() string {
	texts := make([]string, len(r.Faults))
	for i, f := range r.Faults {
		texts[i] = f.String()
	}
	return fmt.Sprintf("line %d: %s", r.Line, strings.Join(texts, "; "))
}

// parseReject returns the reject in a line, and false if it contains something else: nothing that
// the ledger takes has these fields.
func parseReject(line []byte) (reject, bool) {
	var r reject
	if !bytes.HasPrefix(line, []byte(`{"line":`)) || json.Unmarshal(line, &r) != nil {
		return reject{}, false
	}
	return r, r.Faults != nil
}

// A rejectFile is where rejects are written, a line each. A nil one takes none.
type rejectFile struct {
	f    *os.File
	size int64
}

// openRejects opens the file at path, and keeps of it as many bytes as an earlier ingest has written.
// It fails with errShortRejects when there are less.
func openRejects(path string, kept int64) (*rejectFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // the companies of a customer
	if err != nil {
		return nil, fmt.Errorf("open file for faults: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() < kept {
		err = errShortRejects
	}
	if err == nil && info.Mode().IsRegular() {
		err = f.Truncate(kept)
	}
	if err == nil && info.Mode().IsRegular() {
		_, err = f.Seek(kept, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open file for faults: %w", err), f.Close())
	}
	return &rejectFile{f: f, size: kept}, nil
}

// errShortRejects is returned when a file has lost what was written to it.
var errShortRejects = errors.New("it is shorter than it was")

// write writes rejects.
func (r *rejectFile) write(rejects []reject) error {
	var b bytes.Buffer
	lines := json.NewEncoder(&b)
	lines.SetEscapeHTML(false) // as it was
	for _, one := range rejects {
		if err := lines.Encode(one); err != nil {
			return fmt.Errorf("write fault: %w", err)
		}
	}
	n, err := r.f.Write(b.Bytes())
	r.size += int64(n)
	if err != nil {
		return fmt.Errorf("write fault: %w", err)
	}
	return nil
}

// Close closes the file.
func (r *rejectFile) Close() error { return r.f.Close() }
