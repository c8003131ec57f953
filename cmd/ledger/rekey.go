package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/openprospect/delivery-ledger/eventstore/shred"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/handlers/rest/idempotency"
)

// rekeyVerb is ledger rekey.
type rekeyVerb struct {
	storageFlags
	Check bool `help:"Only tell how much is sealed with which key."`
}

// Help says what is sealed, and how a key is changed.
func (v *rekeyVerb) Help() string {
	return `Seals anew the destinations' secrets, the key that signs the log, the keys under which events hold personal data, and what is kept for
a day of requests made under an Idempotency-Key: their answers may show a secret.

To change the key: restart every process with the new key behind the one in use, then with the new one first, run ledger rekey with the
same keys, and restart with the new one alone. It may be stopped and run again, and run while the ledger is at work.`
}

// Run seals with the first key what was sealed with another.
func (v *rekeyVerb) Run(ctx context.Context, w world) error {
	pool, keys, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	secrets := vault.New(pool, keys[0], keys[1:]...)
	requests := idempotency.New(pool, secrets)
	subjects := shred.New(pool, secrets, shred.Options{})
	if v.Check {
		return printShares(ctx, w.out, keys, secrets, subjects, requests)
	}
	ofSecrets, err := withBar(ctx, w.err, "secrets", secrets.Rekey)
	if err != nil {
		return err
	}
	ofSubjects, err := withBar(ctx, w.err, "keys", subjects.Rekey)
	if err != nil {
		return err
	}
	ofRequests, err := withBar(ctx, w.err, "requests", requests.Rekey)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.out, "Sealed anew: %s, %s, %s. All are under key %s.\n",
		counted(ofSecrets, "secret"), counted(ofSubjects, "key"), counted(ofRequests, "request"), keys[0].ID())
	return err
}

// counted returns n and the noun for so many.
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// withBar rekeys with a bar on w, and returns how many were sealed anew.
func withBar(ctx context.Context, w io.Writer, unit string, rekey func(context.Context, func(done, total int64)) (int64, error)) (int64, error) {
	bar := newBar(w, "rekey", unit)
	defer bar.finish()
	return rekey(ctx, bar.set)
}

// printShares prints a line for each key that is given or needed.
func printShares(ctx context.Context, w io.Writer, keys []vault.Key, secrets *vault.Vault, subjects *shred.Keys, requests *idempotency.Keys) error {
	ofSecrets, err := secrets.Shares(ctx)
	if err != nil {
		return err
	}
	ofSubjects, err := subjects.Shares(ctx)
	if err != nil {
		return err
	}
	ofRequests, err := requests.Shares(ctx)
	if err != nil {
		return err
	}
	type share struct{ secrets, subjects, requests int64 }
	shares := map[string]share{}
	for _, s := range ofSecrets {
		shares[s.Key] = share{secrets: s.Secrets}
	}
	for _, s := range ofSubjects {
		id := hex.EncodeToString(s.Mark)
		one := shares[id]
		one.subjects = s.Keys
		shares[id] = one
	}
	for _, s := range ofRequests {
		id := hex.EncodeToString(s.Mark)
		one := shares[id]
		one.requests = s.Requests
		shares[id] = one
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tSECRETS\tSUBJECT KEYS\tREQUESTS\tGIVEN")
	for i, key := range keys {
		given := "yes"
		if i == 0 {
			given = "yes, seals"
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\n", key.ID(), shares[key.ID()].secrets, shares[key.ID()].subjects, shares[key.ID()].requests, given)
		delete(shares, key.ID())
	}
	for _, id := range slices.Sorted(maps.Keys(shares)) {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\tno\n", id, shares[id].secrets, shares[id].subjects, shares[id].requests)
	}
	return table.Flush()
}
