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
	ShowKey   bool `xor:"key" help:"Only print the public key, which whoever is to trust the signatures must have been given, and those before it."`
	RotateKey bool `xor:"key" help:"Make another key, which signs from now on, and print the checkpoint by which the one before hands over to it."`
}

// Help says what a checkpoint is good for, and how its key is changed.
func (v *checkpointVerb) Help() string {
	return `Prints a signed note that says how many events there are and what they are, as the root of a tree of hashes. Keep it where nobody who
can write to the database can: ledger verify --checkpoint then finds whatever of these events was changed, also by who computed every
hash anew. The key that signs is made when it is first needed, and kept under the encryption key.

With --rotate-key another key takes its place, and the note that is printed is signed by both: it names the new key, so that who knows the
one before can tell by ledger verify-proof that it was handed over to. What was signed before can be verified by the key of that time, which
--show-key goes on to print, a key a line, with the time from which it signed. Processes that are running sign with the new key at once,
without a restart. The private key before is gone then, but for backups of the database, where it is sealed with the encryption key; should it
have become known to somebody, tell people the new key on another way than by what the one before signed.

A process with the role follow must run, or have run: it keeps the tree.`
}

// checkpointPatience is how long the tree may be behind.
const checkpointPatience = 30 * time.Second

// Run prints a checkpoint over the whole log, or the keys.
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
		return showKeys(ctx, w, notary)
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointPatience)
	defer cancel()
	sign := func(ctx context.Context) (proof.Checkpoint, error) {
		head, err := store.Head(ctx)
		if err != nil {
			return proof.Checkpoint{}, err
		}
		return notary.Checkpoint(ctx, head)
	}
	if v.RotateKey {
		sign = notary.Rotate
	}
	c, err := sign(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(w.out, c.Note)
	return err
}

// showKeys prints the public keys, the one that signs first: that alone while there was no other.
func showKeys(ctx context.Context, w world, notary *proof.Notary) error {
	keys, err := notary.Keys(ctx)
	if err != nil {
		return err
	}
	for i, key := range keys {
		line := key.Text
		if len(keys) > 1 {
			line += " since " + key.Since.Format(time.RFC3339)
		}
		if i > 0 {
			line += " until " + keys[i-1].Since.Format(time.RFC3339)
		}
		fmt.Fprintln(w.out, line)
	}
	return nil
}
