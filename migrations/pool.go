package migrations

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// OpenPool returns a pool of up to max connections to the database at url, with the settings
// that the ledger's queries count on. It connects when it is first used.
//
// Every statement of the ledger is a walk of indexes that were made for it, so it is planned as
// one, and once for a connection: at a hundred companies a second, planning anew took twice the
// time of all executions. Without the settings a plan that was made while a read model was nearly
// empty would scan it from end to end, and go on to when it no longer is. Nor are indexes turned
// into bitmaps: rows of queue-like tables die young, and only a walk marks their entries dead. What
// scans a table after all looks expensive to Postgres then, and must not be compiled for that.
func OpenPool(ctx context.Context, url string, max int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read database URL: %w", err)
	}
	config.MaxConns = max
	for name, value := range map[string]string{
		"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_bitmapscan": "off", "jit": "off",
	} {
		config.ConnConfig.RuntimeParams[name] = value
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	return pool, nil
}
