package projections_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

// compare compares a projection with the log.
func (b *bundle) compare(tb testing.TB, p projections.Projection) (int64, error) {
	tb.Helper()
	return projections.Compare(tb.Context(), b.pool, b.store.Registry(), p)
}

func TestCompareNamesTheFirstRowThatDiffers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tamper string
		want   projections.DifferenceError
		text   string
	}{
		"a number": {
			`UPDATE companies SET score = 99 WHERE delivery_number >= 2`,
			projections.DifferenceError{Table: "companies", Column: "score", Live: new("99"), Rebuilt: new("85")},
			`table companies, row delivery_id=%s delivery_number=2: its score is "99", and must be "85"`,
		},
		"white space in JSON": {
			`UPDATE companies SET prospects = (prospects::text || ' ')::json WHERE delivery_number = 2`,
			projections.DifferenceError{
				Table: "companies", Column: "prospects",
				Live: new(`[{"id":"pros_1","first_name":"Jane"}] `), Rebuilt: new(`[{"id":"pros_1","first_name":"Jane"}]`),
			},
			`row delivery_id=%s delivery_number=2: its prospects is "[{`,
		},
		"a null": {
			`UPDATE companies SET search_number = NULL WHERE delivery_number = 2`,
			projections.DifferenceError{Table: "companies", Column: "search_number", Rebuilt: new("2")},
			`row delivery_id=%s delivery_number=2: its search_number is null, and must be "2"`,
		},
		"a row too few": {
			`DELETE FROM companies WHERE delivery_number = 2`,
			projections.DifferenceError{Table: "companies", Missing: true},
			`row delivery_id=%s delivery_number=2: it is missing`,
		},
		"a row too many": {
			`INSERT INTO companies
				SELECT delivery_id, 9, prospect_search_id, NULL, position, delivered_at, score, handover_id, 'x', company, prospects, match_reasons
				FROM companies WHERE delivery_number = 1`,
			projections.DifferenceError{Table: "companies", Needless: true},
			`row delivery_id=%s delivery_number=9: the log knows of no such row`,
		},
		"its key": {
			`UPDATE companies SET delivery_number = 7 WHERE delivery_number = 2`,
			projections.DifferenceError{Table: "companies", Missing: true},
			`row delivery_id=%s delivery_number=2: it is missing`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(testdb.New(t))
			d := b.delivery(t, "search")
			for n := range 3 {
				b.qualify(t, d, fmt.Sprint("comp_", n))
			}
			b.follow(t)
			rows, err := b.compare(t, projections.Companies())
			require.NoError(t, err)
			require.EqualValues(t, 3, rows)

			_, err = b.pool.Exec(t.Context(), test.tamper)
			require.NoError(t, err)
			_, err = b.compare(t, projections.Companies())
			var got *projections.DifferenceError
			require.ErrorAs(t, err, &got)
			head, err := b.store.Head(t.Context())
			require.NoError(t, err)
			require.ErrorContains(t, got, fmt.Sprintf("read model companies is not what the log makes it at position %d: ", head))
			require.ErrorContains(t, got, fmt.Sprintf(test.text, d.ID))
			test.want.Projection, test.want.Position, test.want.Key = "companies", head, got.Key
			require.Equal(t, &test.want, got)
			_, err = b.compare(t, projections.Deliveries())
			require.NoError(t, err)
		})
	}
}

func TestEveryReadModelIsWhatTheLogMakesItWhileAllIsAtWork(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	b.store = projectionstest.NewStore(t, b.pool)
	projectionstest.Follow(t, b.pool, b.store)
	d := b.delivery(t, "search", webhook())
	var ended atomic.Bool
	var group errgroup.Group
	group.Go(func() error {
		for n := 0; !ended.Load(); n++ {
			handOver := b.qualify(t, d, fmt.Sprint("comp_", n))
			for id := range d.Destinations {
				b.attempt(t, domain.DispatchIDFor(handOver.ID, id), []string{"", "500"}[n%2], 200)
			}
		}
		return nil
	})
	group.Go(func() error { // whose tables take the place of those that are compared
		for !ended.Load() {
			if err := projections.Rebuild(t.Context(), b.pool, b.store.Registry(), projections.Companies()); err != nil {
				return err
			}
		}
		return nil
	})
	for range 3 {
		for _, p := range projections.All() {
			_, err := b.compare(t, p)
			require.NoError(t, err)
		}
	}
	ended.Store(true)
	require.NoError(t, group.Wait())
}

func TestCompareLeavesNothingAndRefusesTablesOfAnotherVersion(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	b.delivery(t, "search")
	rows, err := b.compare(t, projections.Deliveries())
	require.NoError(t, err, "what was never followed is empty")
	require.Zero(t, rows)
	b.follow(t)
	rows, err = b.compare(t, projections.Deliveries())
	require.NoError(t, err)
	require.EqualValues(t, 3, rows, "the delivery, its search and the totals")
	const others = `SELECT relname FROM pg_class WHERE relname = 'deliveries' AND relnamespace <> 'public'::regnamespace`
	require.Eventually(t, func() bool { return len(lines(t, b.pool, others)) == 0 }, patience, time.Millisecond)

	newer := projections.Deliveries()
	newer.Version++
	_, err = b.compare(t, newer)
	require.EqualError(t, err, fmt.Sprintf("compare deliveries: the tables are of version %d, this build's of version %d", newer.Version-1, newer.Version))
}
