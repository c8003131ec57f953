package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/openprospect/delivery-ledger/eventstore/vault"
)

// encryptionFlags say under which keys secrets are kept.
type encryptionFlags struct {
	EncryptionKey     string `placeholder:"KEY" help:"Key under which secrets are kept: 32 random bytes in base64, as openssl rand -base64 32 prints. The same for all processes. There may be several, with commas between: the first seals, all open."`
	EncryptionKeyFile string `placeholder:"FILE" help:"File with the keys, one a line, in place of --encryption-key."`
}

// keys returns the keys, the one that seals first.
func (f encryptionFlags) keys() ([]vault.Key, error) {
	switch {
	case f.EncryptionKey != "" && f.EncryptionKeyFile != "":
		return nil, errors.New("--encryption-key and --encryption-key-file exclude each other")
	case f.EncryptionKeyFile != "":
		text, err := os.ReadFile(f.EncryptionKeyFile)
		if err != nil {
			return nil, fmt.Errorf("read --encryption-key-file: %w", err)
		}
		keys, err := vault.ParseKeys(string(text))
		if err != nil {
			return nil, fmt.Errorf("read --encryption-key-file: %w", err)
		}
		return keys, nil
	case f.EncryptionKey == "":
		return nil, errors.New("missing flags: --encryption-key=KEY or --encryption-key-file=FILE")
	}
	keys, err := vault.ParseKeys(f.EncryptionKey)
	if err != nil {
		return nil, fmt.Errorf("read --encryption-key: %w", err)
	}
	return keys, nil
}

// rekeyVerb is ledger rekey.
type rekeyVerb struct {
	databaseFlags
	encryptionFlags
	Check bool `help:"Only tell how many secrets are sealed with which key."`
}

// Help says how a key is changed.
func (v *rekeyVerb) Help() string {
	return `To change the key: restart every process with the new key behind the one in use, then with the new one first, run ledger rekey with the
same keys, and after a day, when the answers kept for repeated requests are gone too, restart with the new one alone. It may be
stopped and run again, and run while the ledger is at work.`
}

// Run seals with the first key what was sealed with another.
func (v *rekeyVerb) Run(ctx context.Context, w world) error {
	keys, err := v.keys()
	if err != nil {
		return err
	}
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	secrets := vault.New(pool, keys[0], keys[1:]...)
	if v.Check {
		shares, err := secrets.Shares(ctx)
		if err != nil {
			return err
		}
		return printShares(w.out, keys, shares)
	}
	bar := newBar(w.err, "rekey", "secrets", 0)
	n, err := secrets.Rekey(ctx, bar.set)
	bar.finish()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.out, "%d secrets were sealed anew. All are under key %s.\n", n, keys[0].ID())
	return err
}

// printShares prints a line for each key that is given or needed.
func printShares(w io.Writer, keys []vault.Key, shares []vault.Share) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tSECRETS\tGIVEN")
	for i, key := range keys {
		var n int64
		if at := slices.IndexFunc(shares, func(s vault.Share) bool { return s.Key == key.ID() }); at >= 0 {
			n = shares[at].Secrets
			shares = slices.Delete(shares, at, at+1)
		}
		given := "yes"
		if i == 0 {
			given = "yes, seals"
		}
		fmt.Fprintf(table, "%s\t%d\t%s\n", key.ID(), n, given)
	}
	for _, s := range shares {
		fmt.Fprintf(table, "%s\t%d\tno\n", s.Key, s.Secrets)
	}
	return table.Flush()
}
