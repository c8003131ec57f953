// Package personal seals what is personal in events when they are recorded, and opens it where it is read.
//
// # Why
//
// Rules decide on events in the clear, and the log holds them sealed; in between, in the goroutine that records, is
// [Keyring.Seal]. Decoding leaves events sealed, since most readers look at nothing personal: whoever does opens them. What is
// forgotten to be opened fails, rather than to come out as what it is not.
package personal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/shred"
)

// A Keyring seals and opens events. It is safe for concurrent use. A nil Keyring opens what is in the clear.
type Keyring struct{ keys *shred.Keys }

// NewKeyring returns a keyring with those keys.
func NewKeyring(keys *shred.Keys) *Keyring { return &Keyring{keys} }

// Seal returns events sealed, as they are to be recorded. It is what [eventstore.Options] want.
func (k *Keyring) Seal(ctx context.Context, events []eventstore.Event) ([]eventstore.Event, error) {
	sealed := slices.Clone(events)
	for i, event := range events {
		e, ok := event.(domain.Personal)
		if !ok || e.SealedBy() != 0 || e.Bare() {
			continue
		}
		if e.Owner() == "" {
			return nil, fmt.Errorf("seal %s: it does not say whose it is", e.EventType())
		}
		key, err := k.keys.Newest(ctx, string(e.Owner()))
		if err != nil {
			return nil, err
		}
		if sealed[i], err = e.Sealed(key); err != nil {
			return nil, err
		}
	}
	return sealed, nil
}

// ErrSealed is in the chain of errors of whoever would open events and was given no key.
var ErrSealed = errors.New("what is personal in it is sealed, and there is no key")

// Open returns the event at a position in the clear, without what was erased.
func (k *Keyring) Open(ctx context.Context, at eventstore.Position, event domain.Event) (domain.Event, error) {
	e, ok := event.(domain.Personal)
	if !ok || e.Bare() || k == nil && e.SealedBy() == 0 || e.Owner() == "" {
		return event, nil
	}
	if k == nil {
		return nil, fmt.Errorf("open event at position %d: %w", at, ErrSealed)
	}
	key, err := k.keys.Key(ctx, string(e.Owner()), e.SealedBy())
	if err != nil {
		return nil, fmt.Errorf("open event at position %d: %w", at, err)
	}
	return open(at, e, key)
}

// OpenEach opens the events at positions, in their places, as Open does.
func (k *Keyring) OpenEach(ctx context.Context, positions []eventstore.Position, events []domain.Event) error {
	var refs []shred.Ref
	asked := map[shred.Ref]bool{}
	for i, event := range events {
		e, ok := event.(domain.Personal)
		switch {
		case !ok || e.Bare() || e.Owner() == "" || k == nil && e.SealedBy() == 0:
			continue
		case k == nil:
			return fmt.Errorf("open event at position %d: %w", positions[i], ErrSealed)
		}
		if ref := refOf(e); !asked[ref] {
			refs, asked[ref] = append(refs, ref), true
		}
	}
	if len(refs) == 0 {
		return nil
	}
	keys, err := k.keys.Each(ctx, refs)
	if err != nil {
		return fmt.Errorf("open %d events: %w", len(events), err)
	}
	for i, event := range events {
		if e, ok := event.(domain.Personal); ok && !e.Bare() && e.Owner() != "" {
			if events[i], err = open(positions[i], e, keys[refOf(e)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// refOf names the key of an event.
func refOf(e domain.Personal) shred.Ref {
	return shred.Ref{Organisation: string(e.Owner()), Number: e.SealedBy()}
}

// open returns an event in the clear. Without a key it was recorded so, and nothing is erased of it.
func open(at eventstore.Position, e domain.Personal, key *shred.Key) (domain.Event, error) {
	if key == nil {
		return e, nil
	}
	if e.SealedBy() == 0 && int64(at) <= key.ClearedTo() {
		key = shred.Gone(0)
	}
	opened, err := e.Opened(key)
	if err != nil {
		return nil, fmt.Errorf("open event at position %d: %w", at, err)
	}
	return opened, nil
}

// A Reader decodes records, and opens events.
type Reader struct {
	*eventstore.Registry
	*Keyring
}
