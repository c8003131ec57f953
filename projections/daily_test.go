package projections_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/domain/rules"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// A reasonRow names a row of reasons.
type reasonRow struct {
	Delivery    domain.DeliveryID
	Destination domain.DestinationID
	Day         string
	Kind        projections.ReasonKind
	Reason      string
}

// reasons are how often what happened for which reason, told in plain Go, an event after the other.
type reasons struct {
	counts   map[reasonRow]int64
	distinct map[reasonRow]int                // of a kind, destination and day: rows without a reason
	required map[domain.DeliveryID][][]string // by version of the rules, from 1
}

// give counts a reason: by itself, if it is among the first hundred of its day.
func (r *reasons) give(row reasonRow) {
	group := row
	group.Reason = ""
	if r.counts[row] == 0 {
		if r.distinct[group] == 100 {
			row = group
		} else {
			r.distinct[group]++
		}
	}
	r.counts[row]++
}

// add adds one event.
func (r *reasons) add(rec eventstore.Record, event eventstore.Event) {
	day := rec.RecordedAt.UTC().Format(time.DateOnly)
	switch e := event.(type) {
	case domain.RulesSet:
		var required []string
		for _, rule := range e.Rules {
			if rule.Required {
				required = append(required, rule.Name)
			}
		}
		for int64(len(r.required[e.Delivery])) < int64(rec.Version) {
			r.required[e.Delivery] = append(r.required[e.Delivery], nil)
		}
		r.required[e.Delivery][rec.Version-1] = required
	case domain.CompanyQualified:
		for i, reason := range e.MatchReasons {
			if !slices.Contains(e.MatchReasons[:i], reason) {
				r.give(reasonRow{e.Delivery, "", day, projections.Matched, reason})
			}
		}
	case domain.CompanyDisqualified:
		if e.Excluded != nil {
			reason := e.Excluded.Reason
			if reason == "" {
				reason = e.Excluded.Value
			}
			r.give(reasonRow{e.Delivery, "", day, projections.Excluded, reason})
			return
		}
		unmet := 0
		for _, v := range e.Verdicts {
			if !v.Met && slices.Contains(r.required[e.Delivery][e.Profile-1], v.Rule) {
				unmet++
				r.give(reasonRow{e.Delivery, "", day, projections.RuleNotMet, v.Rule})
			}
		}
		if unmet == 0 {
			r.give(reasonRow{e.Delivery, "", day, projections.BelowThreshold, "score too low"})
		}
	case domain.AttemptFailed:
		r.give(reasonRow{e.Delivery, e.Destination, day, projections.AttemptFailed, string(domain.CauseOf(e.Status, e.Error))})
	case domain.DispatchFailed:
		r.give(reasonRow{e.Delivery, e.Destination, day, projections.DispatchFailed, string(domain.CauseOf(0, e.Error))})
	}
}

// reasonsOf returns what records add up to.
func reasonsOf(t require.TestingT, b *bundle, records []eventstore.Record) map[reasonRow]int64 {
	r := &reasons{map[reasonRow]int64{}, map[reasonRow]int{}, map[domain.DeliveryID][][]string{}}
	for _, rec := range records {
		event, err := b.store.Registry().Decode(rec)
		require.NoError(t, err)
		r.add(rec, event)
	}
	return r.counts
}

// shownReasons returns the rows of the table.
func shownReasons(t require.TestingT, b *bundle) map[reasonRow]int64 {
	const query = `SELECT delivery_id, destination_id, day::text, kind, reason, count FROM reasons`
	shown := map[reasonRow]int64{}
	var row reasonRow
	var count int64
	rows, _ := b.pool.Query(context.Background(), query)
	_, err := pgx.ForEachRow(rows, []any{&row.Delivery, &row.Destination, &row.Day, &row.Kind, &row.Reason, &count}, func() error {
		shown[row] = count
		return nil
	})
	require.NoError(t, err)
	return shown
}

