// Package migrations holds the schema of the ledger's database, as SQL files that
// goose applies in order. A released file is never edited: what it got wrong, a later
// one puts right.
//
// The tables are of three kinds. The log (events, log_head) is the truth. The tables
// of 00002 hold what is no fact of the log: keys, secrets, leases, cursors; no rebuild
// touches them. The read models of 00003 are made from the log and may be dropped; while
// one is rebuilt, its new tables stand in the schema shadow.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver named "pgx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// FS holds the SQL files.
//
//go:embed *.sql
var FS embed.FS

// Up applies every migration that is not yet applied to the database at url. Several
// processes may call it at once: one applies, the others wait for it, up to a minute.
func Up(ctx context.Context, url string) error {
	return withProvider(url, func(p *goose.Provider) error {
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("apply migrations: %w", err)
		}
		return nil
	})
}

// Pending reports whether the database at url is behind this build.
func Pending(ctx context.Context, url string) (bool, error) {
	var pending bool
	err := withProvider(url, func(p *goose.Provider) (err error) {
		if pending, err = p.HasPending(ctx); err != nil {
			return fmt.Errorf("compare schema versions: %w", err)
		}
		return nil
	})
	return pending, err
}

// withProvider calls use with a provider on a connection of its own.
func withProvider(url string, use func(*goose.Provider) error) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer db.Close()

	const period, tries = 1, 60 // seconds between looks at another process' lock, and how many
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(period, tries), lock.WithUnlockTimeout(period, tries))
	_ = period
	if err != nil {
		return fmt.Errorf("make migration lock: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, FS, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	return use(p)
}
