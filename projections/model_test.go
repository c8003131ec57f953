package projections_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/domain/domaintest"
	"github.com/openprospect/delivery-ledger/domain/rules"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
	"github.com/openprospect/delivery-ledger/eventstore/follower/followertest"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// A ledger is what the events add up to, told in plain Go, an event after the other.
type ledger struct {
	deliveries map[domain.DeliveryID]domain.Delivery
	targets    []*target
	dispatches map[domain.DispatchID]*dispatch
	handOvers  []handOver
	numbers    map[domain.DestinationID]int64
}

type target struct {
	domain.Destination
	delivery          domain.DeliveryID
	disabled, removed bool
}

type dispatch struct {
	target   *target
	sequence int64
	attempts int
	status   domain.DispatchStatus
	event    domain.WebhookEvent
	due      bool
}

type handOver struct {
	domain.CompanyQualified
	at         time.Time
	dispatches []*dispatch
}

// replay returns what records add up to.
func replay(t require.TestingT, registry *eventstore.Registry, records []eventstore.Record) *ledger {
	l := &ledger{
		deliveries: map[domain.DeliveryID]domain.Delivery{}, dispatches: map[domain.DispatchID]*dispatch{},
		numbers: map[domain.DestinationID]int64{},
	}
	for _, rec := range records {
		event, err := registry.Decode(rec)
		require.NoError(t, err)
		require.NoError(t, domaintest.Fits(rec.Type, int(rec.SchemaVersion), rec.Data))
		l.add(rec, event.(domain.Event))
	}
	return l
}

// add adds one event.
func (l *ledger) add(rec eventstore.Record, event domain.Event) {
	delivery := func(id domain.DeliveryID) { l.deliveries[id] = l.deliveries[id].Evolve(event) }
	switch e := event.(type) {
	case domain.DeliveryCreated:
		delivery(e.Delivery)
	case domain.DeliveryUpdated:
		delivery(e.Delivery)
	case domain.RulesSet:
		delivery(e.Delivery)
	case domain.DeliveryPaused:
		delivery(e.Delivery)
	case domain.DeliveryResumed:
		delivery(e.Delivery)
	case domain.DeliveryDeleted:
		delivery(e.Delivery)
		l.remove(func(t *target) bool { return t.delivery == e.Delivery })
	case domain.DestinationAdded:
		delivery(e.Delivery)
		if e.Destination.Type == domain.Webhook {
			l.targets = append(l.targets, &target{Destination: e.Destination, delivery: e.Delivery})
		}
	case domain.DestinationChanged:
		delivery(e.Delivery)
		l.each(e.Destination.ID, func(t *target) {
			t.disabled, t.Ordered, t.Events = false, e.Destination.Ordered, e.Destination.Events
		})
	case domain.DestinationDisabled:
		delivery(e.Delivery)
		l.each(e.Destination, func(t *target) { t.disabled = true })
		l.notify(rec, domain.OnDestinationDisabled, e.Destination)
	case domain.DestinationEnabled:
		delivery(e.Delivery)
		l.each(e.Destination, func(t *target) { t.disabled = false })
	case domain.DestinationRecovered:
		l.notify(rec, domain.OnDestinationRecovered, e.Destination)
	case domain.SigningSecretRotated:
		delivery(e.Delivery)
	case domain.DestinationRemoved:
		delivery(e.Delivery)
		l.remove(func(t *target) bool { return t.ID == e.Destination })
	case domain.CompanyQualified:
		h := handOver{CompanyQualified: e, at: rec.RecordedAt}
		for _, t := range l.targets {
			if t.delivery == e.Delivery && !t.removed && t.subscribed(domain.OnCompanyQualified) {
				d := l.owe(t, domain.OnCompanyQualified, domain.DispatchIDFor(e.HandOver, t.ID))
				h.dispatches = append(h.dispatches, d)
			}
		}
		l.handOvers = append(l.handOvers, h)
	case domain.RetentionApplied:
		for _, feed := range e.Feeds {
			l.retain(feed)
		}
	case domain.AttemptSucceeded:
		l.outcome(e.Dispatch, e.Number, domain.Delivered, false)
	case domain.AttemptFailed:
		l.outcome(e.Dispatch, e.Number, domain.Retrying, e.Due != nil)
	case domain.DispatchFailed:
		l.outcome(e.Dispatch, e.Attempts, domain.Failed, false)
		if e.Event == "" {
			l.notify(rec, domain.OnDispatchFailed, e.Destination)
		}
	case domain.DispatchCancelled:
		l.outcome(e.Dispatch, 0, domain.Cancelled, false)
	case domain.DispatchBackfilled:
		l.backfill(e)
	case domain.DispatchRetried:
		if d := l.dispatches[e.Dispatch]; d != nil {
			d.status, d.due = domain.Pending, true
		}
	}
}

