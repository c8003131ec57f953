package projections_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// checkReplays holds the views of replays against the log.
func checkReplays(t require.TestingT, b *bundle, records []eventstore.Record) {
	ctx := context.Background()
	jobs, counts := map[domain.ReplayID]domain.Replay{}, map[domain.ReplayID]int64{}
	for _, rec := range records {
		event, err := b.store.Registry().Decode(rec)
		require.NoError(t, err)
		switch e := event.(type) {
		case domain.ReplayStarted:
			jobs[e.Replay] = jobs[e.Replay].Evolve(e)
		case domain.BackfillStarted:
			jobs[e.Replay] = jobs[e.Replay].Evolve(e)
		case domain.ReplayEnded:
			jobs[e.Replay] = jobs[e.Replay].Evolve(e)
		case domain.ReplayCancelled:
			jobs[e.Replay] = jobs[e.Replay].Evolve(e)
		case domain.DispatchRetried:
			if _, started := jobs[e.Replay]; started {
				counts[e.Replay]++
			}
		case domain.DispatchBackfilled:
			if _, started := jobs[e.Replay]; started {
				counts[e.Replay]++
			}
		}
	}
	var running []domain.ReplayID
	for _, id := range []domain.ReplayID{"rpl_1", "rpl_2"} {
		job, started := jobs[id]
		if !started {
			continue
		}
		got, err := b.views.Replay(ctx, job.Delivery, id)
		require.NoError(t, err)
		require.Equal(t, job.Status, got.Status)
		require.Equal(t, counts[id], got.Replayed)
		require.Equal(t, job.Backfill, got.Backfill)
		require.Equal(t, job.Filter.Destination, got.Filter.Destination)
		require.Equal(t, job.Status == domain.ReplayRunning, got.EndedAt == nil)
		if job.Status == domain.ReplayRunning {
			running = append(running, id)
		}
	}
	got, err := b.views.RunningReplays(ctx, 10)
	require.NoError(t, err)
	require.ElementsMatch(t, running, got)
}

func TestReplaysFindWhatEndedByAnIndex(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	d := seed(t, b, 100_000)
	_, err := b.pool.Exec(t.Context(), `UPDATE dispatches SET status = 'delivered', due = NULL, settled_at = now()`)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `ANALYZE dispatches`)
	require.NoError(t, err)
	filter := projections.DispatchFilter{Delivery: d.ID, Status: domain.Delivered}
	n, err := b.views.CountEnded(t.Context(), filter)
	require.NoError(t, err)
	require.EqualValues(t, 100_000, n)
	record := &recorder{}
	config := b.pool.Config()
	config.ConnConfig.Tracer = record
	traced, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	views := projections.NewViews(traced)
	found, err := views.EndedAfter(t.Context(), filter, domain.ReplayPlace{Position: 50_000, Dispatch: "dsp_49990"}, 500)
	require.NoError(t, err)
	require.Len(t, found, 500)
	require.Equal(t, domain.DispatchID("dsp_49991"), found[0].ID)
	_, err = views.Replaying(t.Context(), d.ID, 2000)
	require.NoError(t, err)
	for _, plan := range explain(t, b.pool, record.take(), "dispatches d") {
		require.NotContains(t, plan, "Seq Scan on dispatches", plan)
	}
}
