package main

import (
	"context"
	"fmt"
	"math"
	"text/tabwriter"
	"time"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/projections"
)

// organisationsVerb is ledger organisations.
type organisationsVerb struct {
	Create createOrganisationVerb `cmd:"" help:"Create an organisation. Its ID is printed."`
	List   listOrganisationsVerb  `cmd:"" help:"List all organisations."`
}

// createOrganisationVerb is ledger organisations create.
type createOrganisationVerb struct {
	databaseFlags
	Name string `arg:"" help:"Name of the organisation. Names need not be unique."`
}

// Run creates the organisation.
func (v *createOrganisationVerb) Run(ctx context.Context, w world) error {
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	org, err := apikey.New(pool).CreateOrganisation(ctx, v.Name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.out, org.ID)
	return err
}

// listOrganisationsVerb is ledger organisations list.
type listOrganisationsVerb struct{ databaseFlags }

// Run prints the organisations.
func (v *listOrganisationsVerb) Run(ctx context.Context, w world) error {
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	list, err := apikey.New(pool).Organisations(ctx, projections.Page{Limit: math.MaxInt32})
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tCREATED\tNAME")
	for _, o := range list.Items {
		fmt.Fprintf(table, "%s\t%s\t%s\n", o.ID, o.CreatedAt.UTC().Format(time.RFC3339), o.Name)
	}
	return table.Flush()
}
