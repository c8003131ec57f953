package projections

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
)

// A ReasonKind says what something was a reason for.
type ReasonKind string

// The kinds of reasons.
const (
	Matched        ReasonKind = "matched"         // of a company that was handed over: a match reason
	RuleNotMet     ReasonKind = "rule_not_met"    // of one that was disqualified: the name of a required rule
	BelowThreshold ReasonKind = "below_threshold" // of one that met what is required: that its score was too low
	Excluded       ReasonKind = "excluded"        // of one that was: what for, or by what where nobody said
	AttemptFailed  ReasonKind = "attempt_failed"  // a domain.Cause
	DispatchFailed ReasonKind = "dispatch_failed" // the domain.Cause of its last attempt
)

// Bounds of reasons.
const (
	reasonsOfDay  = 100 // of a kind and destination that have rows of their own
	longestReason = 500 // characters
	turnsOfEvent  = 1 << 16
)

// scoreTooLow is the one reason of those below the threshold.
const scoreTooLow = "score too low"

// A reasonKey names a row.
type reasonKey struct {
	delivery    domain.DeliveryID
	destination domain.DestinationID // "": it is about the delivery
	day         int64                // since 1970
	kind        ReasonKind
	reason      string
}

// A judgedKey names companies that were disqualified by the same verdicts.
type judgedKey struct {
	delivery domain.DeliveryID
	day      int64
	profile  int64
	unmet    string // names of the rules that were not met, a list in JSON
}

// A reasonCount says how often there was a reason, and when first: its turn among all reasons in the log.
type reasonCount struct{ count, turn int64 }

// A reasonRun is what a run of events adds. Which of the rules had to be met only the database knows.
type reasonRun struct {
	given  map[reasonKey]reasonCount
	judged map[judgedKey]reasonCount
}

// newReasonRun returns a run of no events.
func newReasonRun() reasonRun {
	return reasonRun{map[reasonKey]reasonCount{}, map[judgedKey]reasonCount{}}
}

// add adds an event to the run.
func (r reasonRun) add(entry Entry) {
	day := entry.RecordedAt.Unix() / int64(24*time.Hour/time.Second)
	turn := int64(entry.Position) * turnsOfEvent
	give := func(turn int64, delivery domain.DeliveryID, destination domain.DestinationID, kind ReasonKind, reason string) {
		if reason != "" {
			once(r.given, reasonKey{delivery, destination, day, kind, shortReason(reason)}, turn)
		}
	}
	switch e := entry.Event.(type) {
	case domain.CompanyQualified:
		for i, reason := range e.MatchReasons {
			if !slices.Contains(e.MatchReasons[:i], reason) {
				give(turn+int64(i), e.Delivery, "", Matched, reason)
			}
		}
	case domain.CompanyDisqualified:
		if e.Excluded != nil {
			give(turn, e.Delivery, "", Excluded, cmp.Or(e.Excluded.Reason, e.Excluded.Value))
			return
		}
		unmet := []string{}
		for _, v := range e.Verdicts {
			if !v.Met {
				unmet = append(unmet, shortReason(v.Rule))
			}
		}
		list, _ := json.Marshal(unmet) // texts always marshal
		once(r.judged, judgedKey{e.Delivery, day, e.Profile, string(list)}, turn)
	case domain.AttemptFailed:
		give(turn, e.Delivery, e.Destination, AttemptFailed, string(domain.CauseOf(e.Status, e.Error)))
	case domain.DispatchFailed:
		give(turn, e.Delivery, e.Destination, DispatchFailed, string(domain.CauseOf(0, e.Error)))
	}
}

// once counts one more of a key, which may be the first.
func once[K comparable](counts map[K]reasonCount, key K, turn int64) {
	c, ok := counts[key]
	if !ok {
		c.turn = turn
	}
	c.count++
	counts[key] = c
}

// shortReason returns a reason as the table can have it: an index takes no text of any length, and no text takes a zero.
func shortReason(reason string) string {
	reason = strings.ToValidUTF8(strings.ReplaceAll(reason, "\x00", "\uFFFD"), "\uFFFD")
	if runes := []rune(reason); len(reason) > longestReason && len(runes) > longestReason {
		return string(runes[:longestReason])
	}
	return reason
}

