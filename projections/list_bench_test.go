package projections_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// BenchmarkLists reads pages of 20 of 100,000 deliveries, a thousandth of them paused, and of 1,000,000
// dispatches to two destinations, one in a thousand failed.
func BenchmarkLists(b *testing.B) {
	const deliveries, dispatches, delivery = 100_000, 1_000_000, domain.DeliveryID("dcf_000001")
	l := newBundle(testdb.New(b))
	for _, fill := range []string{
		`INSERT INTO deliveries (id, organisation_id, name, status, schedule, prospect_search_id, version, created_at, updated_at)
		SELECT 'dcf_' || lpad(n::text, 6, '0'), 'org_a', 'n', CASE WHEN n % 1000 = 0 THEN 'paused' ELSE 'active' END, 'immediate', 'search_' || n, 1, now(), now()
		FROM generate_series(1, $1::int) AS n WHERE $2 > 0`,
		`INSERT INTO searches (organisation_id, prospect_search_id, oldest, active, paused)
		SELECT organisation_id, prospect_search_id, id, 1, 0 FROM deliveries WHERE $1::int > 0 AND $2 > 0`,
		`INSERT INTO delivery_totals (organisation_id, active, paused, searches) SELECT 'org_a', $1::int, 0, $1::int WHERE $2 > 0`,
		`INSERT INTO dispatch_deliveries (delivery_id, organisation_id, paused) SELECT 'dcf_000001', 'org_a', false WHERE $1::int > 0 AND $2 > 0`,
		`INSERT INTO dispatch_targets (destination_id, delivery_id, config, version, last_sequence, delivered)
		SELECT 'dst_' || n, 'dcf_000001', '{}', 1, $2::int / 2, $2::int / 2 FROM generate_series(0, 1) AS n WHERE $1::int > 0`,
		`INSERT INTO dispatches (id, sequence, position, status, destination_id, delivery_id, handover_id)
		SELECT 'dsp_' || md5(n::text), n / 2 + 1, n / 2 + 10, CASE WHEN n % 1000 = 7 THEN 'failed' ELSE 'delivered' END, 'dst_' || n % 2, 'dcf_000001', 'del_' || n / 2
		FROM generate_series(0, $2::int - 1) AS n WHERE $1::int > 0`,
	} {
		_, err := l.pool.Exec(b.Context(), fill, deliveries, dispatches)
		require.NoError(b, err, fill)
	}
	_, err := l.pool.Exec(b.Context(), `VACUUM ANALYZE`)
	require.NoError(b, err)
	middle, err := l.views.DispatchesOf(b.Context(), projections.DispatchFilter{Delivery: delivery, UpTo: dispatches / 4}, projections.DispatchPage{Limit: 1})
	require.NoError(b, err)

	ofDeliveries := func(status domain.DeliveryStatus, page projections.Page) func() (int, error) {
		return func() (int, error) {
			page.Limit = 20
			list, err := l.views.Deliveries(b.Context(), org, status, page)
			return len(list.Items), err
		}
	}
	ofDispatches := func(filter projections.DispatchFilter, page projections.DispatchPage) func() (int, error) {
		return func() (int, error) {
			filter.Delivery, page.Limit = delivery, 20
			list, err := l.views.DispatchesOf(b.Context(), filter, page)
			return len(list.Items), err
		}
	}
	some, one, failed := projections.DispatchFilter{After: 1000}, projections.DispatchFilter{Destination: "dst_1"}, projections.DispatchFilter{Status: domain.Failed}
	for _, list := range []struct {
		name string
		read func() (int, error)
	}{
		{"deliveries/first", ofDeliveries("", projections.Page{})},
		{"deliveries/offset-90000", ofDeliveries("", projections.Page{Offset: 90_000})},
		{"deliveries/cursor-90000", ofDeliveries("", projections.Page{After: "dcf_010000"})},
		{"deliveries/paused", ofDeliveries(domain.Paused, projections.Page{})},
		{"dispatches/first", ofDispatches(projections.DispatchFilter{}, projections.DispatchPage{})},
		{"dispatches/offset-900000", ofDispatches(projections.DispatchFilter{}, projections.DispatchPage{Offset: 900_000})},
		{"dispatches/cursor-500000", ofDispatches(projections.DispatchFilter{}, projections.DispatchPage{After: middle.Items[0].ID})},
		{"dispatches/since", ofDispatches(some, projections.DispatchPage{})},
		{"dispatches/destination-offset-400000", ofDispatches(one, projections.DispatchPage{Offset: 400_000})},
		{"dispatches/failed", ofDispatches(failed, projections.DispatchPage{})},
		{"dispatches/failed-offset-900", ofDispatches(failed, projections.DispatchPage{Offset: 900})},
	} {
		b.Run(list.name, func(b *testing.B) {
			took := make([]time.Duration, 0, b.N)
			for range b.N {
				begun := time.Now()
				n, err := list.read()
				took = append(took, time.Since(begun))
				require.NoError(b, err)
				require.Equal(b, 20, n)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms/p99")
		})
	}
}
