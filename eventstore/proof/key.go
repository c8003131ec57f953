package proof

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/openprospect/delivery-ledger/eventstore/vault"
)

// keyID is what the vault keeps the signing key under.
const keyID = "checkpoint_key"

// openKey returns what signs the ledger's checkpoints, and the public key that verifies them. The first
// call in a ledger's life makes the key, and the name that the ledger signs by.
func openKey(ctx context.Context, v *vault.Vault) (note.Signer, string, error) {
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	private, public, err := note.GenerateKey(rand.Reader, "delivery-ledger/"+hex.EncodeToString(id[:]))
	if err != nil {
		return nil, "", fmt.Errorf("make signing key: %w", err)
	}
	kept, err := v.Keep(ctx, keyID, private+"\n"+public)
	if err != nil {
		return nil, "", err
	}
	private, public, _ = strings.Cut(kept, "\n")
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, "", fmt.Errorf("read signing key: %w", err)
	}
	return signer, public, nil
}
