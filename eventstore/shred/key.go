package shred

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// A Key is what is left of one of an organisation's keys, as it was read. It is immutable and safe for concurrent use;
// nobody may keep it: ask [Keys] each time.
type Key struct {
	number    int64
	tree      tree
	clearedTo int64 // of number 0
}

// Gone returns a key under which nothing can be opened any more.
func Gone(number int64) *Key { return &Key{number: number} }

// Number returns the key's number. Under 0 nothing is sealed.
func (k *Key) Number() int64 { return k.number }

// ClearedTo returns, of number 0, the position up to which all events in the clear count as erased.
func (k *Key) ClearedTo() int64 { return k.clearedTo }

// Holds reports whether what was sealed for a subject can be opened.
func (k *Key) Holds(subject []string) bool {
	_, ok := k.tree.find(leafOf(subject))
	return ok
}

// Seal returns plain sealed for a subject. Place says where it is kept: elsewhere it cannot be opened. It fails when
// the subject's key was destroyed.
func (k *Key) Seal(subject []string, place string, plain []byte) ([]byte, error) {
	aead, held, err := k.cipher(subject)
	if err == nil && !held {
		err = errors.New("the subject was erased under it")
	}
	if err != nil {
		return nil, fmt.Errorf("seal under key %d: %w", k.number, err)
	}
	return aead.Seal(nil, nil, plain, []byte(place)), nil
}

// Open returns what was sealed for a subject in a place. It is false when the subject's key was destroyed.
func (k *Key) Open(subject []string, place string, sealed []byte) (plain []byte, held bool, err error) {
	aead, held, err := k.cipher(subject)
	if err != nil || !held {
		return nil, false, err
	}
	if plain, err = aead.Open(nil, nil, sealed, []byte(place)); err != nil {
		return nil, true, fmt.Errorf("open what was sealed under key %d: %w", k.number, err)
	}
	return plain, true, nil
}

// cipher returns what seals and opens for a subject, and false when its key was destroyed.
func (k *Key) cipher(subject []string) (cipher.AEAD, bool, error) {
	secret, ok := k.tree.secret(leafOf(subject))
	if !ok {
		return nil, false, nil
	}
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, false, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, false, fmt.Errorf("make cipher: %w", err)
	}
	return aead, true, nil
}
