package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/migrations"
)

// databaseFlags say which database to use.
type databaseFlags struct {
	DatabaseURL    string `required:"" placeholder:"URL" help:"Postgres to use, as postgres://user:password@host:5432/database. Several hosts, with target_session_attrs=read-write, fail over."`
	MaxConnections int32  `default:"20" help:"Connections that this process uses at most."`
}

// open returns a pool on the database, once that answers and its schema is current.
func (f databaseFlags) open(ctx context.Context) (*pgxpool.Pool, error) {
	if f.MaxConnections < 1 {
		return nil, errors.New("--max-connections must be at least 1")
	}
	pool, err := migrations.OpenPool(ctx, f.DatabaseURL, f.MaxConnections)
	if err != nil {
		return nil, fmt.Errorf("use the database of --database-url: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("use the database of --database-url: %w", err)
	}
	switch pending, err := migrations.Pending(ctx, f.DatabaseURL); {
	case err != nil:
		pool.Close()
		return nil, err
	case pending:
		pool.Close()
		return nil, errors.New("the database's schema is not of this build: run ledger migrate")
	}
	return pool, nil
}
