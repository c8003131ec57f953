package webhooks

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// leases takes and gives back leases for one worker. It is used by one goroutine.
type leases struct {
	pool   *pgxpool.Pool
	worker uuid.UUID
	share  int // in flight per destination, unless that sets less
}

// release gives back leases whose outcomes the read model shows, or which came to nothing. It
// asks the read model itself, which may have gone back a little if the database crashed; a
// lease that it keeps then is left to expire.
func (l *leases) release(ctx context.Context, done []settled) error {
	const query = `
		DELETE FROM leases l
		USING unnest($1::text[], $2::text[], $3::int[], $4::bigint[]) AS d(destination_id, dispatch_id, attempt, at)
		WHERE l.destination_id = d.destination_id AND l.dispatch_id = d.dispatch_id AND l.attempt = d.attempt
			AND d.at <= (SELECT position FROM cursors WHERE name = 'dispatches')
			AND l.worker = $5 AND set_config('synchronous_commit', 'off', true) = 'off'`
	destinations, dispatches := make([]string, len(done)), make([]string, len(done))
	attempts, positions := make([]int32, len(done)), make([]int64, len(done))
	for i, d := range done {
		destinations[i], dispatches[i] = string(d.Destination), string(d.Dispatch)
		attempts[i], positions[i] = int32(d.attempt()), int64(d.at)
	}
	if _, err := l.pool.Exec(ctx, query, destinations, dispatches, attempts, positions, l.worker); err != nil {
		return fmt.Errorf("release leases: %w", err)
	}
	return nil
}

// sweep deletes leases that expired long ago, as a worker leaves them that died, and buckets
// that have been full for long, which are as good as none. It keeps those of attempts that look
// owed: who claims such a one must know that it may have been made.
func (l *leases) sweep(ctx context.Context) error {
	const query = `
		WITH expired AS (
			DELETE FROM leases l
			WHERE ends_at < now() - interval '10 minutes' AND (
				SELECT count(*) FROM dispatches WHERE id = l.dispatch_id AND attempts + 1 = l.attempt AND due IS NOT NULL
			) = 0
		)
		DELETE FROM rate_buckets WHERE filled_at < now() - interval '10 minutes'`
	if _, err := l.pool.Exec(ctx, query); err != nil {
		return fmt.Errorf("sweep leases: %w", err)
	}
	return nil
}
