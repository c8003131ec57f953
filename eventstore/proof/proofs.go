package proof

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// A RecordProof proves that a record is one of those that a checkpoint was signed for.
type RecordProof struct {
	Record     eventstore.Record
	Previous   []byte // hash of the record before it, 32 zero bytes before the first
	Path       tlog.RecordProof
	Checkpoint Checkpoint
}

// Check fails unless the proof holds. That the checkpoint was signed is for [OpenCheckpoint] to check.
func (p RecordProof) Check() error {
	hash := eventstore.Hash(p.Previous, &p.Record)
	if !bytes.Equal(hash, p.Record.Hash) {
		return errors.New("the event's content does not give its hash: one of them was changed")
	}
	if err := tlog.CheckRecord(p.Path, p.Checkpoint.Size, p.Checkpoint.Root, int64(p.Record.Position)-1, tlog.RecordHash(hash)); err != nil {
		return fmt.Errorf("event %d is not one of the %d that were signed for: %w", p.Record.Position, p.Checkpoint.Size, err)
	}
	return nil
}

// A TreeProof proves that the records of one checkpoint are the first of those of another.
type TreeProof struct {
	From, To Checkpoint
	Path     tlog.TreeProof
}

// Check fails unless the proof holds. That the checkpoints were signed is for [OpenCheckpoint] to check.
func (p TreeProof) Check() error {
	if p.From.Size == 0 && len(p.Path) == 0 { // nothing is the begin of everything
		return nil
	}
	if err := tlog.CheckTree(p.Path, p.To.Size, p.To.Root, p.From.Size, p.From.Root); err != nil {
		return fmt.Errorf("the %d events that were signed for first are not the first of the %d later ones: %w", p.From.Size, p.To.Size, err)
	}
	return nil
}

// ProveRecord proves rec by the newest checkpoint, or by a fresh one if that does not cover it yet. It
// waits for the tree until ctx is done, and fails with a [MismatchError] rather than give a proof that does not hold.
func (n *Notary) ProveRecord(ctx context.Context, rec eventstore.Record) (RecordProof, error) {
	p := RecordProof{Record: rec, Previous: make([]byte, sha256.Size)}
	var err error
	if p.Checkpoint, err = n.Checkpoint(ctx, rec.Position); err != nil {
		return p, err
	}
	if rec.Position > 1 {
		before, err := eventstore.ReadPage(ctx, n.pool, rec.Position-1, rec.Position-1)
		if err != nil {
			return p, err
		}
		if len(before) == 0 {
			return p, missing(int64(rec.Position) - 2)
		}
		p.Previous = before[0].Hash
	}
	if p.Path, err = tlog.ProveRecord(p.Checkpoint.Size, int64(rec.Position)-1, hashes(ctx, n.pool)); err != nil {
		return p, fmt.Errorf("prove position %d: %w", rec.Position, err)
	}
	if p.Check() != nil {
		return p, &MismatchError{Size: p.Checkpoint.Size}
	}
	return p, nil
}

// ProveTree proves to whoever has a checkpoint over the first size records that they are the first of those
// of to, which is over at least as many. It fails with a [MismatchError] when the log is not that of to.
func (n *Notary) ProveTree(ctx context.Context, size int64, to Checkpoint) (tlog.TreeProof, error) {
	if err := to.hold(ctx, n.pool); err != nil || size == 0 {
		return tlog.TreeProof{}, err
	}
	path, err := tlog.ProveTree(to.Size, size, hashes(ctx, n.pool))
	if err != nil {
		return nil, fmt.Errorf("prove the first %d of %d records: %w", size, to.Size, err)
	}
	return path, nil
}
