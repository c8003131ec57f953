package webhooks

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
)

// SweepSecrets is what a worker does every now and then.
var SweepSecrets = sweepSecrets

// Judge is what a worker does every second or so.
var Judge = judge

// NewTokens returns the tokens of a destination.
var NewTokens = newTokens

// Take is what an attempt does for a token.
func (t *tokens) Take(ctx context.Context, client *http.Client) error {
	_, _, err := t.take(ctx, client, "")
	return err
}

// Claim makes the first claim of a process with that many workers, and returns how many
// dispatches of each destination it leased.
func Claim(ctx context.Context, pool *pgxpool.Pool, workers, share int) (map[domain.DestinationID]int, error) {
	l := leases{pool: pool, worker: uuid.New(), share: share}
	claims, err := l.look(ctx, newLoad(workers), &places{stretch: true})
	claimed := map[domain.DestinationID]int{}
	for _, c := range claims {
		claimed[c.Destination]++
	}
	return claimed, err
}
