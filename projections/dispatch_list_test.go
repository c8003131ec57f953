package projections_test

import (
	"context"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// checkDispatchLists holds the lists of dispatches against the ledger.
func checkDispatchLists(t *rapid.T, b *bundle, l *ledger, head eventstore.Position) {
	ctx := context.Background()
	bound := eventstore.Position(rapid.Int64Range(1, int64(head)).Draw(t, "position"))
	for delivery := range l.deliveries {
		all, err := b.views.DispatchesOf(ctx, projections.DispatchFilter{Delivery: delivery}, projections.DispatchPage{Limit: 1000})
		require.NoError(t, err)
		want := map[domain.DispatchStatus]int{}
		owned := 0
		for id, d := range l.dispatches {
			if d.target.delivery == delivery {
				want[l.shown(d)]++
				owned++
				require.Contains(t, ids(all.Items), id)
			}
		}
		require.Len(t, all.Items, owned)
		require.EqualValues(t, owned, all.Total)
		for _, status := range []domain.DispatchStatus{
			domain.Pending, domain.Retrying, domain.Held, domain.Delivered, domain.Failed, domain.Cancelled,
		} {
			some, err := b.views.DispatchesOf(ctx, projections.DispatchFilter{Delivery: delivery, Status: status}, projections.DispatchPage{Limit: 1000})
			require.NoError(t, err)
			require.Len(t, some.Items, want[status], status)
			require.EqualValues(t, want[status], some.Total, "what is counted is what is there")
			for _, d := range some.Items {
				require.Equal(t, status, d.Status)
			}
		}
		paged := []domain.DispatchID{}
		for next := (projections.DispatchPage{Limit: 2}); ; {
			page, err := b.views.DispatchesOf(ctx, projections.DispatchFilter{Delivery: delivery}, next)
			require.NoError(t, err)
			if len(page.Items) == 0 {
				break
			}
			paged = append(paged, ids(page.Items)...)
			next.After = paged[len(paged)-1]
		}
		require.Equal(t, ids(all.Items), paged, "page by page they are the same")
		old, err := b.views.DispatchesOf(ctx, projections.DispatchFilter{Delivery: delivery, UpTo: bound}, projections.DispatchPage{Limit: 1000})
		require.NoError(t, err)
		late, err := b.views.DispatchesOf(ctx, projections.DispatchFilter{Delivery: delivery, After: bound}, projections.DispatchPage{Limit: 1000})
		require.NoError(t, err)
		require.Equal(t, ids(all.Items), append(ids(late.Items), ids(old.Items)...), "each is on one side of a bound, the newest first")
		require.Equal(t, []int{len(old.Items), len(late.Items)}, []int{int(old.Total), int(late.Total)})
	}
}

// ids returns the IDs of dispatches.
func ids(dispatches []projections.Dispatch) []domain.DispatchID {
	named := make([]domain.DispatchID, len(dispatches))
	for i, d := range dispatches {
		named[i] = d.ID
	}
	return named
}
