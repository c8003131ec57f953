package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/shred"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/projections/personal"
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

// reader returns what reads events of pool's database: in the clear if a key is given.
func (f encryptionFlags) reader(pool *pgxpool.Pool) (personal.Reader, error) {
	reader := personal.Reader{Registry: eventstore.NewRegistry(domain.Events()...)}
	if f.EncryptionKey == "" && f.EncryptionKeyFile == "" {
		return reader, nil
	}
	keys, err := f.keys()
	if err != nil {
		return reader, err
	}
	reader.Keyring = personal.NewKeyring(shred.New(pool, vault.New(pool, keys[0], keys[1:]...), shred.Options{}))
	return reader, nil
}

// needsKey adds to an error that a key is needed, where it is.
func needsKey(err error) error {
	if errors.Is(err, personal.ErrSealed) {
		return fmt.Errorf("%w: give it by --encryption-key or --encryption-key-file", err)
	}
	return err
}

// storageFlags say which database to use, and under which keys its secrets are kept.
type storageFlags struct {
	databaseFlags
	encryptionFlags
}

// open returns a pool on the database, once that answers and its schema is current, and the
// keys, the one that seals first.
func (f storageFlags) open(ctx context.Context) (*pgxpool.Pool, []vault.Key, error) {
	keys, err := f.keys()
	if err != nil {
		return nil, nil, err
	}
	pool, err := f.databaseFlags.open(ctx)
	return pool, keys, err
}
