// Command cancel has the release whose module it is built in record what happens when a destination goes between the claim of one of its
// dispatches and the attempt, which nobody can time from outside.
package main

import (
	"context"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

func main() {
	ctx := eventstore.WithMetadata(context.Background(), eventstore.Metadata{Actor: "attempter"})
	pool, err := pgxpool.New(ctx, os.Args[1])
	if err != nil {
		panic(err)
	}
	store := eventstore.New(pool, eventstore.NewRegistry(domain.Events()...), eventstore.Options{})
	_, err = eventstore.Execute(ctx, store, domain.CancelDispatch{
		Dispatch: domain.DispatchID(os.Args[2]), Delivery: domain.DeliveryID(os.Args[3]), Destination: domain.DestinationID(os.Args[4]),
		Reason: "the destination was removed",
	})
	if err != nil {
		panic(err)
	}
}
