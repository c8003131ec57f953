package webhooks

import (
	"context"
	"net/http"
)

// SweepSecrets is what a worker does every now and then.
var SweepSecrets = sweepSecrets

// NewTokens returns the tokens of a destination.
var NewTokens = newTokens

// Take is what an attempt does for a token.
func (t *tokens) Take(ctx context.Context, client *http.Client) error {
	_, _, err := t.take(ctx, client, "")
	return err
}
