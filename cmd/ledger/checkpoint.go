package main

import (
	"context"
	"fmt"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
)

// checkpointVerb is ledger checkpoint.
type checkpointVerb struct {
	storageFlags
	ShowKey bool `help:"Only print the public key, which whoever is to trust the signatures must have been given."`
}

// Help says what a checkpoint is good for.
func (v *checkpointVerb) Help() string {
	return `Prints a signed note that says how many events there are and what they are, as the root of a tree of hashes. Keep it where nobody who
can write to the database can: ledger verify --checkpoint then finds whatever of these events was changed, also by who computed every
hash anew. The key that signs is made when it is first needed, and kept under the encryption key.

A process with the role follow must run, or have run: it keeps the tree.`
}

// checkpointPatience is how long the tree may be behind.
const checkpointPatience = 30 * time.Second

// Run prints a checkpoint over the whole log.
func (v *checkpointVerb) Run(ctx context.Context, w world) error {
	pool, keys, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	store := eventstore.New(pool, eventstore.NewRegistry(domain.Events()...), eventstore.Options{})
	notary, err := proof.NewNotary(ctx, pool, store, vault.New(pool, keys[0], keys[1:]...))
	if err != nil {
		return err
	}
	if v.ShowKey {
		_, err = fmt.Fprintln(w.out, notary.Key())
		return err
	}
	head, err := store.Head(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointPatience)
	defer cancel()
	c, err := notary.Checkpoint(ctx, head)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(w.out, c.Note)
	return err
}
