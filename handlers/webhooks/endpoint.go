package webhooks

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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
	version int64        // of the delivery's stream that set it
	secret  string       // of its authentication; empty: none
	tokens  *tokens      // of oauth2; else nil
	signing []signingKey // the newest first; none: unsigned
	unsaid  []string     // what is blotted out of all that it says
}

// hide returns the endpoint with texts that are not recorded should it repeat them, in the forms
// in which they are likely to be.
func (ep endpoint) hide(texts ...string) endpoint {
	ep.unsaid = slices.Clone(ep.unsaid)
	for _, text := range texts {
		quoted, _ := json.Marshal(text) // a text always marshals
		for _, form := range []string{text, url.QueryEscape(text), strings.Trim(string(quoted), `"`)} {
			if form != "" && !slices.Contains(ep.unsaid, form) {
				ep.unsaid = append(ep.unsaid, form)
			}
		}
	}
	slices.SortFunc(ep.unsaid, func(a, b string) int { return len(b) - len(a) }) // one may be part of another
	return ep
}

// clip returns at most max bytes of what the destination said, as text that can be recorded:
// should it repeat a secret that it was sent, that is blotted out.
func (ep endpoint) clip(said string, max int) string {
	for _, secret := range ep.unsaid {
		said = strings.ReplaceAll(said, secret, strings.Repeat("*", len(secret)))
	}
	return strings.ToValidUTF8(said[:min(len(said), max)], "\uFFFD")
}

// longestSecret is the length of what clip must see whole.
func (ep endpoint) longestSecret() int64 {
	if len(ep.unsaid) == 0 {
		return 0
	}
	return int64(len(ep.unsaid[0]))
}

// authorize enters in a request who is calling: with token, where the type of authentication is
// oauth2.
func (ep endpoint) authorize(req *http.Request, token string) {
	switch ep.AuthType {
	case domain.AuthBearer:
		req.Header.Set("Authorization", "Bearer "+ep.secret)
	case domain.AuthBasic:
		req.SetBasicAuth(ep.Username, ep.secret)
	case domain.AuthHeader:
		req.Header.Set(ep.HeaderName, ep.secret)
	case domain.AuthOAuth2:
		req.Header.Set("Authorization", "Bearer "+token)
	default: // nobody is told
	}
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
	if other, ok := e.known[id]; ok && other.version >= ep.version {
		return other, nil // who loaded it meanwhile may have its access token by now
	}
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
	ep, err = open(ctx, e.vault, ep.Destination, e.now)
	ep.version = version
	return ep, err
}

// open returns the endpoint of a destination, with the secrets that it needs from now on.
func open(ctx context.Context, vault Vault, d domain.Destination, now func() time.Time) (ep endpoint, err error) {
	ep.Destination = d
	if d.AuthSecret != "" {
		if ep.secret, err = vault.Open(ctx, string(d.AuthSecret)); err != nil {
			return ep, err
		}
	}
	switch ep = ep.hide(ep.secret); d.AuthType {
	case domain.AuthBasic:
		ep = ep.hide(base64.StdEncoding.EncodeToString([]byte(d.Username + ":" + ep.secret)))
	case domain.AuthOAuth2:
		ep.tokens = newTokens(d, ep.secret, now)
		both := url.QueryEscape(d.ClientID) + ":" + url.QueryEscape(ep.secret)
		ep = ep.hide(base64.StdEncoding.EncodeToString([]byte(both)))
	default:
	}
	ep.signing, err = openSigning(ctx, vault, d, now())
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
