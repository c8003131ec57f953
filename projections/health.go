package projections

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
)

// health is what a run of outcomes says of destinations.
type health map[domain.DestinationID]*streak

// A streak is what a run of outcomes says of one destination. The attempts that failed before
// one succeeded go on from those before the run; the rest is known from the run alone.
type streak struct {
	Destination domain.DestinationID `json:"destination_id"`
	Succeeded   int                  `json:"succeeded"` // attempts
	Proven      int                  `json:"proven"`    // of them, since the breaker was last seen to open
	Opened      bool                 `json:"opened"`    // it was
	FailedAt    *time.Time           `json:"failed_at"` // the last attempt that did

	// Of the attempts in a row, after the first success, by which the breaker first opened with a company missed: when
	// the first came to nothing.
	BrokenSince *time.Time `json:"broken_since"`

	// Before the first success, and after the last one.
	LedFailures    int        `json:"led_failures"`
	LedExhausted   int        `json:"led_exhausted"`
	LedMissed      bool       `json:"led_missed"` // a company
	LedSince       *time.Time `json:"led_since"`
	EndedFailures  int        `json:"ended_failures"`
	EndedExhausted int        `json:"ended_exhausted"`
	EndedMissed    bool       `json:"ended_missed"`
	EndedSince     *time.Time `json:"ended_since"`
}

// of returns the streak of a destination.
func (h *health) of(id domain.DestinationID) *streak {
	if *h == nil {
		*h = health{}
	}
	s := (*h)[id]
	if s == nil {
		s = &streak{Destination: id}
		(*h)[id] = s
	}
	return s
}

// succeed adds an attempt that succeeded.
func (s *streak) succeed() {
	s.Succeeded++
	s.Proven++
	s.EndedFailures, s.EndedExhausted, s.EndedMissed, s.EndedSince = 0, 0, false, nil
}

// fail adds an attempt that came to nothing, and was to tell of a company or not.
func (s *streak) fail(at time.Time, company bool) {
	failures, missed, since := &s.LedFailures, &s.LedMissed, &s.LedSince
	if s.Succeeded > 0 {
		failures, missed, since = &s.EndedFailures, &s.EndedMissed, &s.EndedSince
	}
	*missed = *missed || company
	if *failures++; *failures >= domain.BreakerOpens {
		s.Opened, s.Proven = true, 0
	}
	if *since == nil {
		*since = &at
	}
	s.FailedAt = &at
	if s.BrokenSince == nil && s.EndedMissed && s.EndedFailures >= domain.BreakerOpens {
		s.BrokenSince = s.EndedSince
	}
}

// exhaust adds a dispatch that failed for good.
func (s *streak) exhaust() {
	if s.Succeeded > 0 {
		s.EndedExhausted++
	} else {
		s.LedExhausted++
	}
}

// anew is what makes a destination one of which nothing is known, but for what it is to recover from.
const anew = `, failures = 0, missed = false, failing_since = NULL, probe_at = NULL, proven = 0, exhausted = 0, given_up = NULL`

// broken is since when a destination fails that is to recover from that: if what it failed by were operational
// webhooks alone it is not, or recoveries would owe webhooks, which would fail and recover, and so on.
const broken = `CASE WHEN missed AND (probe_at IS NOT NULL OR disabled) THEN failing_since END`

