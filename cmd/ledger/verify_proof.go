package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/openprospect/delivery-ledger/eventstore/proof"
)

// verifyProofVerb is ledger verify-proof.
type verifyProofVerb struct {
	File []string `arg:"" help:"Files with what the ledger gave, or - for what comes in: the answers of /api/v1/audit, and notes of ledger checkpoint."`
	Key  []string `required:"" placeholder:"KEY" help:"Public key of the ledger, as ledger checkpoint --show-key prints it. May be repeated, or be all that is printed, where it was changed."`
}

// Help says what is proven by what.
func (v *verifyProofVerb) Help() string {
	return `Needs no database, no network and no trust in who runs the ledger; only that the key is the ledger's. For each file it says what is proven:

of a checkpoint, that the ledger signed how many events there are and what they are; of the proof of an event, that it is one of those,
recorded then and with this content, from which its hash is computed anew; of a proof of consistency, that the events of the earlier
checkpoint, which must be in another file, are the first of the later one. Two checkpoints of one size must be the same. Of a checkpoint
by which one key handed over to the next it says to which.

Exits with 1 at the first that proves nothing, and says why.`
}

// Run checks the files.
func (v *verifyProofVerb) Run(_ context.Context, w world) error {
	keys, err := proof.ParseKeys(v.Key...)
	if err != nil {
		return fmt.Errorf("read --key: %w", err)
	}
	all := make([]evidence, len(v.File))
	states := map[state]evidence{}
	for i, file := range v.File {
		e, err := readEvidence(w, file, keys)
		if err != nil {
			return err
		}
		at := state{e.checkpoint.Origin, e.checkpoint.Size}
		other, seen := states[at]
		switch {
		case !seen:
			states[at] = e
		case other.checkpoint.Root != e.checkpoint.Root:
			return fmt.Errorf("%s and %s: the ledger signed two different states of %s: it shows different logs to different people",
				other.file, e.file, counted(e.checkpoint.Size, "event"))
		}
		all[i] = e
	}
	for _, e := range all {
		proven, err := e.prove(states)
		if err != nil {
			return fmt.Errorf("%s: %w", e.file, err)
		}
		fmt.Fprintf(w.out, "%s: %s\n", e.file, proven)
	}
	return nil
}

// A state is that of a ledger when it had so many events.
type state struct {
	origin string
	size   int64
}

// prove returns what is proven, with the checkpoints that there are of all states.
func (e evidence) prove(states map[state]evidence) (string, error) {
	c := e.checkpoint
	signed := fmt.Sprintf("the %s that %s signed for (key %s)", counted(c.Size, "event"), c.Origin, strings.Join(c.Keys, ", "))
	switch {
	case e.record != nil:
		if err := e.record.Check(); err != nil {
			return "", err
		}
		rec := e.record.Record
		return fmt.Sprintf("event %d, %s of %s, recorded at %s with exactly this content, is one of %s",
			rec.Position, rec.Type, rec.Stream, rec.RecordedAt.Format(time.RFC3339Nano), signed), nil
	case e.earlier > 0:
		from, ok := states[state{c.Origin, e.earlier}]
		if !ok {
			return "", fmt.Errorf("the earlier checkpoint, over %s, is in none of the files", counted(e.earlier, "event"))
		}
		if err := (proof.TreeProof{From: from.checkpoint, To: c, Path: e.path}).Check(); err != nil {
			return "", err
		}
		return fmt.Sprintf("the %s of %s are the first of %s: none was changed, removed or put in between", counted(e.earlier, "event"), from.file, signed), nil
	}
	if c.Next != "" {
		return fmt.Sprintf("%s have the root %s; it hands over to the key %s", signed, c.Root, c.Next), nil
	}
	return fmt.Sprintf("%s have the root %s", signed, c.Root), nil
}
