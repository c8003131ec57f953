package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/note"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/projections"
)

// verifyVerb is ledger verify.
type verifyVerb struct {
	databaseFlags
	encryptionFlags
	Checkpoint  []string `placeholder:"FILE" help:"Signed state of the log that was kept elsewhere, as ledger checkpoint or the API gave it. The log must still be the same up to there. May be repeated. Needs --key."`
	Key         []string `placeholder:"KEY" help:"Public key that it is signed by, as ledger checkpoint --show-key prints it. May be repeated, or be all that is printed. What was signed and is in the database must be signed by such a key, too."`
	Projections bool     `help:"Also check that the read models are what the log makes them."`
	Names       []string `arg:"" optional:"" name:"name" help:"With --projections: read models to check. Default: all."`
}

// Help says what is checked.
func (v *verifyVerb) Help() string {
	return `Reads the whole log and checks that positions and the versions of each stream have no gap, that times rise, that every record
matches its hash, which covers the hash before it, and that nothing is missing at the end. Then builds the tree of hashes again, and
compares it with the stored one and with all that was signed: who changed records and computed every hash anew is found by that, unless
what was signed was changed too. With --key, who did that must have a private key; with --checkpoint, what was told elsewhere convicts him even then. Names the first bad position, or the events that were signed for, and exits
with 1 if there is one. It only reads, and may be run while the ledger is at work.

With --projections it then builds each read model anew in temporary tables and compares them with those in use, as of one instant. Of a
read model that differs it names the first row that does, with column and both values, and exits with 1. ledger rebuild puts it right. The read model companies holds prospects, which the log holds sealed:
to check it takes the encryption key. While an erasure is at work it may differ for some seconds.`
}

// Validate is called by kong. It refuses a checkpoint that nothing could verify, and names of nothing.
func (v *verifyVerb) Validate() error {
	if len(v.Checkpoint) > 0 && len(v.Key) == 0 {
		return errors.New("--checkpoint needs --key")
	}
	if len(v.Names) > 0 && !v.Projections {
		return errors.New("names of read models go with --projections")
	}
	_, err := projectionsNamed(v.Names)
	return err
}

// Run verifies the log, and then the read models.
func (v *verifyVerb) Run(ctx context.Context, w world) error {
	keys, err := v.keys()
	if err != nil {
		return err
	}
	kept, err := v.checkpoints(w, keys)
	if err != nil {
		return err
	}
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	bar := newBar(w.err, "verify", "events")
	n, err := eventstore.Verify(ctx, pool, func(done, total eventstore.Position) { bar.set(int64(done), int64(total)) })
	bar.finish()
	if err != nil {
		return err
	}
	bar = newBar(w.err, "prove", "events")
	found, err := proof.Verify(ctx, pool, kept, keys, func(done, total eventstore.Position) { bar.set(int64(done), int64(total)) })
	bar.finish()
	if err != nil {
		return err
	}
	fmt.Fprintf(w.out, "The log is sound: %d events, none missing, none changed.\n", n)
	if found.Checkpoints > 0 {
		fmt.Fprintf(w.out, "It agrees with %s, of which the largest is over %s.\n", counted(int64(found.Checkpoints), "checkpoint"), counted(found.Size, "event"))
	}
	if !v.Projections {
		return nil
	}
	return v.compare(ctx, pool, w)
}

// compare compares the read models with the log: all of them, also after one that differs.
func (v *verifyVerb) compare(ctx context.Context, pool *pgxpool.Pool, w world) error {
	list, err := projectionsNamed(v.Names)
	if err != nil {
		return err
	}
	reader, err := v.reader(pool)
	if err != nil {
		return err
	}
	var faults []error
	for _, p := range list {
		bar := newTalkingBar(w.err, p.Name, "events")
		rows, err := projections.Compare(ctx, pool, reader, p, func(done, total eventstore.Position) { bar.set(int64(done), int64(total)) })
		bar.finish()
		if err != nil {
			faults = append(faults, needsKey(err))
			continue
		}
		fmt.Fprintf(w.out, "Read model %s is what the log makes it: %s.\n", p.Name, counted(rows, "row"))
	}
	return errors.Join(faults...)
}

// keys returns what verifies signatures, nil when no key was given.
func (v *verifyVerb) keys() (note.Verifiers, error) {
	if len(v.Key) == 0 {
		return nil, nil
	}
	keys, err := proof.ParseKeys(v.Key...)
	if err != nil {
		return nil, fmt.Errorf("read --key: %w", err)
	}
	return keys, nil
}

// checkpoints returns those that were kept elsewhere.
func (v *verifyVerb) checkpoints(w world, keys note.Verifiers) ([]proof.Checkpoint, error) {
	kept := make([]proof.Checkpoint, len(v.Checkpoint))
	for i, file := range v.Checkpoint {
		e, err := readEvidence(w, file, keys)
		if err != nil {
			return nil, err
		}
		kept[i] = e.checkpoint
	}
	return kept, nil
}
