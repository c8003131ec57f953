package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A claim is a dispatch that this process has leased for one attempt.
type claim struct {
	Dispatch    domain.DispatchID    `db:"id"`
	Destination domain.DestinationID `db:"destination_id"`
	Config      int64                `db:"config_version"` // of the destination
	RateLimit   float64              `db:"rate_limit"`     // of the destination, a second; 0: none
	Sequence    int64                `db:"sequence"`
	Attempts    int                  `db:"attempts"` // made before
	Version     eventstore.Version   `db:"version"`  // of the dispatch's stream
	Data        json.RawMessage      `db:"data"`     // of the hand-over's event
	RecordedAt  time.Time            `db:"recorded_at"`
}

// attempt is the number of the attempt that was claimed.
func (c claim) attempt() int { return c.Attempts + 1 }

// leases takes and gives back leases for one worker. It is used by one goroutine.
type leases struct {
	pool   *pgxpool.Pool
	worker uuid.UUID
	share  int // in flight per destination, unless that sets less
}

// leaseMargin is how much longer a lease runs than the attempt may take. It is the time in
// which an outcome must be recorded, and a bound on how late a crash is noticed.
const leaseMargin = 15 * time.Second

// claimTimeout bounds a claim. It is not cut short when the worker stops: it could have been
// made all the same, and nobody would give it back.
const claimTimeout = 10 * time.Second

// claim leases up to limit dispatches that are due. busy tells how many of each destination this
// process has out, and how many more it may begin; those of other processes are counted by their leases, but
// for leases of attempts whose outcome the read model shows.
//
// Destinations with something owed are found by skipping through the index, one look-up
// each. Each offers, as far as its share goes, its fresh dispatches and its retries, in order
// of their due times. They are then taken in turn, destination by destination; a retry counts
// as much as four fresh ones.
//
// Leases are not waited for on their way to disk: should the database crash, those lost are of
// attempts whose outcome was not recorded either. The statement is planned once for a connection,
// as a walk of the one index there is for each step: planning it takes four times as long as
// executing it does.
func (l *leases) claim(ctx context.Context, limit int, busy []engaged) ([]claim, error) {
	const (
		begin  = `BEGIN`
		relax  = `SET LOCAL synchronous_commit = off`
		once   = `SET LOCAL plan_cache_mode = force_generic_plan`
		walk   = `SET LOCAL enable_seqscan = off`
		commit = `COMMIT`
		query  = `
		WITH RECURSIVE owing AS (
			(SELECT destination_id FROM dispatches WHERE due IS NOT NULL ORDER BY destination_id LIMIT 1)
			UNION ALL
			SELECT (
				SELECT d.destination_id FROM dispatches d
				WHERE d.due IS NOT NULL AND d.destination_id > o.destination_id
				ORDER BY d.destination_id LIMIT 1
			)
			FROM owing o
			WHERE o.destination_id IS NOT NULL
		),
		room AS MATERIALIZED (
			SELECT t.destination_id, t.version,
				coalesce((t.config->>'timeout_seconds')::int, 60) AS timeout,
				coalesce((t.config->>'rate_limit_per_second')::float8, 0) AS rate_limit,
				least(
					-- null, which least passes over, when there is no rate limit
					coalesce(own.allowed, CASE WHEN t.config->>'rate_limit_per_second' IS NOT NULL
						THEN greatest(1, ceil((t.config->>'rate_limit_per_second')::float8 / $8))::int END),
					least($2, (t.config->>'max_in_flight')::int) - coalesce(own.count, 0) - (
						SELECT count(*) FROM leases l
						JOIN dispatches d ON d.id = l.dispatch_id AND d.attempts + 1 = l.attempt AND d.due IS NOT NULL
						WHERE l.destination_id = t.destination_id AND l.worker <> $3 AND l.expires_at > now()
					)
				) AS free
			FROM owing o
			JOIN dispatch_targets t USING (destination_id)
			JOIN dispatch_deliveries v USING (delivery_id)
			LEFT JOIN unnest($4::text[], $5::int[], $7::int[]) AS own(destination_id, count, allowed) USING (destination_id)
			WHERE NOT v.paused AND NOT t.disabled AND NOT t.removed
		),
		offered AS (
			SELECT *
			FROM (
				SELECT d.*, r.version AS config_version, r.rate_limit, r.timeout, r.free,
					row_number() OVER (PARTITION BY r.destination_id ORDER BY d.turn) AS place
				FROM room r
				CROSS JOIN (VALUES (0, 1), (1, 4)) AS l(lane, weight)
				CROSS JOIN LATERAL (
					SELECT f.*, l.weight * row_number() OVER (ORDER BY f.due, f.sequence) AS turn
					FROM (
						SELECT d.*
						FROM dispatches d
						WHERE d.destination_id = r.destination_id AND d.lane = l.lane AND d.due <= now()
							AND (
								SELECT count(*) FROM leases
								WHERE destination_id = d.destination_id AND dispatch_id = d.id AND attempt = d.attempts + 1 AND expires_at > now()
							) = 0 -- not EXISTS, which would be planned as a join, and lose the index' order
						ORDER BY d.due, d.sequence
						LIMIT r.free
					) AS f
				) AS d
				WHERE r.free > 0
			) AS d
			WHERE place <= free
			ORDER BY turn
			LIMIT $1
		),
		taken AS (
			INSERT INTO leases (destination_id, dispatch_id, attempt, worker, expires_at)
			SELECT destination_id, id, attempts + 1, $3, now() + make_interval(secs => timeout + $6)
			FROM offered
			ON CONFLICT (destination_id, dispatch_id, attempt) DO UPDATE
				SET worker = excluded.worker, expires_at = excluded.expires_at
				WHERE leases.expires_at <= now()
			RETURNING dispatch_id
		)
		SELECT o.id, o.destination_id, o.config_version, o.rate_limit, o.sequence, o.attempts, o.version, e.data, e.recorded_at
		FROM taken
		JOIN offered o ON o.id = taken.dispatch_id
		JOIN events e ON e.position = o.position
		ORDER BY o.turn`
	)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	ids, counts, allowed := make([]string, len(busy)), make([]int32, len(busy)), make([]*int32, len(busy))
	for i, b := range busy {
		ids[i], counts[i], allowed[i] = string(b.destination), int32(b.inFlight), b.allowed
	}
	var claims []claim
	var q pgx.Batch
	for _, statement := range []string{begin, relax, once, walk} {
		q.Queue(statement)
	}
	q.Queue(query, limit, l.share, l.worker, ids, counts, leaseMargin.Seconds(), allowed, burstsPerSecond).Query(func(rows pgx.Rows) (err error) {
		claims, err = pgx.CollectRows(rows, pgx.RowToStructByName[claim])
		return err
	})
	q.Queue(commit)
	if err := l.pool.SendBatch(ctx, &q).Close(); err != nil {
		return nil, fmt.Errorf("claim dispatches: %w", err)
	}
	return l.confirm(ctx, claims)
}

