package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/migrations"
	"github.com/openprospect/delivery-ledger/migrations/localpg"
)

// devVerb is ledger dev.
type devVerb struct {
	engineFlags
	DataDir     string `default:".ledger" help:"Folder of the private Postgres and of this machine's keys. Kept between runs."`
	DatabaseURL string `placeholder:"URL" help:"Postgres to use in place of a private one."`
	Demo        bool   `help:"Deliver sample companies to a built-in receiver, with a shortened retry schedule, and show what happens."`
	DevAPIKey   string `name:"dev-api-key" placeholder:"lnc_live_…" help:"Use this API key, with all scopes and no rate limit, in place of a fresh one."`
	LogLevel    string `enum:"debug,info,warn,error" default:"warn" help:"debug, info, warn or error."`
}

// devOrganisation owns what dev makes.
const devOrganisation = "Development"

// Help says what dev is.
func (v *devVerb) Help() string {
	return `Starts a private Postgres from binaries on this machine, or fetches them; migrates it; makes an organisation with an API key of all
scopes; and runs all roles. Destinations may be at private addresses. The database listens to this machine only, and ends with the ledger.`
}

// Run runs the ledger until ctx is done.
func (v *devVerb) Run(ctx context.Context, w world) (err error) {
	url, stop, err := v.database(ctx, w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := migrations.Up(ctx, url); err != nil {
		return err
	}
	pool, err := migrations.OpenPool(ctx, url, 20)
	if err != nil {
		return err
	}
	defer pool.Close()
	encryption, err := v.encryptionKey()
	if err != nil {
		return err
	}
	apiKey, err := v.apiKey(ctx, pool, w)
	if err != nil {
		return err
	}
	return v.serve(ctx, w, pool, encryption, apiKey)
}

// serve runs all roles, and the demonstration if it is asked for.
func (v *devVerb) serve(ctx context.Context, w world, pool *pgxpool.Pool, key vault.Key, apiKey string) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(v.LogLevel)); err != nil {
		return fmt.Errorf("read log level: %w", err)
	}
	e := engine{
		engineFlags: v.engineFlags, pool: pool, keys: []vault.Key{key}, roles: []string{roleAPI, roleFollow, roleAttempt},
		private: true, log: v.logger(w.err, level),
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var d *demo
	if v.Demo {
		keyHint := "$(cat '" + filepath.Join(v.DataDir, "api-key") + "')"
		if v.DevAPIKey != "" {
			keyHint = "$LEDGER_DEV_API_KEY"
		}
		if len(e.RetrySchedule) == 0 {
			e.RetrySchedule = demoRetries
		}
		d = newDemo(w.out, apiKey, keyHint, e.RetrySchedule)
		e.observe = d.observe
	}
	demoDone := make(chan struct{})
	e.listening = func(at net.Addr) {
		base := "http://" + at.String()
		fmt.Fprintf(w.out, "The ledger answers at %s. Stop it with Ctrl-C.\n", base)
		go func() {
			defer close(demoDone)
			if d == nil {
				return
			}
			if err := d.run(ctx, base); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("demonstrate: %w", err))
			}
		}()
	}
	if err := e.run(ctx); err != nil {
		return err
	}
	<-demoDone
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// database returns the URL of a database that can be migrated, and what stops its server.
func (v *devVerb) database(ctx context.Context, w world) (url string, stop func() error, err error) {
	if v.DatabaseURL != "" {
		return v.DatabaseURL, func() error { return nil }, nil
	}
	server, err := localpg.Start(ctx, localpg.Options{
		Dir: v.DataDir, Progress: func(line string) { fmt.Fprintln(w.out, line) },
	})
	if err != nil {
		return "", nil, err
	}
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return server.Stop(ctx)
	}
	if url, err = server.CreateDatabase(ctx, "ledger"); err != nil {
		return "", nil, errors.Join(err, stop())
	}
	fmt.Fprintf(w.out, "Postgres %d runs: psql '%s'\n", server.Major(), url)
	return url, stop, nil
}

// encryptionKey returns the key kept in the data folder, a fresh one at first.
func (v *devVerb) encryptionKey() (vault.Key, error) {
	text, err := v.kept("encryption-key", func() (string, error) { return vault.NewKeyText(), nil })
	if err != nil {
		return vault.Key{}, err
	}
	return vault.ParseKey(text)
}

// apiKey returns the API key: the one that was asked for, the one kept in the data folder, or
// a fresh one, which it prints.
func (v *devVerb) apiKey(ctx context.Context, pool *pgxpool.Pool, w world) (string, error) {
	keys := apikey.New(pool)
	org, err := findOrCreate(ctx, keys, devOrganisation)
	if err != nil {
		return "", err
	}
	create := func(text string) (string, error) {
		_, text, err := keys.Create(ctx, apikey.NewKey{Organisation: org.ID, Name: "dev", Scopes: apikey.Scopes(), Text: text})
		return text, err
	}
	if v.DevAPIKey != "" {
		text, err := create(v.DevAPIKey)
		if err != nil {
			return "", fmt.Errorf("use --dev-api-key: %w", err)
		}
		return text, nil
	}
	path := filepath.Join(v.DataDir, "api-key")
	fresh := false
	text, err := v.kept("api-key", func() (string, error) { fresh = true; return create("") })
	if err != nil {
		return "", err
	}
	if !fresh {
		fmt.Fprintf(w.out, "API key of organisation %s: the one kept in %s\n", org.Name, path)
		return create(text) // again, should the folder be used with another database
	}
	fmt.Fprintf(w.out, "API key of organisation %s, shown this once (and kept in %s):\n  %s\n", org.Name, path, text)
	return text, nil
}

// kept returns the text in a file of the data folder, readable by its owner only. If there is
// none it makes one.
func (v *devVerb) kept(name string, fresh func() (string, error)) (string, error) {
	path := filepath.Join(v.DataDir, name)
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	text, err := fresh()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(v.DataDir, 0o700); err != nil {
		return "", fmt.Errorf("make data folder: %w", err)
	}
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep %s: %w", name, err)
	}
	return text, nil
}