// backfill makes a hand-over owed to a target, unless it is that already.
func (l *ledger) backfill(e domain.DispatchBackfilled) {
	for _, t := range l.targets {
		if t.ID == e.Destination && !t.removed && l.dispatches[e.Dispatch] == nil {
			d := l.owe(t, domain.OnCompanyQualified, e.Dispatch)
			at := slices.IndexFunc(l.handOvers, func(h handOver) bool { return h.HandOver == e.HandOver })
			l.handOvers[at].dispatches = append(l.handOvers[at].dispatches, d)
		}
	}
}

// each calls change with the target named id, if there is one.
func (l *ledger) each(id domain.DestinationID, change func(*target)) {
	for _, t := range l.targets {
		if t.ID == id {
			change(t)
		}
	}
}

// remove removes targets, and cancels what is owed to them.
func (l *ledger) remove(gone func(*target) bool) {
	for _, t := range l.targets {
		if gone(t) {
			t.removed = true
		}
	}
	for _, d := range l.dispatches {
		if gone(d.target) && d.due {
			d.status, d.due = domain.Cancelled, false
		}
	}
}

// outcome enters what came of a dispatch. Of a cancelled one only success is news.
func (l *ledger) outcome(id domain.DispatchID, attempts int, status domain.DispatchStatus, due bool) {
	d := l.dispatches[id]
	if d == nil {
		return // a company that qualified before its destination was added
	}
	d.attempts = max(d.attempts, attempts)
	if d.status != domain.Cancelled || status == domain.Delivered {
		d.status, d.due = status, due
	}
}

// shown is the status that is shown of a dispatch.
func (l *ledger) shown(d *dispatch) domain.DispatchStatus {
	if d.due && (d.target.disabled || l.deliveries[d.target.delivery].Status == domain.Paused) {
		return domain.Held
	}
	return d.status
}

// status is the status that the feed shows of a hand-over: what is under way first, then what
// went wrong.
func (l *ledger) status(h handOver) domain.DispatchStatus {
	order := []domain.DispatchStatus{domain.Retrying, domain.Pending, domain.Held, domain.Failed, domain.Delivered, domain.Cancelled}
	for _, status := range order {
		if slices.ContainsFunc(h.dispatches, func(d *dispatch) bool { return l.shown(d) == status }) {
			return status
		}
	}
	return domain.Delivered // nothing is pushed
}

// feed returns the hand-overs that a feed shows.
func (l *ledger) feed(f projections.Feed) []handOver {
	var shown []handOver
	seen := map[domain.CompanyID]bool{}
	for _, h := range l.handOvers {
		switch {
		case f.Delivery != "" && h.Delivery == f.Delivery:
			shown = append(shown, h)
		case f.Delivery == "" && h.Search == f.Search && h.Organisation == f.Organisation && !seen[h.CompanyID]:
			seen[h.CompanyID] = true
			shown = append(shown, h)
		}
	}
	return shown
}

func TestReadModelsAreWhatTheLogSaysHoweverTheyAreMade(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	rapid.Check(t, func(rt *rapid.T) {
		b.reset(rt)
		var configs []follower.Config
		tail := projections.NewTail(b.store.Registry())
		for _, p := range projections.All() {
			cfg := p.Follower(tail)
			cfg.Page, cfg.Poll = rapid.IntRange(1, 5).Draw(rt, "page of "+p.Name), 20*time.Millisecond
			configs = append(configs, cfg)
		}
		process := followertest.Start(t, b.pool, b.store, configs)
		defer process.Stop()
		h := &history{bundle: b, targets: map[domain.DispatchID]domain.DestinationID{}}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			h.step(rt)
		}
		head, err := b.store.Head(rt.Context())
		require.NoError(rt, err)
		for _, p := range projections.All() {
			require.NoError(rt, b.store.Await(within(t), p.Name, head))
		}
		process.Stop()

		records, err := eventstore.ReadPage(rt.Context(), b.pool, 1, head)
		require.NoError(rt, err)
		l := replay(rt, b.store.Registry(), records)
		checkDispatches(rt, b, l)
		checkOrder(rt, b, l)
		checkFeeds(rt, b, l)
		checkDeliveries(rt, b, l)
		checkHistory(rt, b, records)
		checkDispatchLists(rt, b, l, head)
		checkStats(rt, b, l, records)
		checkDaily(rt, b, l, records)
		checkTotals(rt, b, l, records)
		checkSequences(rt, b, l)
		checkReplays(rt, b, records)
		checkRequalifications(rt, b, records, head)
		checkReconciliations(rt, b, l)
		for _, p := range projections.All() {
			followed := dump(rt, b, p)
			require.NoError(rt, projections.Rebuild(rt.Context(), b.pool, b.store.Registry(), p))
			require.Equal(rt, followed, dump(rt, b, p), "%s, rebuilt", p.Name)
			build(rt, b, p, func(int) int { return 1 })
			require.Equal(rt, followed, dump(rt, b, p), "%s, an event at a time", p.Name)
			build(rt, b, p, func(left int) int { return rapid.IntRange(1, left).Draw(rt, "cut") })
			require.Equal(rt, followed, dump(rt, b, p), "%s, in pages of any length", p.Name)
		}
	})
}

