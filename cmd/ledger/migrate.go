package main

import (
	"context"
	"fmt"

	"github.com/openprospect/delivery-ledger/migrations"
)

// migrateVerb is ledger migrate.
type migrateVerb struct {
	DatabaseURL string `required:"" placeholder:"URL" help:"Postgres to migrate, as postgres://user:password@host:5432/database."`
}

// Run applies what is pending. Several may run at once.
func (v *migrateVerb) Run(ctx context.Context, w world) error {
	if err := migrations.Up(ctx, v.DatabaseURL); err != nil {
		return fmt.Errorf("migrate the database of --database-url: %w", err)
	}
	fmt.Fprintln(w.out, "The schema is up to date.")
	return nil
}
