package projections_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
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
	for _, dst := range l.targets {
		checkListOf(t, b, projections.DispatchFilter{Delivery: dst.delivery, Destination: dst.ID})
		checkListOf(t, b, projections.DispatchFilter{Delivery: dst.delivery, Destination: dst.ID, After: bound})
		checkListOf(t, b, projections.DispatchFilter{Delivery: dst.delivery, UpTo: bound, Status: domain.Pending})
	}
}

// checkListOf holds a list by pages, cursors and offsets against the delivery's whole one, row by row.
func checkListOf(t *rapid.T, b *bundle, filter projections.DispatchFilter) {
	ctx := context.Background()
	all, err := b.views.DispatchesOf(ctx, projections.DispatchFilter{Delivery: filter.Delivery}, projections.DispatchPage{Limit: 1000})
	require.NoError(t, err)
	want := []domain.DispatchID{}
	for _, d := range all.Items {
		if (filter.Destination == "" || d.Destination == filter.Destination) && (filter.Status == "" || d.Status == filter.Status) &&
			d.Position > filter.After && (filter.UpTo == 0 || d.Position <= filter.UpTo) {
			want = append(want, d.ID)
		}
	}
	paged := []domain.DispatchID{}
	for next := (projections.DispatchPage{Limit: 2}); ; next.After = paged[len(paged)-1] {
		page, err := b.views.DispatchesOf(ctx, filter, next)
		require.NoError(t, err)
		require.EqualValues(t, len(want), page.Total)
		require.False(t, page.Least)
		paged = append(paged, ids(page.Items)...)
		if !page.More {
			break
		}
	}
	require.Equal(t, want, paged)
	offset, limit := rapid.IntRange(0, len(want)+1).Draw(t, "offset"), rapid.IntRange(1, 3).Draw(t, "limit")
	page, err := b.views.DispatchesOf(ctx, filter, projections.DispatchPage{Offset: int64(offset), Limit: limit})
	require.NoError(t, err)
	rest := want[min(offset, len(want)):]
	require.True(t, slices.Equal(rest[:min(limit, len(rest))], ids(page.Items)))
	require.Equal(t, len(rest) > limit, page.More)
}

func TestADeepOffsetIntoDispatchesIsTheSameAsReadingUpToIt(t *testing.T) {
	t.Parallel()
	const n = 500
	b := newBundle(testdb.New(t))
	gone, all := webhook(), webhook()
	d := b.delivery(t, "search", gone, all)
	for i := range n {
		switch i {
		case n / 3:
			d = execute(t, b, domain.AddDestination{Delivery: d.ID, Organisation: org, Destination: webhook()}).State
		case n / 2:
			d = execute(t, b, domain.RemoveDestination{Delivery: d.ID, Organisation: org, Destination: gone.ID}).State
		case n - 100:
			d = execute(t, b, domain.AddDestination{Delivery: d.ID, Organisation: org, Destination: webhook()}).State
		}
		b.qualify(t, d, fmt.Sprint("comp_", i))
	}
	b.follow(t)
	filter := projections.DispatchFilter{Delivery: d.ID}
	whole, err := b.views.DispatchesOf(t.Context(), filter, projections.DispatchPage{Limit: 10 * n})
	require.NoError(t, err)
	require.EqualValues(t, len(whole.Items), whole.Total)
	require.Greater(t, len(whole.Items), 1100, "or nothing is deep")
	for offset := 950; offset <= len(whole.Items); offset += 7 {
		page, err := b.views.DispatchesOf(t.Context(), filter, projections.DispatchPage{Limit: 3, Offset: int64(offset)})
		require.NoError(t, err)
		rest := whole.Items[offset:]
		require.Equal(t, ids(rest[:min(3, len(rest))]), ids(page.Items), "at %d", offset)
		require.Equal(t, len(rest) > 3, page.More)
		require.Equal(t, whole.Total, page.Total)
	}
	filter.After, filter.UpTo = whole.Items[len(whole.Items)-20].Position, whole.Items[30].Position
	from := slices.IndexFunc(whole.Items, func(d projections.Dispatch) bool { return d.Position == filter.UpTo })
	page, err := b.views.DispatchesOf(t.Context(), filter, projections.DispatchPage{Limit: 3, Offset: 1005})
	require.NoError(t, err)
	require.Equal(t, ids(whole.Items[from+1005:from+1008]), ids(page.Items))
}

func TestOnlyDispatchesOfAStatusWithinBoundsAreCountedAndNotWithoutEnd(t *testing.T) {
	t.Parallel()
	const n = 10_100
	b := newBundle(testdb.New(t))
	d := seed(t, b, n)
	filter := projections.DispatchFilter{Delivery: d.ID, Status: domain.Pending, After: 110} // seed begins at 11
	exact, err := b.views.DispatchesOf(t.Context(), filter, projections.DispatchPage{Limit: 20})
	require.NoError(t, err)
	require.EqualValues(t, 10_000, exact.Total)
	require.False(t, exact.Least)
	filter.After--
	for offset, want := range map[int64]int64{0: 10_000, 9_980: 10_001, 9_990: 10_001} {
		least, err := b.views.DispatchesOf(t.Context(), filter, projections.DispatchPage{Limit: 20, Offset: offset})
		require.NoError(t, err)
		require.True(t, least.Least)
		require.Equal(t, want, least.Total, "who goes on while there is more in total misses none")
		require.Equal(t, offset+int64(len(least.Items)) < 10_001, least.More)
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
