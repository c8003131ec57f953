package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	api "github.com/openprospect/delivery-ledger/handlers/rest/client"
)

// evidence is what a file holds that the ledger gave: a checkpoint, whose signature is good, and maybe what
// is proven by it.
type evidence struct {
	file       string
	checkpoint proof.Checkpoint
	record     *proof.RecordProof // of an event
	earlier    int64              // size of an earlier checkpoint; 0: it is no proof about one
	path       tlog.TreeProof     // of that
}

// readEvidence reads a file, or what comes in for "-": a signed note, or an answer of the API.
func readEvidence(w world, file string, keys note.Verifiers) (e evidence, err error) {
	e.file = file
	var text []byte
	if file == "-" {
		text, err = io.ReadAll(w.in)
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return e, fmt.Errorf("read proof: %w", err)
	}
	signed, err := e.decode(text)
	if err == nil {
		e.checkpoint, err = proof.OpenCheckpoint(signed, keys)
	}
	if err != nil {
		return e, fmt.Errorf("%s: %w", file, err)
	}
	if e.record != nil {
		e.record.Checkpoint = e.checkpoint
	}
	return e, nil
}

// decode enters what text proves, and returns the note in it.
func (e *evidence) decode(text []byte) (signed string, err error) {
	if len(text) == 0 || text[0] != '{' {
		return string(text), nil
	}
	var answer struct {
		Checkpoint string             `json:"checkpoint"`
		Event      json.RawMessage    `json:"event"`
		Path       *[]json.RawMessage `json:"consistency_path"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	switch {
	case answer.Event != nil:
		var p api.EventProof
		if err := json.Unmarshal(text, &p); err != nil {
			return "", fmt.Errorf("read proof of an event: %w", err)
		}
		e.record, err = recordProof(p)
	case answer.Path != nil:
		var p api.ConsistencyProof
		if err := json.Unmarshal(text, &p); err != nil {
			return "", fmt.Errorf("read proof of consistency: %w", err)
		}
		if p.From < 1 {
			return "", errors.New("read proof of consistency: it is about no earlier checkpoint")
		}
		e.earlier = p.From
		e.path, err = hashesOf[tlog.TreeProof](p.ConsistencyPath)
	}
	return answer.Checkpoint, err
}

// recordProof returns the proof that the API gave, without its checkpoint.
func recordProof(p api.EventProof) (*proof.RecordProof, error) {
	path, err := hashesOf[tlog.RecordProof](p.AuditPath)
	if err != nil {
		return nil, err
	}
	e := p.Event
	return &proof.RecordProof{
		Record: eventstore.Record{
			Position: eventstore.Position(e.Position), Version: eventstore.Version(e.Version), RecordedAt: e.RecordedAt, ID: e.ID,
			SchemaVersion: int16(e.SchemaVersion), Stream: e.Stream, Type: e.Type, Data: json.RawMessage(e.Data),
			Metadata: json.RawMessage(e.Metadata), Hash: p.Hash,
		},
		Previous: p.PreviousHash, Path: path,
	}, nil
}

// hashesOf returns the hashes of a path.
func hashesOf[P ~[]tlog.Hash](path [][]byte) (P, error) {
	hashes := make(P, len(path))
	for i, h := range path {
		if copy(hashes[i][:], h) != tlog.HashSize || len(h) != tlog.HashSize {
			return nil, fmt.Errorf("a hash of the path has %d bytes", len(h))
		}
	}
	return hashes, nil
}
