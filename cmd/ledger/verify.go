package main

import (
	"context"
	"fmt"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// verifyVerb is ledger verify.
type verifyVerb struct {
	databaseFlags
}

// Help says what is checked.
func (v *verifyVerb) Help() string {
	return `Reads the whole log and checks that positions and the versions of each stream have no gap, that times rise, that every record
matches its hash, which covers the hash before it, and that nothing is missing at the end. Names the first bad position, and exits with 1
if there is one. It only reads, and may be run while the ledger is at work.`
}

// Run verifies the log.
func (v *verifyVerb) Run(ctx context.Context, w world) error {
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	bar := newBar(w.err, "verify", "events", 0)
	n, err := eventstore.Verify(ctx, pool, func(done, total eventstore.Position) { bar.set(int64(done), int64(total)) })
	bar.finish()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.out, "The log is sound: %d events, none missing, none changed.\n", n)
	return err
}