// checkDaily holds the daily statistics, and the reasons, against the log.
func checkDaily(t require.TestingT, b *bundle, l *ledger, records []eventstore.Record) {
	require.Equal(t, reasonsOf(t, b, records), shownReasons(t, b))
	const query = `
		SELECT delivery_id, destination_id, day, handed_over, delivered, failed, attempts, failed_attempts, disqualified,
			coalesce(time_to_deliver_ms(times, 50), 0), coalesce(time_to_deliver_ms(times, 95), 0), coalesce(time_to_deliver_ms(times, 99), 0)
		FROM daily`
	rows, _ := b.pool.Query(context.Background(), query)
	var r projections.StatsRange
	var got projections.Stat
	var disqualified, sum int64
	var p50, p95, p99 float64
	_, err := pgx.ForEachRow(rows, []any{
		&r.Delivery, &r.Destination, &r.From, &got.HandedOver, &got.Delivered, &got.Failed, &got.Attempts, &got.FailedAttempts, &disqualified,
		&p50, &p95, &p99,
	}, func() error {
		r.To, r.Bucket = r.From.AddDate(0, 0, 1), 24*time.Hour
		want, _ := counted(t, b, records, r)
		require.Equal(t, want, got)
		hourly, _, err := b.views.Stats(context.Background(), r)
		require.NoError(t, err)
		for shown, quantile := range map[float64]time.Duration{p50: hourly.Times.P50, p95: hourly.Times.P95, p99: hourly.Times.P99} {
			require.InDelta(t, float64(quantile.Microseconds())/1000, shown, 0)
		}
		sum += got.HandedOver + got.Attempts + got.Failed + disqualified
		return nil
	})
	require.NoError(t, err)
	var all, judged int64
	for id := range l.deliveries {
		for _, dst := range append([]domain.DestinationID{""}, l.destinationsOf(id)...) {
			want, _ := counted(t, b, records, projections.StatsRange{Delivery: id, Destination: dst, To: time.Unix(1<<35, 0)})
			all += want.HandedOver + want.Attempts + want.Failed
		}
	}
	for _, rec := range records {
		if rec.Type == (domain.CompanyDisqualified{}).EventType() {
			judged++
		}
	}
	require.Equal(t, all+judged, sum, "and there is no row too few")
}

// destinationsOf returns the webhooks that a delivery has, or had.
func (l *ledger) destinationsOf(id domain.DeliveryID) (all []domain.DestinationID) {
	for _, t := range l.targets {
		if t.delivery == id {
			all = append(all, t.ID)
		}
	}
	return all
}

func TestReasonsAreThoseOfTheLogWhereverItIsCut(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	rapid.Check(t, func(rt *rapid.T) {
		b.reset(rt)
		appendReasons(rt, b)
		head, err := b.store.Head(rt.Context())
		require.NoError(rt, err)
		records, err := eventstore.ReadPage(rt.Context(), b.pool, 1, head)
		require.NoError(rt, err)
		want := reasonsOf(rt, b, records)
		for name, cut := range map[string]func(int) int{
			"whole": func(left int) int { return left }, "an event at a time": func(int) int { return 1 },
			"in pages of any length": func(left int) int { return rapid.IntRange(1, left).Draw(rt, "cut") },
		} {
			build(rt, b, projections.Daily(), cut)
			require.Equal(rt, want, shownReasons(rt, b), name)
		}
	})
}

