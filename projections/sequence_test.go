package projections_test

import (
	"math"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// checkSequences holds stretches of each destination's dispatches against the ledger.
func checkSequences(t *rapid.T, b *bundle, l *ledger) {
	for _, dst := range l.targets {
		want := map[int64]domain.DispatchID{}
		for id, d := range l.dispatches {
			if d.target == dst {
				want[d.sequence] = id
			}
		}
		last := int64(len(want))
		in := projections.Sequence{
			Delivery: dst.delivery, Destination: dst.ID,
			After: rapid.Int64Range(0, last+1).Draw(t, "after"), Until: rapid.Int64Range(0, last+1).Draw(t, "until"),
		}
		skip, limit := rapid.Int64Range(0, 3).Draw(t, "skip"), rapid.IntRange(1, 3).Draw(t, "limit")
		got, err := b.views.DispatchesIn(t.Context(), in, skip, limit)
		require.NoError(t, err)
		var all []domain.DispatchID
		for n := in.After + 1; n <= last && (in.Until == 0 || n <= in.Until); n++ {
			all = append(all, want[n])
		}
		require.EqualValues(t, len(all), got.Total)
		rest := all[min(int(skip), len(all)):]
		require.True(t, slices.Equal(rest[:min(limit, len(rest))], ids(got.Items)))
		require.Equal(t, len(rest) > limit, got.More)
	}
}

func TestWhatAReceiverMissesIsReadFromTheIndex(t *testing.T) {
	t.Parallel()
	const n = 200_000
	b := newBundle(testdb.New(t))
	d := seed(t, b, n)
	_, err := b.pool.Exec(t.Context(), `UPDATE dispatch_targets SET last_sequence = $1`, n)
	require.NoError(t, err)
	record := &recorder{}
	config := b.pool.Config()
	config.ConnConfig.Tracer = record
	traced, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	views := projections.NewViews(traced)
	for id := range d.Destinations {
		for _, statistics := range []string{"before the planner knows of it", "after"} {
			for _, in := range []projections.Sequence{{After: 41, Until: 42}, {After: n / 2}, {After: n - 5, Until: math.MaxInt64}, {}} {
				in.Delivery, in.Destination = d.ID, id
				list, err := views.DispatchesIn(t.Context(), in, 0, 50)
				require.NoError(t, err)
				require.NotEmpty(t, list.Items)
			}
			deep, err := views.DispatchesIn(t.Context(), projections.Sequence{Delivery: d.ID, Destination: id}, n-10, 50)
			require.NoError(t, err)
			require.Len(t, deep.Items, 10)
			for _, plan := range explain(t, b.pool, record.take(), "dispatches d") {
				require.Contains(t, plan, "dispatches_in_sequence", "%s: %s", statistics, plan)
				require.NotContains(t, plan, "Sort", "%s: %s", statistics, plan)
			}
			_, err = b.pool.Exec(t.Context(), `ANALYZE`)
			require.NoError(t, err)
		}
	}
}
