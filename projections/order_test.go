package projections_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// checkOrder holds what is owed in order against the ledger: all that is owed to destinations that
// are ordered now, and nothing else.
func checkOrder(t *rapid.T, b *bundle, l *ledger) {
	const query = `SELECT id FROM dispatches WHERE due IS NOT NULL AND ordered`
	var want []domain.DispatchID
	for id, d := range l.dispatches {
		if d.due && d.target.Ordered {
			want = append(want, id)
		}
	}
	rows, err := b.pool.Query(t.Context(), query)
	require.NoError(t, err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[domain.DispatchID])
	require.NoError(t, err)
	require.ElementsMatch(t, want, got)
}

func TestHeadOfAnOrderIsOneLookUp(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	d := seed(t, b, 200_000)
	_, err := b.pool.Exec(t.Context(), `UPDATE dispatches SET ordered = true`)
	require.NoError(t, err)
	const query = `
		SELECT id FROM dispatches
		WHERE destination_id = $1 AND due IS NOT NULL AND ordered
		ORDER BY sequence
		LIMIT 1`
	for id := range d.Destinations {
		for range 2 {
			plan := explain(t, b.pool, []statement{{query, []any{id}}}, "dispatches")[0]
			require.Contains(t, plan, "Index Scan using dispatches_ordered", plan)
			require.NotContains(t, plan, "Sort", plan)
			require.NotContains(t, plan, "Filter", plan)
			_, err := b.pool.Exec(t.Context(), `ANALYZE dispatches`)
			require.NoError(t, err)
		}
	}
}