// appendReasons draws events with reasons, often more than are counted one by one.
func appendReasons(t *rapid.T, b *bundle) {
	const delivery, destination = domain.DeliveryID("dcf_1"), domain.DestinationID("dst_1")
	h := &history{bundle: b}
	profiles := []int64{}
	var version eventstore.Version
	for n := range rapid.IntRange(1, 25).Draw(t, "events") {
		stream, before := fmt.Sprint("stream/", n), eventstore.Version(0)
		var event eventstore.Event
		switch rapid.SampledFrom([]string{"qualified", "qualified", "qualified", "rules", "judged", "judged", "excluded", "attempt", "dispatch", "wait"}).Draw(t, "event") {
		case "qualified":
			first := rapid.IntRange(0, 200).Draw(t, "first reason")
			list := make([]string, rapid.IntRange(0, 80).Draw(t, "reasons"))
			for i := range list {
				list[i] = fmt.Sprint("reason ", (first+i*rapid.SampledFrom([]int{1, 1, 1, 0}).Draw(t, "another"))%230)
			}
			event = domain.CompanyQualified{Delivery: delivery, Company: json.RawMessage(`{}`), Prospects: json.RawMessage(`[]`), MatchReasons: list}
		case "rules":
			list := make([]rules.Rule, rapid.IntRange(0, 4).Draw(t, "rules"))
			for i := range list {
				list[i] = rules.Rule{Name: string(rune('a' + i)), Required: rapid.Bool().Draw(t, "required")}
			}
			stream, before, version = domain.DeliveryStream(delivery), version, version+1
			profiles, event = append(profiles, int64(version)), domain.RulesSet{Delivery: delivery, Rules: list}
		case "judged":
			if len(profiles) == 0 {
				continue
			}
			verdicts := make([]rules.Verdict, 4)
			for i := range verdicts {
				verdicts[i] = rules.Verdict{Rule: string(rune('a' + i)), Met: rapid.Bool().Draw(t, "met")}
			}
			event = domain.CompanyDisqualified{
				Delivery: delivery, Company: json.RawMessage(`{}`), Prospects: json.RawMessage(`[]`),
				Profile: rapid.SampledFrom(profiles).Draw(t, "profile"), Verdicts: verdicts,
			}
		case "excluded":
			event = domain.CompanyDisqualified{
				Delivery: delivery, Company: json.RawMessage(`{}`), Prospects: json.RawMessage(`[]`), Verdicts: []rules.Verdict{},
				Excluded: &domain.Excluded{Value: "a.example", Reason: rapid.SampledFrom([]string{"", "A customer"}).Draw(t, "reason")},
			}
		case "attempt":
			event = domain.AttemptFailed{
				Attempt: domain.Attempt{Delivery: delivery, Destination: destination, Status: rapid.SampledFrom([]int{0, 404, 503}).Draw(t, "status")},
				Error:   rapid.SampledFrom([]string{"the connection was refused", "no complete answer within 1s", "?"}).Draw(t, "error"),
			}
		case "dispatch":
			event = domain.DispatchFailed{Delivery: delivery, Destination: destination, Error: "the destination answered 410 Gone"}
		case "wait":
			h.wait(t, 0)
			continue
		}
		_, err := b.store.Append(t.Context(), eventstore.Append{Stream: stream, Expected: before, Events: []eventstore.Event{event}})
		require.NoError(t, err)
	}
}

func TestReasonsOfARangeAreTheMostFrequentOfItsDays(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	for n, list := range [][]string{{"a", "b", "c"}, {"a", "b"}, {"a", "d"}, {"z"}, {"y"}} {
		_, err := b.store.Append(t.Context(), eventstore.Append{Stream: fmt.Sprint("stream/", n), Events: []eventstore.Event{domain.CompanyQualified{
			Delivery: "dcf_1", Company: json.RawMessage(`{}`), Prospects: json.RawMessage(`[]`), MatchReasons: list,
		}}})
		require.NoError(t, err)
	}
	for n, dst := range []domain.DestinationID{"dst_1", "dst_1", "dst_2"} {
		_, err := b.store.Append(t.Context(), eventstore.Append{Stream: fmt.Sprint("dispatch/", n), Events: []eventstore.Event{domain.AttemptFailed{
			Attempt: domain.Attempt{Delivery: "dcf_1", Destination: dst, Status: http.StatusNotFound}, Error: "it failed",
		}}})
		require.NoError(t, err)
	}
	b.follow(t)
	now := time.Now().UTC().Truncate(time.Hour)
	today := projections.StatsRange{Delivery: "dcf_1", From: now.Add(-time.Hour), To: now.Add(time.Hour)}
	found, err := b.views.Reasons(t.Context(), today, 3)
	require.NoError(t, err)
	require.Equal(t, projections.Reasons{
		projections.Matched: {Items: []projections.ReasonCount{{Reason: "a", Count: 3}, {Reason: "b", Count: 2}, {Reason: "c", Count: 1}}, Other: 3},
		projections.AttemptFailed: {Items: []projections.ReasonCount{
			{Reason: "status_404", Destination: "dst_1", Count: 2}, {Reason: "status_404", Destination: "dst_2", Count: 1},
		}},
	}, found)

	today.Destination = "dst_2"
	found, err = b.views.Reasons(t.Context(), today, 3)
	require.NoError(t, err)
	require.Equal(t, projections.Reasons{
		projections.AttemptFailed: {Items: []projections.ReasonCount{{Reason: "status_404", Destination: "dst_2", Count: 1}}},
	}, found, "of a destination")

	today.From, today.To = now.AddDate(0, 0, -3), now.AddDate(0, 0, -2)
	found, err = b.views.Reasons(t.Context(), today, 3)
	require.NoError(t, err)
	require.Empty(t, found, "of other days")
}

