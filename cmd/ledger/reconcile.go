package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// reconcileVerb is ledger reconcile.
type reconcileVerb struct {
	databaseFlags
	Deliveries []domain.DeliveryID `arg:"" optional:"" name:"delivery" help:"IDs of deliveries. Default: all, also those that were deleted."`
}

// Help says what is compared.
func (v *reconcileVerb) Help() string {
	return `Reads from the log, for each delivery, which companies were handed over, to which webhook destinations each is owed, and what its last event
says; compares that with what the read models show; and prints the sums, which are the log's. Names what differs, and exits with 1 if
anything does: "ledger rebuild" makes the read models anew. It only reads, and may be run while the ledger is at work.`
}

// Run reconciles the deliveries, one after the other.
func (v *reconcileVerb) Run(ctx context.Context, w world) error {
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	views := projections.NewViews(pool)
	ids := v.Deliveries
	if len(ids) == 0 {
		if ids, err = views.DeliveryIDs(ctx); err != nil {
			return err
		}
	}
	return printSums(ctx, w.out, pool, views, ids)
}

// printSums prints the sums of deliveries, and fails if something differs.
func printSums(ctx context.Context, w io.Writer, pool *pgxpool.Pool, views *projections.Views, ids []domain.DeliveryID) error {
	store := eventstore.New(pool, eventstore.NewRegistry(domain.Events()...), eventstore.Options{})
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DELIVERY\tDESTINATION\tHANDED OVER\tDELIVERED\tFAILED\tCANCELLED\tPENDING\tRETRYING\tHELD")
	var faults []string
	for _, id := range ids {
		r, err := views.Reconcile(ctx, store, projections.Handed{Delivery: id})
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\tpull feed\t%d\t\t\t\t\t\t\n", id, r.HandedOver)
		for _, d := range r.Destinations {
			fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", id, d.Destination, d.Owed, d.Counts[domain.Delivered], d.Counts[domain.Failed],
				d.Counts[domain.Cancelled], d.Counts[domain.Pending], d.Counts[domain.Retrying], d.Counts[domain.Held])
		}
		for _, d := range r.Differences {
			faults = append(faults, describe(id, d))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(faults) > 0 {
		return errors.New("log and read models differ:\n" + strings.Join(faults, "\n"))
	}
	_, err := fmt.Fprintln(w, "What the log says is what is shown.")
	return err
}

// describe puts a difference in words.
func describe(id domain.DeliveryID, d projections.Difference) string {
	say := func(status string) string {
		if status == "" {
			return "nothing"
		}
		return strings.ReplaceAll(status, "_", " ")
	}
	where := "pull feed"
	if d.Destination != "" {
		where = "destination " + string(d.Destination)
	}
	return fmt.Sprintf("%s, %s: the log says %s, shown is %s, of %d hand-overs: %s", id, where, say(d.Logged), say(d.Shown), d.Count, named(d))
}

// named names the first hand-overs of a difference.
func named(d projections.Difference) string {
	const most = 10
	ids := make([]string, 0, most+1)
	for _, id := range d.HandOvers[:min(most, len(d.HandOvers))] {
		ids = append(ids, string(id))
	}
	if d.Count > most {
		ids = append(ids, "…")
	}
	return strings.Join(ids, " ")
}
