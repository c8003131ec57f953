package projections_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
	"github.com/openprospect/delivery-ledger/eventstore/follower/followertest"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

// status returns the status that a delivery's feed shows of its only company.
func status(t *testing.T, b *bundle, d domain.Delivery) domain.DispatchStatus {
	t.Helper()
	list, err := b.views.Companies(t.Context(), projections.Feed{Delivery: d.ID}, projections.FeedPage{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	return list.Items[0].Status
}

// A scene is a company that was handed over under a delivery, and its dispatches to two
// webhooks that may stand.
type scene struct {
	*bundle
	t        *testing.T
	delivery domain.Delivery
	one, two domain.DispatchID
}

// attempts records an attempt that is answered with a status.
func (s scene) attempts(id domain.DispatchID, status int) {
	failure := ""
	if status != http.StatusOK {
		failure = http.StatusText(status)
	}
	s.attempt(s.t, id, failure, status)
}

// pauses pauses the delivery.
func (s scene) pauses() {
	paused := domain.Paused
	execute(s.t, s.bundle, domain.UpdateDelivery{ID: s.delivery.ID, Organisation: org, Status: &paused})
}

// disables disables a destination.
func (s scene) disables(dst domain.Destination) {
	execute(s.t, s.bundle, domain.DisableDestination{Delivery: s.delivery.ID, Destination: dst.ID, Reason: "410 Gone"})
}

// removes removes a destination.
func (s scene) removes(dst domain.Destination) {
	execute(s.t, s.bundle, domain.RemoveDestination{Delivery: s.delivery.ID, Organisation: org, Destination: dst.ID})
}

func TestTheFeedShowsWhatBecameOfACompany(t *testing.T) {
	t.Parallel()
	first, second := webhook(), webhook()
	for name, c := range map[string]struct {
		destinations []domain.Destination
		happens      func(scene)
		want         domain.DispatchStatus
	}{
		"delivered where nothing is pushed": {nil, nil, domain.Delivered},
		"pending before the first attempt":  {[]domain.Destination{first, second}, nil, domain.Pending},
		"retrying after a failure, whatever else is pending": {
			[]domain.Destination{first, second},
			func(s scene) {
				s.attempts(s.one, http.StatusInternalServerError)
			},
			domain.Retrying,
		},
		"pending while one of two is delivered": {
			[]domain.Destination{first, second},
			func(s scene) { s.attempts(s.one, http.StatusOK) },
			domain.Pending,
		},
		"delivered when all are": {
			[]domain.Destination{first, second},
			func(s scene) {
				s.attempts(s.one, http.StatusOK)
				s.attempts(s.two, http.StatusOK)
			},
			domain.Delivered,
		},
		"failed when one is, though the other was delivered": {
			[]domain.Destination{first, second},
			func(s scene) {
				s.attempts(s.one, http.StatusGone)
				s.attempts(s.two, http.StatusOK)
			},
			domain.Failed,
		},
		"failed when the attempts are spent": {
			[]domain.Destination{first},
			func(s scene) {
				for range 3 {
					s.attempts(s.one, http.StatusInternalServerError)
				}
			},
			domain.Failed,
		},
		"held while the delivery is paused": {
			[]domain.Destination{first},
			func(s scene) { s.pauses() },
			domain.Held,
		},
		"held while what is left is for a disabled destination": {
			[]domain.Destination{first, second},
			func(s scene) {
				s.attempts(s.one, http.StatusOK)
				s.disables(second)
			},
			domain.Held,
		},
		"pending while a disabled destination is not the only one": {
			[]domain.Destination{first, second},
			func(s scene) { s.disables(first) },
			domain.Pending,
		},
		"cancelled when its only destination was removed": {
			[]domain.Destination{first},
			func(s scene) { s.removes(first) },
			domain.Cancelled,
		},
		"delivered when one was and the other's destination removed": {
			[]domain.Destination{first, second},
			func(s scene) {
				s.attempts(s.one, http.StatusOK)
				s.removes(second)
			},
			domain.Delivered,
		},
		"delivered when the attempt that was under way at the removal succeeded": {
			[]domain.Destination{first},
			func(s scene) {
				s.removes(first)
				s.attempts(s.one, http.StatusOK)
			},
			domain.Delivered,
		},
		"cancelled when it failed": {
			[]domain.Destination{first},
			func(s scene) {
				s.removes(first)
				s.attempts(s.one, http.StatusInternalServerError)
			},
			domain.Cancelled,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(testdb.New(t))
			d := b.delivery(t, "search", c.destinations...)
			h := b.qualify(t, d, "comp_1")
			if c.happens != nil {
				c.happens(scene{b, t, d, domain.DispatchIDFor(h.ID, first.ID), domain.DispatchIDFor(h.ID, second.ID)})
			}
			b.follow(t)
			require.Equal(t, c.want, status(t, b, d))
		})
	}
}

func TestACompanyIsPendingUntilItsDispatchesAreKnown(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	d := b.delivery(t, "search", webhook())
	b.follow(t)
	b.qualify(t, d, "comp_1")
	require.NoError(t, projections.Rebuild(t.Context(), b.pool, b.store.Registry(), projections.Companies()))
	require.Equal(t, domain.Pending, status(t, b, d), "the dispatches' follower has not come to it")
}

func TestACompanyStandsInASearchOnceAtItsFirstHandOver(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	one, two := b.delivery(t, "search"), b.delivery(t, "search")
	first := b.qualify(t, one, "comp_1")
	b.qualify(t, two, "comp_1")
	second := b.qualify(t, two, "comp_2")
	b.qualify(t, one, "comp_2")
	b.follow(t)
	feed, err := b.views.Feed(t.Context(), org, "search")
	require.NoError(t, err)
	list, err := b.views.Companies(t.Context(), feed, projections.FeedPage{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list.Items, 2)
	require.Equal(t, first.ID, list.Items[0].HandOver)
	require.Equal(t, second.ID, list.Items[1].HandOver)
	for _, d := range []domain.Delivery{one, two} {
		feed, err := b.views.Feed(t.Context(), org, string(d.ID))
		require.NoError(t, err)
		list, err := b.views.Companies(t.Context(), feed, projections.FeedPage{Limit: 10})
		require.NoError(t, err)
		require.Len(t, list.Items, 2)
	}
}

func TestTheFeedOfASearchOutlivesTheBindingOfItsDeliveries(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	d := b.delivery(t, "old")
	b.qualify(t, d, "comp_1")
	search := domain.SearchID("new")
	execute(t, b, domain.UpdateDelivery{ID: d.ID, Organisation: org, Search: &search})
	b.follow(t)
	for id, companies := range map[string]int{"old": 1, "new": 0} {
		feed, err := b.views.Feed(t.Context(), org, id)
		require.NoError(t, err)
		list, err := b.views.Companies(t.Context(), feed, projections.FeedPage{Limit: 10})
		require.NoError(t, err)
		require.Len(t, list.Items, companies)
	}
	_, err := b.views.Feed(t.Context(), other, "old")
	require.Equal(t, domain.NotFound, domain.KindOf(err))
}

func TestAnOrganisationSeesNothingOfAnother(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	d := b.delivery(t, "search")
	b.qualify(t, d, "comp_1")
	id := domain.NewDeliveryID()
	execute(t, b, domain.CreateDelivery{ID: id, Organisation: other, Name: "Theirs", Search: "search"})
	b.follow(t)
	_, err := b.views.Delivery(t.Context(), other, d.ID)
	require.Equal(t, domain.NotFound, domain.KindOf(err))
	_, err = b.views.Feed(t.Context(), other, string(d.ID))
	require.Equal(t, domain.NotFound, domain.KindOf(err))
	feed, err := b.views.Feed(t.Context(), other, "search")
	require.NoError(t, err, "they chose the same name for theirs")
	list, err := b.views.Companies(t.Context(), feed, projections.FeedPage{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list.Items)
	ids, err := b.views.DeliveriesOf(t.Context(), other, "search")
	require.NoError(t, err)
	require.Equal(t, []domain.DeliveryID{id}, ids)
	ids, err = b.views.DeliveriesOf(t.Context(), other, string(d.ID))
	require.NoError(t, err)
	require.Empty(t, ids)
}

func TestListsArePagedInAnOrderThatStays(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	var ids []domain.DeliveryID
	for _, search := range []domain.SearchID{"s1", "s2", "s1", "s3"} {
		ids = append(ids, b.delivery(t, search, webhook(), webhook(), webhook()).ID)
	}
	paused := domain.Paused
	for _, i := range []int{0, 1} {
		execute(t, b, domain.UpdateDelivery{ID: ids[i], Organisation: org, Status: &paused})
	}
	b.follow(t)

	list, err := b.views.Deliveries(t.Context(), org, "", projections.Page{Limit: 2, Offset: 1})
	require.NoError(t, err)
	require.EqualValues(t, 4, list.Total)
	require.Equal(t, []domain.DeliveryID{ids[2], ids[1]}, []domain.DeliveryID{list.Items[0].ID, list.Items[1].ID}, "newest first")
	list, err = b.views.Deliveries(t.Context(), org, domain.Paused, projections.Page{Limit: 10})
	require.NoError(t, err)
	require.EqualValues(t, 2, list.Total)
	require.Equal(t, ids[1], list.Items[0].ID)

	found, err := b.views.Searches(t.Context(), org, projections.Page{Limit: 10})
	require.NoError(t, err)
	require.EqualValues(t, 3, found.Total)
	require.Equal(t, []projections.Search{
		{ID: "s1", Name: "CRM Sync", Status: domain.Active, Oldest: ids[0]}, // one of its two deliveries is
		{ID: "s2", Name: "CRM Sync", Status: domain.Paused, Oldest: ids[1]},
		{ID: "s3", Name: "CRM Sync", Status: domain.Active, Oldest: ids[3]},
	}, found.Items)

	destinations, err := b.views.Destinations(t.Context(), ids[0], projections.Page{Limit: 2, Offset: 1})
	require.NoError(t, err)
	require.EqualValues(t, 3, destinations.Total)
	require.Len(t, destinations.Items, 2)
	require.Less(t, destinations.Items[0].ID, destinations.Items[1].ID)
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	_, err := b.views.Delivery(t.Context(), org, "dcf_none")
	require.Equal(t, domain.NotFound, domain.KindOf(err))
	_, err = b.views.Destination(t.Context(), "dcf_none", "dst_none")
	require.Equal(t, domain.NotFound, domain.KindOf(err))
	_, err = b.views.Dispatch(t.Context(), "dsp_none")
	require.Equal(t, domain.NotFound, domain.KindOf(err))
	_, err = b.views.Feed(t.Context(), org, "none")
	require.Equal(t, domain.NotFound, domain.KindOf(err))
}

func TestARebuildTakesOverFromAnotherVersion(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	b := newBundle(pool)
	b.store = projectionstest.NewStore(t, pool)
	stop := projectionstest.Follow(t, pool, b.store)
	d := b.delivery(t, "search")
	b.qualify(t, d, "comp_1")
	stop()

	next := projections.Companies()
	next.Version = 2
	cfg := next.Follower(projections.NewTail(b.store.Registry()))
	cfg.Poll = 20 * time.Millisecond
	process := followertest.Start(t, pool, b.store, []follower.Config{cfg})
	require.Eventually(t, func() bool { return process.Followers[0].Fault() != nil }, patience, time.Millisecond)
	require.NoError(t, projections.Rebuild(t.Context(), pool, b.store.Registry(), next))
	b.qualify(t, d, "comp_2")
	head, err := b.store.Head(t.Context())
	require.NoError(t, err)
	require.NoError(t, b.store.Await(within(t), next.Name, head))
	list, err := b.views.Companies(t.Context(), projections.Feed{Delivery: d.ID}, projections.FeedPage{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list.Items, 2)
}

func TestARebuildThatFailsLeavesTheRows(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	d := b.delivery(t, "search")
	b.qualify(t, d, "comp_1")
	b.follow(t)
	before := dump(t, b, projections.Companies())
	broken := projections.Companies()
	broken.Tables = append(broken.Tables, "no_such_table")
	require.ErrorContains(t, projections.Rebuild(t.Context(), b.pool, b.store.Registry(), broken), "rebuild companies")
	require.Equal(t, before, dump(t, b, projections.Companies()))
}
