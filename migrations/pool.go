package migrations

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// OpenPool returns a pool of up to max connections to the database at url, with the settings
// that the ledger's queries count on. It connects when it is first used.
//
// Plans are made for each execution: one that was made while a read model was nearly empty, and
// kept, would be wrong when it no longer is. And indexes are walked, not turned into bitmaps: rows
// of queue-like tables die young, and only a walk marks their entries dead.
//
// A transaction that waits for its client for longer than idleTimeout is rolled back and loses its connection.
// Every transaction of the ledger holds something that others wait for, such as the head of the log; a
// process that was stopped in the middle of one, or whose machine is gone, would keep them waiting.
func OpenPool(ctx context.Context, url string, max int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read database URL: %w", err)
	}
	config.MaxConns = max
	config.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	config.ConnConfig.RuntimeParams["enable_bitmapscan"] = "off"
	config.ConnConfig.RuntimeParams["jit"] = "off"
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(idleTimeout.Milliseconds(), 10)
	config.ConnConfig.DialFunc = withBuffer(config.ConnConfig.DialFunc)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	return pool, nil
}

// idleTimeout is less than a request waits for the log, so that none is refused meanwhile, and much more than a process
// at work takes between two statements.
const idleTimeout = 3 * time.Second

// socketBuffer is what a connection holds for Postgres to read: a group of a thousand events, so
// that Postgres has something to do while this process sees to others. The system may allow less.
const socketBuffer = 1 << 20

// withBuffer returns dial for connections with that buffer. TCP sizes its own.
func withBuffer(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if unix, ok := conn.(*net.UnixConn); ok && err == nil {
			err = unix.SetWriteBuffer(socketBuffer)
		}
		return conn, err
	}
}
