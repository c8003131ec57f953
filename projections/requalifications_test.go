package projections_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/domain/rules"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// checkRequalifications holds the views of requalifications, and of what they look at, against the log.
func checkRequalifications(t *rapid.T, b *bundle, records []eventstore.Record, head eventstore.Position) {
	ctx := context.Background()
	jobs := map[domain.RequalificationID]domain.Requalification{}
	for _, rec := range records {
		event, err := b.store.Registry().Decode(rec)
		require.NoError(t, err)
		for _, id := range []domain.RequalificationID{"rql_1", "rql_2"} {
			if rec.Stream == domain.RequalificationStream(id) {
				jobs[id] = jobs[id].Evolve(event.(domain.Event))
			}
		}
	}
	var running []domain.RequalificationID
	for id, job := range jobs {
		got, err := b.views.Requalification(ctx, job.Delivery, id)
		require.NoError(t, err)
		job.Progress.Number = 0 // is nobody's business
		require.Equal(t, []any{job.Status, job.Profile, job.Progress}, []any{got.Status, got.Profile, got.Progress})
		require.Equal(t, job.Status == domain.RequalificationRunning, got.EndedAt == nil)
		require.Equal(t, job.Status == domain.RequalificationStopped, got.Obstacle == domain.RulesChanged)
		if job.Status == domain.RequalificationRunning {
			running = append(running, id)
		}
	}
	got, err := b.views.RunningRequalifications(ctx, 10)
	require.NoError(t, err)
	require.ElementsMatch(t, running, got)

	at := func(name string) *time.Time {
		return new(rapid.SampledFrom(records).Draw(t, name).RecordedAt)
	}
	for _, rec := range records {
		if rec.Type != "delivery.created" {
			continue
		}
		var created domain.DeliveryCreated
		require.NoError(t, json.Unmarshal(rec.Data, &created))
		upTo := eventstore.Position(rapid.Int64Range(0, int64(head)).Draw(t, "up to"))
		for _, filter := range []domain.RequalificationFilter{{}, {Since: at("since")}, {Since: at("since"), Until: at("until")}} {
			checkDisqualified(t, b, records, projections.Disqualifications{Delivery: created.Delivery, Filter: filter, UpTo: upTo})
		}
	}
}

// checkDisqualified holds disqualifications, read in pages of two, against the log.
func checkDisqualified(t *rapid.T, b *bundle, records []eventstore.Record, d projections.Disqualifications) {
	ctx := context.Background()
	all := wanted(t, records, projections.Trail{Delivery: d.Delivery, Type: "company.disqualified"})
	var want []projections.Disqualified
	count := 0
	for i := len(all) - 1; i >= 0; i-- {
		rec := all[i]
		if d.Filter.Since != nil && rec.RecordedAt.Before(*d.Filter.Since) || d.Filter.Until != nil && !rec.RecordedAt.Before(*d.Filter.Until) {
			continue
		}
		count++
		last := true
		for _, other := range records {
			last = last && (other.Stream != rec.Stream || other.Version <= rec.Version || other.Position > d.UpTo)
		}
		if rec.Position <= d.UpTo {
			want = append(want, projections.Disqualified{Number: int64(len(all) - i), Stream: rec.Stream, Last: last})
		}
	}
	n, err := b.views.CountDisqualifications(ctx, d)
	require.NoError(t, err)
	require.EqualValues(t, count, n)
	var got []projections.Disqualified
	for number := int64(0); ; number = got[len(got)-1].Number {
		page, err := b.views.DisqualifiedAfter(ctx, d, number, 2)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	require.Equal(t, want, got)
}

func TestAPageOfDisqualificationsTouchesFewPagesOfTheDatabaseUnderAnyPlan(t *testing.T) {
	t.Parallel()
	const companies = 20_000
	b := newBundle(testdb.New(t))
	id := domain.NewDeliveryID()
	d := execute(t, b, domain.CreateDelivery{ID: id, Organisation: org, Name: "a", Search: "search_1", Rules: &[]rules.Rule{
		{Name: "none", When: rules.Condition{Field: "company.none", Op: rules.Exists}},
	}}).State
	plans := make([]eventstore.Plan[domain.HandOver, domain.Event], companies)
	for i := range plans {
		company := domain.CompanyID(fmt.Sprintf("comp_%05d", i))
		plans[i].Command = domain.JudgeCandidate{
			ID: "del_1", Delivery: d, CompanyID: company, Candidate: domain.Candidate{Company: json.RawMessage(fmt.Sprintf(`{"id":%q,"name":"x"}`, company))},
		}
	}
	for _, o := range eventstore.ExecuteEach(t.Context(), b.store, plans) {
		require.NoError(t, o.Err)
	}
	require.NoError(t, projections.Rebuild(t.Context(), b.pool, b.store.Registry(), projections.History()))
	_, err := b.pool.Exec(t.Context(), `VACUUM ANALYZE`)
	require.NoError(t, err)
	record := &recorder{}
	config := b.pool.Config()
	config.ConnConfig.Tracer = record
	traced, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	all := projections.Disqualifications{Delivery: id, UpTo: companies + 10}
	found, err := projections.NewViews(traced).DisqualifiedAfter(t.Context(), all, companies/2, 20)
	require.NoError(t, err)
	require.Len(t, found, 20)
	require.Equal(t, domain.HandOverStream(id, "comp_10000"), found[0].Stream)
	for _, s := range record.take() {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			pages, plan := touched(t, b.pool, s, mode)
			require.LessOrEqual(t, pages, 600, "%s: %s\n%s", mode, s.sql, plan)
		}
	}
}
