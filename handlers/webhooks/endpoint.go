package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
)

// A Vault opens the secrets that destinations name.
type Vault interface {
	Open(ctx context.Context, id string) (string, error)
}

// An endpoint is a destination, ready to be called.
type endpoint struct {
	domain.Destination
	version   int64        // of the delivery's stream that set it
	authToken string       // empty: none
	signing   []signingKey // the newest first; none: unsigned
}

// clip returns at most max bytes of what the destination said, as text that can be recorded:
// should it repeat the token that it was sent, that is blotted out.
func (ep endpoint) clip(said string, max int) string {
	if ep.authToken != "" {
		said = strings.ReplaceAll(said, ep.authToken, strings.Repeat("*", len(ep.authToken)))
	}
	return strings.ToValidUTF8(said[:min(len(said), max)], "\uFFFD")
}

// errGone is returned for a destination that is no more.
var errGone = errors.New("the destination was removed")

// endpoints keeps the endpoints in use, with their secrets opened. It is safe for concurrent
// use.
type endpoints struct {
	pool  *pgxpool.Pool
	vault Vault
	now   func() time.Time

	mu    sync.Mutex
	known map[domain.DestinationID]endpoint
}

// maxEndpoints bounds what is kept.
const maxEndpoints = 10_000

// load returns the endpoint of a destination, of the given version or a later one.
func (e *endpoints) load(ctx context.Context, id domain.DestinationID, version int64) (endpoint, error) {
	e.mu.Lock()
	ep, ok := e.known[id]
	e.mu.Unlock()
	if ok && ep.version >= version {
		return ep, nil
	}
	ep, err := e.read(ctx, id)
	if err != nil {
		return ep, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.known) >= maxEndpoints {
		clear(e.known) // what is in use comes back at its next load
	}
	e.known[id] = ep
	return ep, nil
}

// read returns the endpoint as it stands.
func (e *endpoints) read(ctx context.Context, id domain.DestinationID) (ep endpoint, err error) {
	const query = `SELECT config, version FROM dispatch_targets WHERE destination_id = $1 AND NOT removed`
	var config json.RawMessage
	switch err := e.pool.QueryRow(ctx, query, id).Scan(&config, &ep.version); {
	case errors.Is(err, pgx.ErrNoRows):
		return ep, errGone
	case err != nil:
		return ep, fmt.Errorf("read destination %s: %w", id, err)
	}
	if err := json.Unmarshal(config, &ep.Destination); err != nil {
		return ep, fmt.Errorf("read destination %s: %w", id, err)
	}
	version := ep.version
	ep, err = open(ctx, e.vault, ep.Destination, e.now())
	ep.version = version
	return ep, err
}

// open returns the endpoint of a destination, with the secrets that it needs from now on.
func open(ctx context.Context, vault Vault, d domain.Destination, now time.Time) (ep endpoint, err error) {
	ep.Destination = d
	if d.AuthSecret != "" {
		if ep.authToken, err = vault.Open(ctx, string(d.AuthSecret)); err != nil {
			return ep, err
		}
	}
	ep.signing, err = openSigning(ctx, vault, d, now)
	return ep, err
}

// openSigning returns the keys that sign what d is sent, now or until they end.
func openSigning(ctx context.Context, vault Vault, d domain.Destination, now time.Time) ([]signingKey, error) {
	var keys []signingKey
	add := func(id domain.SecretID, ends time.Time) error {
		secret, err := vault.Open(ctx, string(id))
		if err != nil {
			return err
		}
		key, err := newSigningKey(secret, ends)
		if err != nil {
			return fmt.Errorf("open secret %s: %w", id, err)
		}
		keys = append(keys, key)
		return nil
	}
	if d.SigningSecret != "" {
		if err := add(d.SigningSecret, time.Time{}); err != nil {
			return nil, err
		}
	}
	if d.FormerEnds != nil && now.Before(*d.FormerEnds) {
		return keys, add(d.FormerSecret, *d.FormerEnds)
	}
	return keys, nil
}
