package proof

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"github.com/openprospect/delivery-ledger/eventstore/vault"
)

// What the vault keeps.
const (
	keyID  = "checkpoint_key"  // the private key that signs, and on the next line the public one
	keysID = "checkpoint_keys" // all public keys so far; there once the first was changed
)

// A Key is a public key of the ledger's.
type Key struct {
	Text     string    `json:"key"`                // as [ParseKeys] takes it
	Since    time.Time `json:"since"`              // when it began to sign
	Size     int64     `json:"size,omitempty"`     // records that the checkpoint is over by which the key before handed over to it
	HandOver string    `json:"handover,omitempty"` // that checkpoint, a note that both have signed; empty: it is the first key
}

// makeKey has v keep a key, and the name that the ledger signs by, unless it keeps one, and fails if that
// cannot sign.
func makeKey(ctx context.Context, v *vault.Vault) error {
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	private, public, err := note.GenerateKey(rand.Reader, "delivery-ledger/"+hex.EncodeToString(id[:]))
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	kept, err := v.Keep(ctx, keyID, private+"\n"+public)
	if err == nil {
		_, _, err = parseKey(kept)
	}
	return err
}

// parseKey returns what signs, and the public key that verifies it, of what the vault keeps.
func parseKey(kept string) (note.Signer, string, error) {
	private, public, _ := strings.Cut(kept, "\n")
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, "", fmt.Errorf("read signing key: %w", err)
	}
	return signer, public, nil
}

// Key returns the public key by which others verify what is signed now.
func (n *Notary) Key(ctx context.Context) (string, error) {
	kept, err := n.vault.Open(ctx, keyID)
	if err != nil {
		return "", err
	}
	_, public, err := parseKey(kept)
	return public, err
}

// Keys returns all public keys that the ledger ever signed with, the one that signs now first.
func (n *Notary) Keys(ctx context.Context) ([]Key, error) {
	keys, err := n.readKeys(n.vault.Open(ctx, keysID))
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	first, err := n.firstKey(ctx)
	return []Key{first}, err
}

// readKeys returns the keys that the vault keeps; none when the first was never changed.
func (n *Notary) readKeys(kept string, err error) (keys []Key, _ error) {
	if errors.Is(err, vault.ErrNone) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(kept), &keys)
	}
	if err != nil {
		return nil, fmt.Errorf("read public keys: %w", err)
	}
	return keys, nil
}

// firstKey returns the key that signs, which is the first.
func (n *Notary) firstKey(ctx context.Context) (Key, error) {
	public, err := n.Key(ctx)
	if err != nil {
		return Key{}, err
	}
	since, err := n.vault.KeptSince(ctx, keyID)
	return Key{Text: public, Since: since.UTC()}, err
}

// ErrRotated is returned by Rotate when somebody else changed the key at the same time.
var ErrRotated = errors.New("somebody else has changed the key meanwhile")

// Rotate makes a key that signs in place of the one that did, in every process and from its return on, and
// returns the checkpoint by which that hands over: the newest one, which both keys have signed, and in which the
// next one is named. The former private key is replaced in the commit that keeps this checkpoint, and never needed
// again. It fails as [Notary.Checkpoint] does, and then nothing has changed.
func (n *Notary) Rotate(ctx context.Context) (c Checkpoint, err error) {
	head, err := n.store.Head(ctx)
	if err != nil {
		return c, err
	}
	if _, err := n.Checkpoint(ctx, head); err != nil { // so that there is one, and a late one
		return c, err
	}
	keys, err := n.Keys(ctx)
	if err != nil {
		return c, err
	}
	err = pgx.BeginFunc(ctx, n.pool, func(tx pgx.Tx) error {
		kept, err := n.vault.Reserve(ctx, tx, keyID)
		if err != nil {
			return err
		}
		former, public, err := parseKey(kept)
		if err != nil {
			return err
		}
		if public != keys[0].Text {
			return ErrRotated
		}
		c, err = n.handOver(ctx, tx, former, keys)
		return err
	})
	return c, err
}

// handOver makes a key, has the former one hand over to it, and the vault keep it in place of that.
func (n *Notary) handOver(ctx context.Context, tx pgx.Tx, former note.Signer, keys []Key) (c Checkpoint, err error) {
	const query = `UPDATE checkpoints SET note = $2 WHERE size = $1 RETURNING now()`
	if c, err = newest(ctx, tx); err != nil {
		return c, err
	}
	if err := c.hold(ctx, tx); err != nil {
		return c, err
	}
	private, public, err := note.GenerateKey(rand.Reader, former.Name())
	if err != nil {
		return c, fmt.Errorf("make signing key: %w", err)
	}
	next, _, err := parseKey(private)
	if err != nil {
		return c, err
	}
	c.Next = public
	signed, err := note.Sign(&note.Note{Text: c.body()}, former, next)
	if err != nil {
		return c, fmt.Errorf("sign hand-over to %s: %w", public, err)
	}
	c.Note = string(signed)
	var now time.Time
	if err := tx.QueryRow(ctx, query, c.Size, c.Note).Scan(&now); err != nil {
		return c, fmt.Errorf("keep hand-over to %s: %w", public, err)
	}
	keys = slices.Insert(keys, 0, Key{Text: public, Since: now.UTC(), Size: c.Size, HandOver: c.Note})
	list, err := json.Marshal(keys)
	if err != nil {
		return c, fmt.Errorf("list public keys: %w", err)
	}
	if err := n.vault.Replace(ctx, tx, keysID, string(list)); err != nil {
		return c, err
	}
	return c, n.vault.Replace(ctx, tx, keyID, private+"\n"+public)
}
