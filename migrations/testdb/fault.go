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
func NewServer(t testing.TB) *localpg.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server, err := localpg.Start(ctx, localpg.Options{Ephemeral: true, Settings: map[string]string{"max_connections": "300"}})
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Errorf("testdb: %v", err)
		}
	})
	return server
}

// URLOn returns the address of a migrated database named ledger on a server of the
// test's own. Every call returns the same one.
func URLOn(t testing.TB, server *localpg.Server) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	address, err := server.CreateDatabase(ctx, "ledger")
	if err == nil {
		err = migrations.Up(ctx, address)
	}
	if err != nil {
		t.Fatalf("testdb: make database: %v", err)
	}
	return address
}

// NewOn is New for a server of the test's own; it returns a pool on URLOn's database.
func NewOn(t testing.TB, server *localpg.Server) *pgxpool.Pool {
	t.Helper()
	return open(t, URLOn(t, server))
}

// Dir returns an empty folder that every user can enter, unlike t.TempDir's. It is for
// tests that give a data folder to localpg: as root that runs Postgres as another user,
// and would keep the cluster elsewhere, beyond the test. It is removed with the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ledger-test-")
	if err == nil {
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Errorf("testdb: %v", fmt.Errorf("remove folder: %w", err))
			}
		})
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatalf("testdb: make folder: %v", err)
	}
	return dir
}
