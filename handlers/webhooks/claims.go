package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Bounds of a claim.
const (
	// claimLock is the advisory lock under which claims are made, one after the other over
	// all processes.
	claimLock = 7_310_575_174_993_603_431

	// claimMost bounds how long the lock is held, and what is sent back under it: it must fit
	// a socket's buffer, so that a client which does not read holds nobody up.
	claimMost = 512

	// portionLeast is what each destination offers to a claim at least, however many they are: others may
	// offer nothing, as all that they owe is under way.
	portionLeast = 4

	// startInFlight is how many attempts may be under way to a destination of which none has ended yet. Once the last one
	// failed it is one, until one succeeds.
	startInFlight = 2

	// claimTimeout is not cut short when the worker stops: the claim could have been made
	// all the same, and nobody would give it back.
	claimTimeout = 10 * time.Second

	// leaseMargin is how much longer a lease runs than the attempt may take. It is the time in
	// which an outcome must be recorded, and a bound on how late it is noticed that a worker is away,
	// which does not show otherwise; see presence.
	leaseMargin = 15 * time.Second

	// burstsPerSecond says how much a rate limit lets through at once: a fourth of what a second
	// allows, and one request at least. It is more than what gathers between two polls, and little
	// enough for nobody to notice.
	burstsPerSecond = 4
)

