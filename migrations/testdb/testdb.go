//go:build linux || darwin

// Package testdb gives every test a migrated database of its own, on a real Postgres.
// Nothing has to be prepared, and no TestMain is needed:
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		pool := testdb.New(t)
//		…
//	}
//
// The first call of a test process starts a private Postgres (about a second) and
// migrates a template; each database is a copy of that (some 30 ms). The server ends
// with the process, however that ends.
//
// If LEDGER_TEST_DATABASE_URL is set, the databases are made on that server instead, by
// a user who may create databases. A test process that is killed leaves its databases
// there; they are named ledger_test_….
//
// # Why
//
// Why a database for every test and not a schema: the migrations, LISTEN and advisory
// locks all see one database, as in production. Why a server for every test process
// and not one for all: it needs no agreement on who starts and who stops it. What a
// test does to the whole server (an open transaction holds back what every reader in
// the cluster may see as settled) meets its own package's tests only.
package testdb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/migrations"
	"github.com/openprospect/delivery-ledger/migrations/localpg"
)

// ServerEnv names the variable with the URL of a server to use in place of a private one.
const ServerEnv = "LEDGER_TEST_DATABASE_URL"

// patience bounds everything that this package waits for on behalf of one test.
const patience = 2 * time.Minute

// New returns a pool on a fresh, migrated database of its own. When the test ends the
// pool is closed and the database dropped; a connection that the test has not given
// back by then fails it.
func New(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return open(tb, URL(tb))
}

// URL returns the address of a fresh, migrated database, for processes and for pools
// with settings of their own. It is dropped when the test ends, even if connected to.
func URL(tb testing.TB) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	shared, err := sharedServer()
	if err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	template, err := sharedTemplate()
	if err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	name := "ledger_test_" + strings.ToLower(rand.Text())
	create := `CREATE DATABASE ` + identifier(name) + ` TEMPLATE ` + identifier(template) + shared.copying
	if err := onServer(ctx, shared.admin, create); err != nil {
		tb.Fatalf("testdb: create database: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience) // the test's has ended
		defer cancel()
		if err := onServer(ctx, shared.admin, `DROP DATABASE IF EXISTS `+identifier(name)+` WITH (FORCE)`); err != nil {
			tb.Errorf("testdb: drop database: %v", err)
		}
	})
	return withDatabase(shared.admin, name)
}

// open returns a pool that is closed with the test. It is that of the ledger, but for a transaction, which may
// wait for its test for as long as it likes.
func open(tb testing.TB, address string) *pgxpool.Pool {
	tb.Helper()
	strict, err := migrations.OpenPool(tb.Context(), address, 20)
	if err != nil {
		tb.Fatalf("testdb: open pool: %v", err)
	}
	config := strict.Config()
	strict.Close() // it has not connected
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	pool, err := pgxpool.NewWithConfig(tb.Context(), config)
	if err != nil {
		tb.Fatalf("testdb: open pool: %v", err)
	}
	tb.Cleanup(func() { closePool(tb, pool, 10*time.Second) })
	return pool
}

// closePool closes a pool, but does not wait for its connections forever.
func closePool(tb testing.TB, pool *pgxpool.Pool, grace time.Duration) {
	tb.Helper()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		pool.Close()
	}()
	select {
	case <-closed:
	case <-time.After(grace):
		tb.Errorf("testdb: %d connections were not given back to the pool", pool.Stat().AcquiredConns())
	}
}

// server is where databases are made.
type server struct {
	admin   string // address of a database to make others from
	copying string // options of CREATE DATABASE
}

// sharedServer returns the server for this process' databases.
var sharedServer = sync.OnceValues(func() (server, error) {
	if address := os.Getenv(ServerEnv); address != "" {
		if u, err := url.Parse(address); err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
			return server{}, errors.New(ServerEnv + " is no postgres:// URL")
		}
		return server{admin: address}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // it may have to be fetched
	defer cancel()
	private, err := localpg.Start(ctx, localpg.Options{Ephemeral: true, Settings: map[string]string{
		"max_connections":    "300",
		"full_page_writes":   "off", // nobody kills this one and reads on
		"synchronous_commit": "off",
	}})
	if err != nil {
		return server{}, err
	}
	s := server{admin: private.URL("postgres")} // its watchdog stops it
	if private.Major() >= 15 {
		s.copying = " STRATEGY FILE_COPY" // three times as fast, when nothing is synced; 14 knows no other
	}
	return s, nil
})

// onServer runs one statement on a connection of its own.
func onServer(ctx context.Context, address, statement string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

// withDatabase returns the address of another database on the same server.
func withDatabase(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(fmt.Sprintf("testdb: address was parsed before: %v", err))
	}
	u.Path = "/" + name
	return u.String()
}

func identifier(name string) string { return pgx.Identifier{name}.Sanitize() }