// flush queues what the run changes, and begins another.
func (h *health) flush(batch *pgx.Batch) {
	const query = `
		UPDATE dispatch_targets t
		SET failures = n.failures,
			failing_since = n.since,
			probe_at = CASE
				WHEN n.failures < $2 THEN NULL
				WHEN s.failed_at IS NULL THEN t.probe_at
				ELSE s.failed_at + least($4, greatest($3, s.failed_at - n.since))
			END,
			proven = CASE WHEN s.opened OR t.failures + s.led_failures >= $2 THEN s.proven ELSE t.proven + s.proven END,
			exhausted = CASE WHEN s.succeeded > 0 THEN s.ended_exhausted ELSE t.exhausted + s.led_exhausted END,
			missed = CASE WHEN s.succeeded > 0 THEN s.ended_missed ELSE t.missed OR s.led_missed END,
			broken_since = coalesce(
				t.broken_since,
				CASE WHEN t.failures + s.led_failures >= $2 AND (t.missed OR s.led_missed) THEN coalesce(t.failing_since, s.led_since) END,
				s.broken_since
			),
			mended = s.proven > 0 OR t.mended AND NOT s.opened AND t.failures + s.led_failures < $2
		FROM json_to_recordset($1) AS s(destination_id text, succeeded int, proven int, opened boolean, failed_at timestamptz, broken_since timestamptz,
			led_failures int, led_exhausted int, led_missed boolean, led_since timestamptz,
			ended_failures int, ended_exhausted int, ended_missed boolean, ended_since timestamptz)
		JOIN dispatch_targets o USING (destination_id)
		CROSS JOIN LATERAL (
			SELECT
				CASE WHEN s.succeeded > 0 THEN s.ended_failures ELSE o.failures + s.led_failures END AS failures,
				CASE WHEN s.succeeded > 0 THEN s.ended_since ELSE coalesce(o.failing_since, s.led_since) END AS since
		) AS n
		WHERE t.destination_id = s.destination_id`
	if len(*h) > 0 {
		streaks := slices.Collect(maps.Values(*h))
		batch.Queue(query, streaks, domain.BreakerOpens, domain.BreakerFirstWait, domain.BreakerLastWait)
	}
	*h = nil
}

// Health says how a destination has answered of late, and what is owed to it.
type Health struct {
	Breaker      domain.BreakerState
	Failures     int        // attempts in a row that came to nothing
	FailingSince *time.Time // when the first of them was recorded
	ProbeAt      *time.Time // when one attempt may be made again; nil: the breaker is closed
	Exhausted    int        // dispatches that failed for good since an attempt last succeeded
	Counts       Counts     // of its dispatches
	OldestDue    *time.Time // when the first attempt that is owed was due, or will be; nil: none is owed
}

// Health returns the health of a webhook destination, or a NotFound error.
func (v *Views) Health(ctx context.Context, id domain.DestinationID) (Health, error) {
	const query = `
		SELECT CASE WHEN t.probe_at IS NULL THEN 'closed' WHEN t.probe_at > now() THEN 'open' ELSE 'half_open' END,
			t.failures, t.failing_since, t.probe_at, t.exhausted,
			CASE WHEN held THEN 0 ELSE t.pending END, CASE WHEN held THEN 0 ELSE t.retrying END,
			CASE WHEN held THEN t.pending + t.retrying ELSE 0 END, t.delivered, t.failed, t.cancelled,
			(
				SELECT min(d.due)
				FROM (VALUES (0), (1), (2)) AS l(lane)
				CROSS JOIN LATERAL (
					SELECT due FROM dispatches
					WHERE destination_id = t.destination_id AND lane = l.lane AND due IS NOT NULL
					ORDER BY due LIMIT 1
				) AS d
			)
		FROM dispatch_targets t
		JOIN dispatch_deliveries v USING (delivery_id)
		CROSS JOIN LATERAL (SELECT v.paused OR t.disabled AS held) AS h
		WHERE t.destination_id = $1 AND NOT t.removed`
	var h Health
	var pending, retrying, held, delivered, failed, cancelled int64
	err := v.pool.QueryRow(ctx, query, id).Scan(&h.Breaker, &h.Failures, &h.FailingSince, &h.ProbeAt, &h.Exhausted,
		&pending, &retrying, &held, &delivered, &failed, &cancelled, &h.OldestDue)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return h, domain.Errorf(domain.NotFound, "DESTINATION_NOT_FOUND", "there is no webhook destination %s", id)
	case err != nil:
		return h, fmt.Errorf("view health of %s: %w", id, err)
	}
	h.Counts = Counts{
		domain.Pending: pending, domain.Retrying: retrying, domain.Held: held,
		domain.Delivered: delivered, domain.Failed: failed, domain.Cancelled: cancelled,
	}
	return h, nil
}
