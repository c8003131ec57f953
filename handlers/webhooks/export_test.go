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

// EndLeases is what a worker does every second or so about those that are gone. absent are the looks in a row that
// found them gone.
func EndLeases(ctx context.Context, pool *pgxpool.Pool, absent map[uuid.UUID]int) error {
	l := leases{pool: pool, worker: uuid.New()}
	return l.end(ctx, absent)
}

// AbsentLooks is how many of them it takes.
const AbsentLooks = absentLooks

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
	under, among := newLoad(workers), places{stretch: true}
	if err := l.find(ctx, &among); err != nil {
		return nil, err
	}
	claims, err := l.claim(ctx, under.among(among.touched), among.touched)
	claimed := map[domain.DestinationID]int{}
	for _, c := range claims {
		claimed[c.Destination]++
	}
	return claimed, err
}
