//go:build linux || darwin

package testdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/migrations"
)

// sharedTemplate returns the name of the migrated database that the others copy.
var sharedTemplate = sync.OnceValues(func() (string, error) {
	shared, err := sharedServer()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return makeTemplate(ctx, shared.admin)
})

// makeTemplate makes the template on a server unless it is there. Its name tells which
// migrations are in it. Processes that share a server take turns; a database only gets
// the name when it is complete.
func makeTemplate(ctx context.Context, admin string) (_ string, err error) {
	sum, err := hashOf(migrations.FS)
	if err != nil {
		return "", err
	}
	name := "ledger_template_" + sum
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return "", fmt.Errorf("make template: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()

	const lock = `SELECT pg_advisory_lock(hashtextextended('ledger test template', 0))` // ends with the connection
	if _, err := conn.Exec(ctx, lock); err != nil {
		return "", fmt.Errorf("take turns at template: %w", err)
	}
	const query = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`
	var exists bool
	if err := conn.QueryRow(ctx, query, name).Scan(&exists); err != nil {
		return "", fmt.Errorf("look for template: %w", err)
	}
	if exists {
		return name, nil
	}
	return name, buildTemplate(ctx, conn, admin, name)
}

// buildTemplate migrates a new database, and names it when it is done.
func buildTemplate(ctx context.Context, conn *pgx.Conn, admin, name string) error {
	unfinished := name + "_new"
	statements := []string{
		`DROP DATABASE IF EXISTS ` + identifier(unfinished) + ` WITH (FORCE)`,
		`CREATE DATABASE ` + identifier(unfinished) + ` TEMPLATE template0`,
	}
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("make template: %w", err)
		}
	}
	if err := migrations.Up(ctx, withDatabase(admin, unfinished)); err != nil {
		return fmt.Errorf("migrate template: %w", err)
	}
	if _, err := conn.Exec(ctx, `ALTER DATABASE `+identifier(unfinished)+` RENAME TO `+identifier(name)); err != nil {
		return fmt.Errorf("name template: %w", err)
	}
	return nil
}

// hashOf returns a short hash over the names and contents of the files.
func hashOf(files fs.FS) (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		fmt.Fprintf(hash, "%q %q\n", path, content)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("hash migrations: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8]), nil
}
