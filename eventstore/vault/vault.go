// Package vault keeps what events name but must not hold: tokens, passwords, signing keys.
//
// Secrets are sealed with AES-256-GCM. The ID of a secret is its additional data, so that a
// sealed secret cannot be passed off as another one; the key's ID stands before it, so that
// keys can be changed: a vault seals with its first key and opens with whichever did. See
// [Vault.Rekey]; whoever keeps elsewhere what the vault sealed must seal it anew, too.
package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// keySize is that of AES-256, in bytes.
const keySize = 32

// A Key seals and opens secrets.
type Key struct {
	id   [4]byte // from the key itself: which one sealed a secret
	aead cipher.AEAD
}

// NewKeyText returns a random key as [ParseKey] takes it.
func NewKeyText() string {
	var b [keySize]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

// ParseKey returns the key that text, 32 bytes in base64, stands for.
func ParseKey(text string) (Key, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != keySize {
		return Key{}, fmt.Errorf("an encryption key is %d random bytes in base64, as `openssl rand -base64 %d` prints", keySize, keySize)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return Key{}, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Key{}, fmt.Errorf("make cipher: %w", err)
	}
	sum := sha256.Sum256(append([]byte("ledger key id "), raw...))
	return Key{id: [4]byte(sum[:4]), aead: aead}, nil
}

// ParseKeys returns the keys in text, which has commas or line ends between them. An error names
// the place of the key that is none, not what stands there.
func ParseKeys(text string) ([]Key, error) {
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if len(parts) < 2 {
		key, err := ParseKey(strings.Join(parts, ""))
		return []Key{key}, err
	}
	keys := make([]Key, len(parts))
	for i, part := range parts {
		key, err := ParseKey(part)
		if err != nil {
			return nil, fmt.Errorf("key %d of %d: %w", i+1, len(parts), err)
		}
		keys[i] = key
	}
	return keys, nil
}

// ID names the key without telling it.
func (k Key) ID() string { return hex.EncodeToString(k.id[:]) }

// A Vault keeps secrets in a database. It is safe for concurrent use.
type Vault struct {
	pool *pgxpool.Pool
	key  Key             // that seals
	keys map[[4]byte]Key // that open
}

// New returns a vault in pool's database that seals with key, and opens also what others sealed.
func New(pool *pgxpool.Pool, key Key, others ...Key) *Vault {
	v := &Vault{pool: pool, key: key, keys: map[[4]byte]Key{key.id: key}}
	for _, other := range others {
		v.keys[other.id] = other
	}
	return v
}

// Put keeps secret under id, a fresh one, before any event names it.
func (v *Vault) Put(ctx context.Context, id, secret string) error {
	const query = `INSERT INTO secrets (id, sealed) VALUES ($1, $2)`
	if _, err := v.pool.Exec(ctx, query, id, v.Seal(id, []byte(secret))); err != nil {
		return fmt.Errorf("keep secret %s: %w", id, err)
	}
	return nil
}

// Keep returns the secret kept under id, which is fresh if there was none. Who calls it at the same
// time, in whatever process, gets the same one.
func (v *Vault) Keep(ctx context.Context, id, fresh string) (string, error) {
	const query = `INSERT INTO secrets (id, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING`
	if _, err := v.pool.Exec(ctx, query, id, v.Seal(id, []byte(fresh))); err != nil {
		return "", fmt.Errorf("keep secret %s: %w", id, err)
	}
	return v.Open(ctx, id)
}

// ErrNone is in the chain of errors of calls that look for a secret which is not there.
var ErrNone = errors.New("there is none")

// A querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Open returns the secret kept under id. It fails with [ErrNone] when there is none.
func (v *Vault) Open(ctx context.Context, id string) (string, error) {
	return v.open(ctx, v.pool, id, `SELECT sealed FROM secrets WHERE id = $1`)
}

// Hold returns the secret kept under id, as Open does. Nobody replaces it until tx ends; others may
// hold it, too.
func (v *Vault) Hold(ctx context.Context, tx pgx.Tx, id string) (string, error) {
	return v.open(ctx, tx, id, `SELECT sealed FROM secrets WHERE id = $1 FOR SHARE`)
}

// Reserve returns the secret kept under id, as Open does, once nobody holds it. Nobody holds or replaces
// it until tx ends, but for who does so in tx.
func (v *Vault) Reserve(ctx context.Context, tx pgx.Tx, id string) (string, error) {
	return v.open(ctx, tx, id, `SELECT sealed FROM secrets WHERE id = $1 FOR UPDATE`)
}

// Replace keeps secret under id in tx, in place of the one that is kept there, if there is one.
func (v *Vault) Replace(ctx context.Context, tx pgx.Tx, id, secret string) error {
	const query = `INSERT INTO secrets (id, sealed) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed`
	if _, err := tx.Exec(ctx, query, id, v.Seal(id, []byte(secret))); err != nil {
		return fmt.Errorf("replace secret %s: %w", id, err)
	}
	return nil
}

// KeptSince returns when a secret was first kept under id.
func (v *Vault) KeptSince(ctx context.Context, id string) (since time.Time, err error) {
	const query = `SELECT created_at FROM secrets WHERE id = $1`
	if err := v.pool.QueryRow(ctx, query, id).Scan(&since); err != nil {
		return since, fmt.Errorf("look for secret %s: %w", id, err)
	}
	return since, nil
}

// open returns the secret kept under id, whose row query selects.
func (v *Vault) open(ctx context.Context, q querier, id, query string) (string, error) {
	var sealed []byte
	switch err := q.QueryRow(ctx, query, id).Scan(&sealed); {
	case errors.Is(err, pgx.ErrNoRows):
		return "", fmt.Errorf("open secret %s: %w", id, ErrNone)
	case err != nil:
		return "", fmt.Errorf("open secret %s: %w", id, err)
	}
	secret, err := v.Unseal(id, sealed)
	if err != nil {
		return "", fmt.Errorf("open secret %s: %w", id, err)
	}
	return string(secret), nil
}

// Mark returns what everything that the vault seals begins with: the ID of its first key.
func (v *Vault) Mark() []byte { return v.key.id[:] }

// Seal returns plain sealed for whoever keeps it elsewhere, under the id that it is kept by.
func (v *Vault) Seal(id string, plain []byte) []byte {
	return v.key.aead.Seal(v.key.id[:len(v.key.id):len(v.key.id)], nil, plain, []byte(id))
}

// Unseal returns what was sealed under id. Its error does not say what that is, which the caller knows.
func (v *Vault) Unseal(id string, sealed []byte) ([]byte, error) {
	sealer, ciphertext := [4]byte{}, sealed[min(len(sealed), 4):]
	copy(sealer[:], sealed)
	key, ok := v.keys[sealer]
	if !ok {
		return nil, fmt.Errorf("it was sealed with another key, %s", hex.EncodeToString(sealer[:]))
	}
	return key.aead.Open(nil, nil, ciphertext, []byte(id))
}