// checkDispatches holds the views of dispatches against the ledger.
func checkDispatches(t require.TestingT, b *bundle, l *ledger) {
	ctx := context.Background()
	counts := map[domain.DeliveryID]projections.Counts{}
	for id := range l.deliveries {
		counts[id] = projections.Counts{
			domain.Pending: 0, domain.Retrying: 0, domain.Held: 0, domain.Delivered: 0, domain.Failed: 0, domain.Cancelled: 0,
		}
	}
	for id, want := range l.dispatches {
		got, err := b.views.Dispatch(ctx, id)
		require.NoError(t, err, "the ID is the same function in SQL and in Go")
		require.Equal(t, l.shown(want), got.Status)
		require.Equal(t, want.sequence, got.Sequence)
		require.Equal(t, want.event, got.Event)
		require.Equal(t, want.event == domain.OnCompanyQualified, got.HandOver != "")
		require.Equal(t, want.attempts, got.Attempts)
		require.Equal(t, want.due, got.Due != nil)
		require.Equal(t, want.due, got.SettledAt == nil, "what is owed is not settled")
		require.Equal(t, want.target.ID, got.Destination)
		version, err := b.store.ReadStream(ctx, domain.DispatchStream(id))
		require.NoError(t, err)
		require.Len(t, version, int(got.Version))
		counts[want.target.delivery][got.Status]++
	}
	for id, want := range counts {
		got, err := b.views.Counts(ctx, id)
		require.NoError(t, err)
		require.Equal(t, want, got, "the counts that are kept are those of the rows")
	}
	var rows int
	require.NoError(t, b.pool.QueryRow(ctx, `SELECT count(*) FROM dispatches`).Scan(&rows))
	require.Equal(t, len(l.dispatches), rows)
}

// retain takes the prospects from those in a part of a feed.
func (l *ledger) retain(feed domain.RetainedFeed) {
	var number int64
	for i := range l.handOvers {
		h := &l.handOvers[i]
		if h.Delivery != feed.Delivery {
			continue
		}
		if number++; number > feed.After && number <= feed.Until {
			h.Prospects = json.RawMessage("[]")
		}
	}
}

// checkFeeds holds the pull feeds against the ledger.
func checkFeeds(t *rapid.T, b *bundle, l *ledger) {
	ctx := context.Background()
	var feeds []projections.Feed
	for id := range l.deliveries {
		feeds = append(feeds, projections.Feed{Delivery: id})
	}
	for _, search := range []domain.SearchID{"search_1", "search_2"} {
		for _, o := range []domain.OrganisationID{org, other} {
			feeds = append(feeds, projections.Feed{Search: search, Organisation: o})
		}
	}
	for _, feed := range feeds {
		want := l.feed(feed)
		whole, err := b.views.Companies(ctx, feed, projections.FeedPage{Limit: 1000})
		require.NoError(t, err)
		require.Len(t, whole.Items, len(want))
		require.EqualValues(t, len(want), whole.Total)
		for i, got := range whole.Items {
			require.EqualValues(t, i+1, got.Number, "numbers are dense")
			require.Equal(t, want[i].HandOver, got.HandOver)
			require.Equal(t, want[i].Delivery, got.Delivery)
			require.Equal(t, string(want[i].Company), string(got.Company), "the bytes are kept")
			require.Equal(t, string(want[i].Prospects), string(got.Prospects))
			require.Equal(t, want[i].Score, got.Score)
			require.True(t, want[i].at.Equal(got.DeliveredAt))
			require.Equal(t, l.status(want[i]), got.Status, "hand-over %s", got.HandOver)
		}
		after, offset := rapid.IntRange(0, len(want)+2).Draw(t, "after"), rapid.IntRange(0, len(want)+2).Draw(t, "offset")
		limit := rapid.IntRange(1, 10).Draw(t, "limit")
		page, err := b.views.Companies(ctx, feed, projections.FeedPage{After: int64(after), Offset: int64(offset), Limit: limit})
		require.NoError(t, err)
		from := min(after+offset, len(want))
		require.EqualValues(t, max(0, len(want)-after), page.Total)
		require.Len(t, page.Items, min(limit, len(want)-from))
		for i, got := range page.Items {
			require.Equal(t, whole.Items[from+i], got, "a page is a slice of the whole")
		}
		checkNumberAt(t, b, feed, whole.Items)
	}
}

