package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A bookmark says how far an ingest has come with its file, beside which it lies. It is put forward
// after each answer of the ledger, in one step, and removed when the file is through.
//
// # Why
//
// A repeat is harmless, so a bookmark only saves sending again. It need not be safe: one that is lost,
// or belongs to something else, has all of the file sent.
type bookmark struct {
	Of      []string `json:"of"`      // what the ingest was told to do
	Line    int      `json:"line"`    // the last that was answered
	Bytes   int64    `json:"bytes"`   // of the content, up to there
	SHA256  string   `json:"sha256"`  // of these
	Sums    sums     `json:"sums"`    // what became of them
	Rejects int64    `json:"rejects"` // bytes in the file of faults
}

// bookmarkOf returns where the bookmark of the file at path is, "" when it has none.
func bookmarkOf(path string) string {
	if path == "-" {
		return ""
	}
	return path + ".ingest"
}

// readBookmark returns the bookmark at path, an empty one when there is none that can be read.
func readBookmark(path string) (bookmark, error) {
	var m bookmark
	if path == "" {
		return m, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("read bookmark: %w", err)
	}
	if json.Unmarshal(b, &m) != nil {
		m = bookmark{}
	}
	return m, nil
}

// write puts the bookmark at path, all of it or nothing.
func (m bookmark) write(path string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write bookmark: %w", err)
	}
	next := path + ".new"
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return fmt.Errorf("write bookmark: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write bookmark: %w", err)
	}
	return nil
}

// reach reads in to where the bookmark lies. It reports false when that is no place of the input any
// more, or what is before it has changed.
func (m bookmark) reach(in *input, records recordReader) bool {
	for in.taken < m.Bytes {
		if _, err := records.next(); err != nil {
			return false
		}
	}
	return in.taken == m.Bytes && in.taking() == m.SHA256
}