// confirm returns those claims whose dispatches still stand as they were read, and gives the
// others back. While a claim was on its way, another worker may have leased a dispatch, attempted
// it and given the lease back again; whoever gives back has seen the outcome in the read model, so
// that a look after the lease was taken sees it too.
func (l *leases) confirm(ctx context.Context, claims []claim) ([]claim, error) {
	const query = `
		SELECT c.n
		FROM unnest($1::text[], $2::int[]) WITH ORDINALITY AS c(id, attempts, n)
		JOIN dispatches d ON d.id = c.id AND d.attempts = c.attempts AND d.due IS NOT NULL
		ORDER BY c.n`
	if len(claims) == 0 {
		return nil, nil
	}
	ids, attempts := make([]string, len(claims)), make([]int32, len(claims))
	for i, c := range claims {
		ids[i], attempts[i] = string(c.Dispatch), int32(c.Attempts)
	}
	rows, _ := l.pool.Query(ctx, query, ids, attempts) // CollectRows reports the error
	stand, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil, fmt.Errorf("confirm claims: %w", err)
	}
	confirmed := make([]claim, len(stand))
	for i, n := range stand {
		confirmed[i] = claims[n-1]
	}
	if len(confirmed) == len(claims) {
		return confirmed, nil
	}
	gone := make([]settled, 0, len(claims)-len(confirmed))
	for i, c := range claims {
		if !slices.Contains(stand, i+1) {
			gone = append(gone, settled{claim: c})
		}
	}
	return confirmed, l.release(ctx, gone)
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

// sweep deletes leases that expired long ago, as a worker leaves them that died.
func (l *leases) sweep(ctx context.Context) error {
	const query = `DELETE FROM leases WHERE expires_at < now() - interval '10 minutes'`
	if _, err := l.pool.Exec(ctx, query); err != nil {
		return fmt.Errorf("sweep leases: %w", err)
	}
	return nil
}
