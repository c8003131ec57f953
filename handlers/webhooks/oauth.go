package webhooks

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/openprospect/delivery-ledger/domain"
)

// tokens gets the access tokens of one oauth2 destination, one at a time, and keeps the one in
// use. It is safe for concurrent use.
type tokens struct {
	config clientcredentials.Config
	now    func() time.Time
	turn   chan struct{} // of whoever reads or changes what follows

	current string
	renewed time.Time // when another is got; zero: when it is refused

	failed   error // why there was no token the last time
	failedAt time.Time
}

// newTokens returns the tokens of d, whose client secret is secret.
func newTokens(d domain.Destination, secret string, now func() time.Time) *tokens {
	return &tokens{
		config: clientcredentials.Config{
			ClientID: d.ClientID, ClientSecret: secret, TokenURL: d.TokenURL, Scopes: strings.Fields(d.Scope),
		},
		now: now, turn: make(chan struct{}, 1),
	}
}

// earlyRenewal is how long before its end a token is renewed, or a quarter of its life if that
// is less.
const earlyRenewal = 30 * time.Second

// take returns a token that was not refused, and whether it was in use before. Who waits while another
// asks the token endpoint in vain does not ask it again.
func (t *tokens) take(ctx context.Context, client *http.Client, refused string) (token string, used bool, err error) {
	began := t.now()
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
	now := t.now()
	if t.current != "" && t.current != refused && (t.renewed.IsZero() || now.Before(t.renewed)) {
		return t.current, true, nil
	}
	if t.failed != nil && t.failedAt.After(began) {
		return "", false, t.failed
	}
	t.current, t.failed = "", nil
	got, err := t.config.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err != nil {
		if ctx.Err() == nil { // else it had less time than others may have
			t.failed, t.failedAt = err, t.now()
		}
		return "", false, err
	}
	t.current, t.renewed = got.AccessToken, time.Time{}
	if !got.Expiry.IsZero() {
		t.renewed = got.Expiry.Add(-min(earlyRenewal, got.Expiry.Sub(now)/4))
	}
	return t.current, false, nil
}

// explainToken says in plain words why there was no token. It repeats nothing of what the token
// endpoint said but the code of its error.
func explainToken(err error, timeout time.Duration) string {
	const prefix = "the token endpoint gave no token: "
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return strings.TrimSpace(prefix + "it answered " + e.Response.Status + " " + e.ErrorCode)
	}
	return prefix + strings.TrimPrefix(explain(err, timeout), "oauth2: ")
}