// flush queues the rows that the run changes, and begins another.
func (r reasonRun) flush(batch *pgx.Batch) {
	const add = `
		WITH judged AS MATERIALIZED (
			SELECT j.*, coalesce(r.required, '{}') AS required
			FROM json_to_recordset($8) AS j(delivery_id text, day date, version bigint, unmet text[], count bigint, turn bigint)
			LEFT JOIN daily_rules r USING (delivery_id, version)
		),
		page AS (
			SELECT delivery_id, destination_id, day, kind, reason, sum(count) AS count, min(turn) AS turn
			FROM (
				SELECT *
				FROM unnest($1::text[], $2::text[], $3::date[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
					AS g(delivery_id, destination_id, day, kind, reason, count, turn)
				UNION ALL
				SELECT j.delivery_id, '', j.day, 'rule_not_met', u.rule, j.count, j.turn + u.n
				FROM judged j
				CROSS JOIN LATERAL unnest(j.unmet) WITH ORDINALITY AS u(rule, n)
				WHERE u.rule = ANY (j.required)
				UNION ALL
				SELECT delivery_id, '', day, 'below_threshold', $9, count, turn
				FROM judged
				WHERE NOT unmet && required
			) AS all_reasons
			GROUP BY delivery_id, destination_id, day, kind, reason
		),
		sought AS MATERIALIZED (
			SELECT p.*, (
					SELECT count(*) FROM reasons r
					WHERE r.delivery_id = p.delivery_id AND r.day = p.day AND r.kind = p.kind AND r.destination_id = p.destination_id AND r.reason = p.reason
				) > 0 AS known
			FROM page p
		),
		groups AS MATERIALIZED (
			SELECT g.*, (
					SELECT count(*) FROM reasons r
					WHERE r.delivery_id = g.delivery_id AND r.day = g.day AND r.kind = g.kind AND r.destination_id = g.destination_id AND r.reason <> ''
				) AS size
			FROM (SELECT DISTINCT delivery_id, destination_id, day, kind FROM sought WHERE NOT known) AS g
		)
		INSERT INTO reasons AS r (delivery_id, destination_id, day, kind, reason, count)
		SELECT delivery_id, destination_id, day, kind, own, sum(count)
		FROM (
			SELECT s.*, CASE
					WHEN s.known THEN s.reason
					WHEN g.size + row_number() OVER (PARTITION BY s.known, delivery_id, destination_id, day, kind ORDER BY s.turn) <= $10 THEN s.reason
					ELSE ''
				END AS own
			FROM sought s
			LEFT JOIN groups g USING (delivery_id, destination_id, day, kind)
		) AS placed
		GROUP BY delivery_id, destination_id, day, kind, own
		ON CONFLICT (delivery_id, day, kind, destination_id, reason) DO UPDATE
		SET count = r.count + excluded.count`
	if len(r.given)+len(r.judged) == 0 {
		return
	}
	var g givenColumns
	for key, c := range r.given {
		g.add(key, c)
	}
	judged := make([]judgedRow, 0, len(r.judged))
	for key, c := range r.judged {
		judged = append(judged, judgedRow{key.delivery, dayOf(key.day).Format(time.DateOnly), key.profile, json.RawMessage(key.unmet), c.count, c.turn})
	}
	batch.Queue(add, g.deliveries, g.destinations, g.days, g.kinds, g.reasons, g.counts, g.turns, judged, scoreTooLow, reasonsOfDay)
	clear(r.given)
	clear(r.judged)
}

// givenColumns are counts of reasons turned on their side.
type givenColumns struct {
	deliveries, destinations, kinds, reasons []string
	days                                     []time.Time
	counts, turns                            []int64
}

// add adds a count.
func (g *givenColumns) add(key reasonKey, c reasonCount) {
	g.deliveries = append(g.deliveries, string(key.delivery))
	g.destinations = append(g.destinations, string(key.destination))
	g.days = append(g.days, dayOf(key.day))
	g.kinds = append(g.kinds, string(key.kind))
	g.reasons = append(g.reasons, key.reason)
	g.counts = append(g.counts, c.count)
	g.turns = append(g.turns, c.turn)
}

// A judgedRow is a count of verdicts.
type judgedRow struct {
	Delivery domain.DeliveryID `json:"delivery_id"`
	Day      string            `json:"day"`
	Profile  int64             `json:"version"`
	Unmet    json.RawMessage   `json:"unmet"`
	Count    int64             `json:"count"`
	Turn     int64             `json:"turn"`
}

// dayOf returns the begin of a day since 1970.
func dayOf(n int64) time.Time { return time.Unix(0, 0).UTC().AddDate(0, 0, int(n)) }

// Reasons are how often what happened for which reason, of each kind the most frequent.
type Reasons map[ReasonKind]ReasonCounts

// ReasonCounts are the reasons of a kind.
type ReasonCounts struct {
	Items []ReasonCount // the most frequent first
	Other int64         // all others together
}

// A ReasonCount says how often there was a reason.
type ReasonCount struct {
	Reason      string
	Destination domain.DestinationID // "": it is about the delivery
	Count       int64
}

// Reasons returns the reasons of a delivery on the days that a range touches, of each kind limit at most; of a destination
// what failed to it. It costs a row for each day and reason.
func (v *Views) Reasons(ctx context.Context, r StatsRange, limit int) (Reasons, error) {
	const query = `
		WITH sums AS (
			SELECT kind, destination_id, reason, sum(count)::bigint AS count
			FROM reasons
			WHERE delivery_id = $1 AND day >= $2 AND day <= $3 AND ($4 = '' OR destination_id = $4)
			GROUP BY kind, destination_id, reason
		),
		ranked AS (
			SELECT *, reason <> '' AND row_number() OVER (PARTITION BY kind ORDER BY reason = '', count DESC, reason, destination_id) <= $5 AS shown
			FROM sums
		)
		SELECT kind, destination_id, reason, count FROM ranked WHERE shown
		UNION ALL
		SELECT kind, '', '', sum(count)::bigint FROM ranked WHERE NOT shown GROUP BY kind
		ORDER BY kind, count DESC, reason, destination_id`
	found := Reasons{}
	var kind ReasonKind
	var c ReasonCount
	rows, _ := v.pool.Query(ctx, query, r.Delivery, r.From.UTC(), r.To.Add(-1).UTC(), r.Destination, limit) // ForEachRow reports the error
	_, err := pgx.ForEachRow(rows, []any{&kind, &c.Destination, &c.Reason, &c.Count}, func() error {
		of := found[kind]
		if c.Reason == "" {
			of.Other = c.Count
		} else {
			of.Items = append(of.Items, c)
		}
		found[kind] = of
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("view reasons of %s: %w", r.Delivery, err)
	}
	return found, nil
}