// claim leases dispatches that are due, among those destinations. When it
// fails it returns those that it leased all the same. under tells what this process has under way,
// and how many workers it has left; what other processes have is counted by their leases, but for
// leases of attempts whose outcome the read model shows.
//
// Each destination offers its fresh dispatches and its retries, in order of their due times, as far as
// there is room for them: in its share, which grows with the attempts that succeeded, in its rate limit,
// and among the workers that are free, which all that have something to offer could fill alike. They are
// then taken in turn, destination by destination within an organisation, and organisation by
// organisation; a retry counts as much as four fresh ones, and one that a job replays as sixteen.
// An organisation gets no more workers than remain free, so that however much it has under way, there
// are some for the next; and so do all destinations together that failed last, or never succeeded.
//
// A destination whose breaker is open (see [domain.BreakerOpens]) offers one dispatch, when it may be
// probed: one to be retried, if there is one, so that retries come to an end. The next one is not offered
// before the read model shows what came of it.
//
// A destination that is ordered offers its head: of what it is owed, the dispatch with the lowest
// sequence, however long it still waits to be retried and whatever waits behind it. It has one
// request under way at most. The read model moves on to the next dispatch only when the head's outcome is
// in it, so one that is behind offers the same head again, never the next; the head's lease,
// which is kept until the outcome shows, and the version of its stream keep that from being a repeat.
//
// Claims exclude each other, so that what one of them counts is what it has room for, also
// with many processes. Leases are not waited for on their way to disk: should the database crash,
// those lost are of attempts whose outcome was not recorded either. An attempt that was leased before is looked up
// in the log. The statement is planned once for a
// connection, as a walk of the one index there is for each step: planning it takes four times as long as
// executing it does.
func (l *leases) claim(ctx context.Context, under load, among []string) ([]claim, error) {
	const (
		begin  = `BEGIN`
		relax  = `SET LOCAL synchronous_commit = off`
		once   = `SET LOCAL plan_cache_mode = force_generic_plan`
		walk   = `SET LOCAL enable_seqscan = off`
		lock   = `SELECT pg_advisory_xact_lock($1)`
		commit = `COMMIT`
		query  = `
		WITH owing AS (
			SELECT DISTINCT destination_id FROM unnest($12::text[]) AS touched(destination_id)
		),
		room AS MATERIALIZED (
			SELECT t.destination_id, v.organisation_id, t.version AS config_version,
				coalesce((t.config->>'timeout_seconds')::int, 60) AS timeout, r.tokens,
				t.probe_at IS NOT NULL AS probing, t.failures > 0 OR t.proven = 0 AS suspect, t.ordered,
				least(
					floor(r.tokens)::int, -- null, which least passes over, when there is no rate limit
					CASE
						WHEN t.probe_at > statement_timestamp() THEN 0
						WHEN t.probe_at IS NOT NULL THEN 1
						ELSE least($2, (t.config->>'max_in_flight')::int, CASE WHEN t.proven = 0 AND t.failures > 0 THEN 1 ELSE t.proven + $10 END, CASE WHEN t.ordered THEN 1 END)
					END - CASE WHEN t.probe_at IS NULL THEN coalesce(($4::jsonb->>t.destination_id)::int, 0) ELSE 0 END - (
						SELECT count(*) FROM leases l
						JOIN dispatches d ON d.id = l.dispatch_id AND d.attempts + 1 = l.attempt AND d.due IS NOT NULL
						WHERE l.destination_id = t.destination_id AND l.ends_at > statement_timestamp()
							AND (l.worker <> $3 OR t.probe_at IS NOT NULL)
					)
				) AS free
			FROM owing o
			JOIN dispatch_targets t USING (destination_id)
			JOIN dispatch_deliveries v USING (delivery_id)
			LEFT JOIN rate_buckets b USING (destination_id)
			CROSS JOIN LATERAL (SELECT (t.config->>'rate_limit_per_second')::float8 AS rate) AS c
			CROSS JOIN LATERAL (SELECT CASE WHEN c.rate IS NOT NULL THEN greatest(1, ceil(c.rate / $7)) END AS burst) AS s
			CROSS JOIN LATERAL (
				SELECT least(s.burst, b.tokens + c.rate * extract(epoch FROM statement_timestamp() - b.filled_at)::float8) AS tokens
			) AS r
			WHERE NOT v.paused AND NOT t.disabled AND NOT t.removed
		),
		portions AS (
			SELECT r.*, least(free, greatest($11, $8 / count(*) OVER ())) AS portion
			FROM room r
			WHERE free > 0 AND CASE
				WHEN r.ordered THEN (
					SELECT due FROM dispatches
					WHERE destination_id = r.destination_id AND due IS NOT NULL AND ordered
					ORDER BY sequence LIMIT 1
				)
				ELSE (
					SELECT min(d.due)
					FROM (VALUES (0), (1), (2)) AS l(lane)
					CROSS JOIN LATERAL (
						SELECT due FROM dispatches
						WHERE destination_id = r.destination_id AND lane = l.lane AND due IS NOT NULL
						ORDER BY due LIMIT 1
					) AS d
				)
			END <= statement_timestamp()
		),
		offered AS (
			SELECT *
			FROM (
				SELECT d.*, p.organisation_id, p.config_version, p.timeout, p.suspect, p.portion,
					row_number() OVER (PARTITION BY p.destination_id ORDER BY p.probing AND d.lane = 1 DESC, d.turn) AS place,
					count(*) OVER (PARTITION BY p.destination_id) >= p.portion AS more
				FROM portions p
				CROSS JOIN (VALUES (0, 1), (1, 4), (2, 16)) AS l(lane, weight)
				CROSS JOIN LATERAL (
					SELECT f.*, l.weight * row_number() OVER (ORDER BY f.due, f.sequence) AS turn
					FROM (
						SELECT d.*
						FROM dispatches d
						WHERE NOT p.ordered AND d.destination_id = p.destination_id AND d.lane = l.lane AND d.due <= statement_timestamp()
							AND (
								SELECT count(*) FROM leases
								WHERE destination_id = d.destination_id AND dispatch_id = d.id AND attempt = d.attempts + 1
									AND ends_at > statement_timestamp()
							) = 0 -- not EXISTS, which would be planned as a join, and lose the index' order
						ORDER BY d.due, d.sequence
						LIMIT p.portion
					) AS f
				) AS d
			) AS d
			WHERE place <= portion
			UNION ALL
			SELECT h.*, p.organisation_id, p.config_version, p.timeout, p.suspect, p.portion, 1 AS place, false AS more
			FROM portions p
			CROSS JOIN LATERAL (
				SELECT d.*, CASE d.lane WHEN 0 THEN 1 WHEN 1 THEN 4 ELSE 16 END AS turn
				FROM dispatches d
				WHERE p.ordered AND d.destination_id = p.destination_id AND d.due IS NOT NULL AND d.ordered
				ORDER BY d.sequence LIMIT 1
			) AS h
			WHERE (
				SELECT count(*) FROM leases
				WHERE destination_id = h.destination_id AND dispatch_id = h.id AND attempt = h.attempts + 1
					AND ends_at > statement_timestamp()
			) = 0
		),
		chosen AS (
			SELECT *
			FROM (
				SELECT *,
					row_number() OVER (PARTITION BY organisation_id ORDER BY turn, due) AS organisation_turn,
					row_number() OVER (PARTITION BY suspect ORDER BY turn, due) AS suspect_turn
				FROM offered
			) AS o
			WHERE organisation_turn <= ceil(($1::int - coalesce(($5::jsonb->>organisation_id)::int, 0)) / 2.0)
				AND (NOT suspect OR suspect_turn <= ceil(($1::int - $9) / 2.0))
			ORDER BY CASE WHEN replayed THEN 16 ELSE 1 END * organisation_turn
			LIMIT least($1::int, $8)
		),
		taken AS (
			INSERT INTO leases (destination_id, dispatch_id, attempt, worker, ends_at)
			SELECT destination_id, id, attempts + 1, $3, statement_timestamp() + make_interval(secs => timeout + $6)
			FROM chosen
			ON CONFLICT (destination_id, dispatch_id, attempt) DO UPDATE
				SET worker = excluded.worker, ends_at = excluded.ends_at
		),
		spent AS (
			INSERT INTO rate_buckets (destination_id, tokens, filled_at)
			SELECT destination_id, r.tokens - count(*), statement_timestamp()
			FROM chosen
			JOIN room r USING (destination_id)
			WHERE r.tokens IS NOT NULL
			GROUP BY destination_id, r.tokens
			ON CONFLICT (destination_id) DO UPDATE SET tokens = excluded.tokens, filled_at = excluded.filled_at
		)
		SELECT id, destination_id, delivery_id, organisation_id, ordered, more, suspect, config_version, sequence, attempts, base, version, coalesce(source, position) AS position,
			source IS NOT NULL AS backfilled,
			(
				SELECT count(*) FROM leases
				WHERE destination_id = c.destination_id AND dispatch_id = c.id AND attempt = c.attempts + 1
			) > 0 AS again
		FROM chosen c
		ORDER BY organisation_turn`
	)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	var claims []claim
	var q pgx.Batch
	for _, statement := range []string{begin, relax, once, walk} {
		q.Queue(statement)
	}
	q.Queue(lock, claimLock)
	q.Queue(query, under.free, l.share, l.worker, under.destinations, under.organisations, leaseMargin.Seconds(), burstsPerSecond,
		claimMost, under.suspects, startInFlight, portionLeast, among,
	).Query(func(rows pgx.Rows) (err error) {
		claims, err = pgx.CollectRows(rows, pgx.RowToStructByName[claim])
		return err
	})
	q.Queue(commit)
	if err := l.pool.SendBatch(ctx, &q).Close(); err != nil {
		return nil, fmt.Errorf("claim dispatches: %w", err)
	}
	if err := l.settle(ctx, claims); err != nil {
		return claims, err
	}
	return claims, l.fill(ctx, claims)
}
