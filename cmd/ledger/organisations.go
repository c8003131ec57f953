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

	Retention retentionVerb `cmd:"" help:"Say for how long an organisation's personal data is kept."`
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

// retentionVerb is ledger organisations retention.
type retentionVerb struct {
	databaseFlags
	Organisation string `arg:"" help:"Name or ID of the organisation."`
	Days         int    `xor:"for" required:"" placeholder:"N" help:"Erase what is personal, and older than so many days, once a day."`
	Forever      bool   `xor:"for" required:"" help:"Keep it for ever, which is the default. What was erased stays so."`
}

// Help says what is erased.
func (v *retentionVerb) Help() string {
	return `Once a day, a process with the role follow erases prospects, attributes of candidates and receivers' answers that were recorded longer ago.
Read models show them no more; the keys under which the log holds them are destroyed, a day's at a time, so that a day later at most nobody can
read them any more, in whatever copy of the log. What was recorded in the clear, by an earlier build, is shown no more, and stays in the log.`
}

// Run notes it.
func (v *retentionVerb) Run(ctx context.Context, w world) error {
	if v.Days < 0 {
		return fmt.Errorf("--days must be at least 1: %d is not", v.Days)
	}
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	var days *int
	if !v.Forever {
		days = &v.Days
	}
	keys := apikey.New(pool)
	org, err := findOrganisation(ctx, keys, v.Organisation)
	if err != nil {
		return err
	}
	if _, _, err := keys.Retain(ctx, org.ID, days); err != nil { // none is ever removed
		return err
	}
	_, err = fmt.Fprintf(w.out, "Personal data of %s (%s) is kept %s.\n", org.Name, org.ID, retention(days))
	return err
}

// findOrganisation returns the organisation of that name or ID. It is an error if there is none.
func findOrganisation(ctx context.Context, keys *apikey.Keys, nameOrID string) (apikey.Organisation, error) {
	org, ok, err := keys.Organisation(ctx, nameOrID)
	if err == nil && !ok {
		err = fmt.Errorf("there is no organisation %s", nameOrID)
	}
	return org, err
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
	fmt.Fprintln(table, "ID\tCREATED\tKEPT\tNAME")
	for _, o := range list.Items {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", o.ID, o.CreatedAt.UTC().Format(time.RFC3339), retention(o.RetentionDays), o.Name)
	}
	return table.Flush()
}

// retention says for how long personal data is kept.
func retention(days *int) string {
	if days == nil {
		return "for ever"
	}
	return "for " + counted(int64(*days), "day")
}