func TestReasonOfAnyLengthAndKindIsCounted(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	long := strings.Repeat("ü", 3000)
	_, err := b.store.Append(t.Context(), eventstore.Append{Stream: "stream", Events: []eventstore.Event{domain.CompanyQualified{
		Delivery: "dcf_1", Company: json.RawMessage(`{}`), Prospects: json.RawMessage(`[]`), MatchReasons: []string{long, "a\x00b", "", "'", `"\`},
	}}})
	require.NoError(t, err)
	b.follow(t)
	var shown []string
	for row := range shownReasons(t, b) {
		shown = append(shown, row.Reason)
	}
	require.ElementsMatch(t, []string{long[:1000], "a\uFFFDb", "'", `"\`}, shown)
}

// checkTotals holds the statistics of organisations against those of their deliveries.
func checkTotals(t require.TestingT, b *bundle, l *ledger, records []eventstore.Record) {
	from, to := records[0].RecordedAt.Truncate(24*time.Hour), records[len(records)-1].RecordedAt.Truncate(24*time.Hour).Add(24*time.Hour)
	for _, o := range []domain.OrganisationID{org, other} {
		for _, bucket := range []time.Duration{time.Hour, 24 * time.Hour} {
			r := projections.StatsRange{From: from, To: to, Bucket: bucket}
			total, buckets, deliveries, err := b.views.Totals(context.Background(), o, r)
			require.NoError(t, err)
			shown := map[domain.DeliveryID]projections.Stat{}
			for i, d := range deliveries {
				shown[d.Delivery] = d.Stat
				require.True(t, i == 0 || deliveries[i-1].HandedOver >= d.HandedOver, "the busiest come first")
			}
			var want projections.Stat
			sums := make([]projections.Stat, len(buckets))
			for id, d := range l.deliveries {
				if d.Organisation != o {
					require.NotContains(t, shown, id)
					continue
				}
				r.Delivery = id
				whole, parts, err := b.views.Stats(context.Background(), r)
				require.NoError(t, err)
				require.Equal(t, whole, shown[id])
				addStat(&want, whole)
				for i, part := range parts {
					addStat(&sums[i], part)
				}
			}
			require.Equal(t, want, withoutTimes(total))
			for i := range buckets {
				require.Equal(t, sums[i], withoutTimes(buckets[i]))
			}
		}
	}
}

// addStat adds what is counted.
func addStat(sum *projections.Stat, s projections.Stat) {
	sum.HandedOver += s.HandedOver
	sum.Delivered += s.Delivered
	sum.Failed += s.Failed
	sum.Attempts += s.Attempts
	sum.FailedAttempts += s.FailedAttempts
	sum.Times.Count += s.Times.Count
}

// withoutTimes returns a statistic with the number of its times alone.
func withoutTimes(s projections.Stat) projections.Stat {
	s.Times = projections.DeliveryTimes{Count: s.Times.Count}
	return s
}