// checkNumberAt holds the search by time against a scan.
func checkNumberAt(t *rapid.T, b *bundle, feed projections.Feed, items []projections.Company) {
	at := time.Unix(0, 0)
	if len(items) > 0 {
		at = items[rapid.IntRange(0, len(items)-1).Draw(t, "item")].DeliveredAt
	}
	at = at.Add(time.Duration(rapid.SampledFrom([]int{0, -1, 1, -1e9, 1e9}).Draw(t, "off by µs")) * time.Microsecond)
	want := int64(0)
	for _, item := range items {
		if !item.DeliveredAt.After(at) {
			want = item.Number
		}
	}
	got, err := b.views.NumberAt(context.Background(), feed, at)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// checkDeliveries holds the views of what customers configured against the ledger.
func checkDeliveries(t require.TestingT, b *bundle, l *ledger) {
	ctx := context.Background()
	for id, want := range l.deliveries {
		got, err := b.views.Delivery(ctx, want.Organisation, id)
		if want.Deleted {
			require.Equal(t, domain.NotFound, domain.KindOf(err))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want.Name, got.Name)
		require.Equal(t, want.Status, got.Status)
		require.Equal(t, want.Schedule, got.Schedule)
		require.Equal(t, want.Timezone, got.Timezone)
		require.Equal(t, want.Search, got.Search)
		require.Equal(t, append([]rules.Rule{}, want.Profile.Rules...), got.Rules)
		require.Equal(t, want.Profile.Threshold, got.Threshold)
		require.Equal(t, want.Profile.Version, got.Profile)
		stream, err := b.store.ReadStream(ctx, domain.DeliveryStream(id))
		require.NoError(t, err)
		require.EqualValues(t, len(stream), got.Version)
		require.EqualValues(t, want.Revision, got.Version, "what If-Match is compared with is what is shown")
		require.True(t, stream[0].RecordedAt.Equal(got.CreatedAt))
		require.True(t, stream[len(stream)-1].RecordedAt.Equal(got.UpdatedAt))

		list, err := b.views.Destinations(ctx, id, projections.Page{Limit: 1000})
		require.NoError(t, err)
		require.EqualValues(t, len(want.Destinations), list.Total)
		require.Len(t, list.Items, len(want.Destinations))
		for _, dst := range list.Items {
			require.Equal(t, want.Destinations[dst.ID], dst.Destination)
			one, err := b.views.Destination(ctx, id, dst.ID)
			require.NoError(t, err)
			require.Equal(t, dst, one)
		}
	}
	for _, o := range []domain.OrganisationID{org, other} {
		checkDeliveryLists(t, b, l, o)
	}
}

// checkDeliveryLists holds the lists of an organisation's deliveries and searches, whole and page by
// page, against the ledger.
func checkDeliveryLists(t require.TestingT, b *bundle, l *ledger, o domain.OrganisationID) {
	ctx := context.Background()
	for _, status := range []domain.DeliveryStatus{"", domain.Active, domain.Paused} {
		var want, got []domain.DeliveryID
		for id, d := range l.deliveries {
			if d.Organisation == o && !d.Deleted && (status == "" || d.Status == status) {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		slices.Reverse(want)
		for next := (projections.Page{Limit: 2}); ; next.After = string(got[len(got)-1]) {
			page, err := b.views.Deliveries(ctx, o, status, next)
			require.NoError(t, err)
			require.EqualValues(t, len(want), page.Total, "deliveries, %s", status)
			for _, d := range page.Items {
				got = append(got, d.ID)
			}
			if !page.More {
				break
			}
		}
		require.Equal(t, want, got, "deliveries, %s", status)
	}

	var ids []domain.DeliveryID
	for id, d := range l.deliveries {
		if d.Organisation == o && !d.Deleted {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var want, got []projections.Search
	for _, id := range ids {
		d := l.deliveries[id]
		i := slices.IndexFunc(want, func(s projections.Search) bool { return s.ID == d.Search })
		if i < 0 {
			i = len(want)
			want = append(want, projections.Search{ID: d.Search, Name: d.Name, Status: d.Status, Oldest: id})
		}
		if d.Status == domain.Active {
			want[i].Status = domain.Active
		}
	}
	for next := (projections.Page{Limit: 1}); ; next.After = string(got[len(got)-1].Oldest) {
		page, err := b.views.Searches(ctx, o, next)
		require.NoError(t, err)
		require.EqualValues(t, len(want), page.Total, "searches")
		got = append(got, page.Items...)
		if !page.More {
			break
		}
	}
	require.Equal(t, want, got, "searches")
}
