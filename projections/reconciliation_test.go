package projections_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// checkReconciliations holds what is reconciled against the ledger, of all hand-overs and of those of a
// part of the time.
func checkReconciliations(t require.TestingT, b *bundle, l *ledger) {
	for id := range l.deliveries {
		var times []time.Time
		for _, h := range l.handOvers {
			if h.Delivery == id {
				times = append(times, h.at)
			}
		}
		checkReconciliation(t, b, l, projections.Handed{Delivery: id})
		if n := len(times); n > 0 {
			checkReconciliation(t, b, l, projections.Handed{Delivery: id, Since: &times[n/3], Until: &times[2*n/3], Most: int64(n)})
		}
	}
}

func checkReconciliation(t require.TestingT, b *bundle, l *ledger, handed projections.Handed) {
	owed := map[domain.DestinationID]projections.Counts{}
	handedOver := int64(0)
	for _, h := range l.handOvers {
		if h.Delivery != handed.Delivery || handed.Since != nil && h.at.Before(*handed.Since) || handed.Until != nil && !h.at.Before(*handed.Until) {
			continue
		}
		handedOver++
		for _, d := range h.dispatches {
			if owed[d.target.ID] == nil {
				owed[d.target.ID] = projections.Counts{}
			}
			owed[d.target.ID][l.shown(d)]++
		}
	}
	r, err := b.views.Reconcile(context.Background(), b.store, handed)
	require.NoError(t, err)
	require.Empty(t, r.Differences)
	require.Equal(t, handedOver, r.HandedOver)
	require.Equal(t, handedOver, r.Feed)
	got := map[domain.DestinationID]projections.Counts{}
	for _, d := range r.Destinations {
		got[d.Destination] = d.Counts
		sum := int64(0)
		for _, n := range d.Counts {
			sum += n
		}
		require.Equal(t, d.Owed, sum)
	}
	require.Equal(t, owed, got)
}

func TestReconciliationTellsWhatReadModelsDoNotShowAsTheLogDoes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tamper  string // with what is shown of the first hand-over
		differs projections.Difference
	}{
		"a company that is not in the feed": {
			`DELETE FROM companies WHERE handover_id = $1`,
			projections.Difference{Logged: projections.HandedOver},
		},
		"a company that was not handed over": {
			`UPDATE companies SET handover_id = $1 || 'x' WHERE handover_id = $1`,
			projections.Difference{Logged: projections.HandedOver},
		},
		"a dispatch that is lost": {
			`DELETE FROM dispatches WHERE handover_id = $1`,
			projections.Difference{Destination: "dst_1", Logged: "retrying"},
		},
		"a dispatch that shows as delivered": {
			`UPDATE dispatches SET status = 'delivered' WHERE handover_id = $1`,
			projections.Difference{Destination: "dst_1", Logged: "retrying", Shown: "delivered"},
		},
		"a dispatch that nobody is owed": {
			`INSERT INTO dispatches (id, sequence, position, destination_id, delivery_id, handover_id)
			SELECT id || 'x', 100, position, 'dst_2', delivery_id, handover_id FROM dispatches WHERE handover_id = $1`,
			projections.Difference{Destination: "dst_2", Shown: "pending"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(testdb.New(t))
			dst := webhook()
			dst.ID = "dst_1"
			d := b.delivery(t, "search_1", dst)
			first, second := b.qualify(t, d, "comp_1"), b.qualify(t, d, "comp_2")
			b.attempt(t, domain.DispatchIDFor(first.ID, dst.ID), "it answered 503", 503)
			b.attempt(t, domain.DispatchIDFor(second.ID, dst.ID), "", 200)
			b.follow(t)
			_, err := b.pool.Exec(t.Context(), test.tamper, first.ID)
			require.NoError(t, err)

			r, err := b.views.Reconcile(t.Context(), b.store, projections.Handed{Delivery: d.ID})
			require.NoError(t, err)
			test.differs.Count, test.differs.HandOvers = 1, []domain.HandOverID{first.ID}
			require.Contains(t, r.Differences, test.differs)
			require.EqualValues(t, 2, r.HandedOver, "the sums are the log's")
			require.Equal(t, []projections.DestinationSums{
				{Destination: dst.ID, Owed: 2, Counts: projections.Counts{domain.Retrying: 1, domain.Delivered: 1}},
			}, r.Destinations)
		})
	}
}

func TestReconciliationComparesNoMoreThanAsked(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	d := b.delivery(t, "search_1", webhook())
	for _, company := range []string{"comp_1", "comp_2", "comp_3"} {
		b.qualify(t, d, company)
	}
	b.follow(t)
	_, err := b.views.Reconcile(t.Context(), b.store, projections.Handed{Delivery: d.ID, Most: 2})
	require.ErrorIs(t, err, projections.ErrTooMany)
	_, err = b.views.Reconcile(t.Context(), b.store, projections.Handed{Delivery: d.ID, Most: 3})
	require.NoError(t, err)
}
