//go:build linux || darwin

package testdb

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/migrations"
	"github.com/openprospect/delivery-ledger/migrations/localpg"
)

// NewServer returns a Postgres of the test's own, to be killed and restarted. What it
// has acknowledged survives Kill and Restart. It ends with the test.
func NewServer(tb testing.TB) *localpg.Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	server, err := localpg.Start(ctx, localpg.Options{Ephemeral: true, Settings: map[string]string{"max_connections": "300"}})
	if err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	tb.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			tb.Errorf("testdb: %v", err)
		}
	})
	return server
}

// URLOn returns the address of a migrated database named ledger on a server of the
// test's own. Every call returns the same one.
func URLOn(tb testing.TB, server *localpg.Server) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	address, err := server.CreateDatabase(ctx, "ledger")
	if err == nil {
		err = migrations.Up(ctx, address)
	}
	if err != nil {
		tb.Fatalf("testdb: make database: %v", err)
	}
	return address
}

// NewOn is New for a server of the test's own; it returns a pool on URLOn's database.
func NewOn(tb testing.TB, server *localpg.Server) *pgxpool.Pool {
	tb.Helper()
	return open(tb, URLOn(tb, server))
}

// Dir returns an empty folder that every user can enter, unlike t.TempDir's. It is for
// tests that give a data folder to localpg: as root that runs Postgres as another user,
// and would keep the cluster elsewhere, beyond the test. It is removed with the test.
func Dir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "ledger-test-")
	if err == nil {
		tb.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				tb.Errorf("testdb: %v", fmt.Errorf("remove folder: %w", err))
			}
		})
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		tb.Fatalf("testdb: make folder: %v", err)
	}
	return dir
}
