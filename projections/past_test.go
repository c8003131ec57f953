package projections_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// statuses are those of dispatches.
var statuses = []domain.DispatchStatus{domain.Pending, domain.Retrying, domain.Held, domain.Delivered, domain.Failed, domain.Cancelled}

// views are what is asked of the present and of the past alike.
type views interface {
	Owned(ctx context.Context, org domain.OrganisationID, id domain.DeliveryID) error
	Deliveries(ctx context.Context, org domain.OrganisationID, status domain.DeliveryStatus, page projections.Page) (projections.List[projections.Delivery], error)
	Feed(ctx context.Context, org domain.OrganisationID, id string) (projections.Feed, error)
	NumberAt(ctx context.Context, feed projections.Feed, t time.Time) (int64, error)
	Companies(ctx context.Context, feed projections.Feed, page projections.FeedPage) (projections.List[projections.Company], error)
	Dispatch(ctx context.Context, id domain.DispatchID) (projections.Dispatch, error)
	DispatchesOf(ctx context.Context, filter projections.DispatchFilter, page projections.DispatchPage) (projections.List[projections.Dispatch], error)
	DispatchesIn(ctx context.Context, in projections.Sequence, skip int64, limit int) (projections.List[projections.Dispatch], error)
}

// A having returns all dispatches of a filter with a status.
type having func(filter projections.DispatchFilter) []projections.Dispatch

// A survey asks everything that can be asked of a ledger, of which it knows the names that there will ever be.
type survey struct {
	deliveries []domain.DeliveryID
	targets    []*target
	dispatches []domain.DispatchID
	times      []time.Time
}

// newSurvey returns one of a ledger.
func newSurvey(l *ledger) survey {
	s := survey{deliveries: slices.Sorted(maps.Keys(l.deliveries)), targets: l.targets, dispatches: slices.Sorted(maps.Keys(l.dispatches))}
	for i := 0; i < len(l.handOvers); i += 1 + len(l.handOvers)/3 {
		s.times = append(s.times, l.handOvers[i].at)
	}
	return s
}

// of returns the answers, by what was asked.
func (s survey) of(t require.TestingT, v views, with having) map[string]any {
	ctx := context.Background()
	answers := map[string]any{}
	note := func(question string, answer any, err error) {
		if domain.KindOf(err) == domain.NotFound {
			answer = "not found"
		} else {
			require.NoError(t, err, question)
		}
		answers[question] = answer
	}
	feeds := []string{"search_1", "search_2", "search_none"}
	for _, id := range s.deliveries {
		feeds = append(feeds, string(id))
		list, err := v.DispatchesOf(ctx, projections.DispatchFilter{Delivery: id}, projections.DispatchPage{Limit: 1000})
		note("dispatches of "+string(id), inUTC(list), err)
		page, err := v.DispatchesOf(ctx, projections.DispatchFilter{Delivery: id}, projections.DispatchPage{Limit: 2, Offset: 1})
		note("a page of dispatches of "+string(id), inUTC(page), err)
		for _, status := range statuses {
			answers[fmt.Sprint(status, " dispatches of ", id)] = inUTC(projections.List[projections.Dispatch]{
				Items: with(projections.DispatchFilter{Delivery: id, Status: status}),
			})
		}
	}
	for _, o := range []domain.OrganisationID{org, other} {
		for _, status := range []domain.DeliveryStatus{"", domain.Active, domain.Paused} {
			for _, page := range []projections.Page{{Limit: 1000}, {Limit: 1, Offset: 1}, {Limit: 2, After: string(s.deliveries[len(s.deliveries)/2])}} {
				list, err := v.Deliveries(ctx, o, status, page)
				note(fmt.Sprint(status, " deliveries of ", o, page), deliveriesInUTC(list), err)
			}
		}
		for _, id := range s.deliveries {
			note(fmt.Sprint(id, " of ", o), "", v.Owned(ctx, o, id))
		}
		for _, id := range feeds {
			feed, err := v.Feed(ctx, o, id)
			note(fmt.Sprint("feed ", id, " of ", o), feed, err)
			if err != nil {
				continue
			}
			list, err := v.Companies(ctx, feed, projections.FeedPage{Limit: 1000})
			note(fmt.Sprint("companies of ", id, " of ", o), listed(list), err)
			for i, at := range s.times {
				after, err := v.NumberAt(ctx, feed, at)
				note(fmt.Sprint("companies of ", id, " of ", o, " until ", i), after, err)
				page, err := v.Companies(ctx, feed, projections.FeedPage{After: after, Offset: int64(i % 3), Limit: 2})
				note(fmt.Sprint("companies of ", id, " of ", o, " since ", i), listed(page), err)
			}
		}
	}
	for _, dst := range s.targets {
		filter := projections.DispatchFilter{Delivery: dst.delivery, Destination: dst.ID}
		list, err := v.DispatchesOf(ctx, filter, projections.DispatchPage{Limit: 2})
		note("dispatches to "+string(dst.ID), inUTC(list), err)
		in := projections.Sequence{Delivery: dst.delivery, Destination: dst.ID, After: 1, Until: 3}
		list, err = v.DispatchesIn(ctx, in, 0, 10)
		note("sequence to "+string(dst.ID), inUTC(list), err)
		list, err = v.DispatchesIn(ctx, projections.Sequence{Delivery: dst.delivery, Destination: dst.ID}, 1, 2)
		note("the second ones to "+string(dst.ID), inUTC(list), err)
	}
	for _, id := range s.dispatches {
		d, err := v.Dispatch(ctx, id)
		note(string(id), inUTC(projections.List[projections.Dispatch]{Items: []projections.Dispatch{d}}), err)
	}
	return answers
}

// listed returns a list that is never nil.
func listed(list projections.List[projections.Company]) projections.List[projections.Company] {
	list.Items = append([]projections.Company{}, list.Items...)
	return list
}

// inUTC returns a list whose times are all in one zone, and which is never nil.
func inUTC(list projections.List[projections.Dispatch]) projections.List[projections.Dispatch] {
	items := make([]projections.Dispatch, len(list.Items))
	for i, d := range list.Items {
		for _, at := range []**time.Time{&d.Due, &d.SettledAt} {
			if *at != nil {
				*at = new((*at).UTC())
			}
		}
		items[i] = d
	}
	list.Items = items
	return list
}

// deliveriesInUTC returns a list whose times are all in one zone, and which is never nil; but its rules are where there are none.
func deliveriesInUTC(list projections.List[projections.Delivery]) projections.List[projections.Delivery] {
	items := make([]projections.Delivery, len(list.Items))
	for i, d := range list.Items {
		d.CreatedAt, d.UpdatedAt = d.CreatedAt.UTC(), d.UpdatedAt.UTC()
		if len(d.Rules) == 0 {
			d.Rules = nil
		}
		items[i] = d
	}
	list.Items = items
	return list
}

// now returns all that has a status.
func (b *bundle) now(t require.TestingT) having {
	return func(filter projections.DispatchFilter) []projections.Dispatch {
		list, err := b.views.DispatchesOf(context.Background(), filter, projections.DispatchPage{Limit: 1000})
		require.NoError(t, err)
		return list.Items
	}
}

// then returns all that had a status, page by page.
func then(t require.TestingT, past *projections.Past, limit int) having {
	return func(filter projections.DispatchFilter) []projections.Dispatch {
		var all []projections.Dispatch
		for from := (projections.PastPlace{}); ; {
			list, next, err := past.DispatchesHaving(context.Background(), filter, from, limit)
			require.NoError(t, err)
			require.LessOrEqual(t, len(list.Items), limit)
			all = append(all, list.Items...)
			if !list.More {
				require.True(t, list.Least || int64(len(all)) == list.Total, "what is not counted without end is counted")
				return all
			}
			var read projections.PastPlace
			require.NoError(t, read.UnmarshalText([]byte(next.String())))
			require.Equal(t, next, read)
			from = next
		}
	}
}

// advance applies what follows in the log to all read models, which show it up to a position, and returns where that ends.
func (b *bundle) advance(t require.TestingT, from, to eventstore.Position) eventstore.Position {
	const move = `
		INSERT INTO cursors (name, version, position) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET position = excluded.position`
	ctx := context.Background()
	for _, p := range []projections.Projection{projections.Deliveries(), projections.Companies(), projections.Dispatches()} {
		err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
			if err := p.ApplyRange(ctx, tx, b.store.Registry(), from+1, to); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, move, p.Name, p.Version, to)
			return err
		})
		require.NoError(t, err)
	}
	return to
}

// prospects returns those of each hand-over that are shown now.
func (b *bundle) prospects(t require.TestingT) map[domain.HandOverID]json.RawMessage {
	rows, _ := b.pool.Query(context.Background(), `SELECT handover_id, prospects FROM companies`) // ForEachRow reports the error
	found := map[domain.HandOverID]json.RawMessage{}
	var id domain.HandOverID
	var list []byte
	_, err := pgx.ForEachRow(rows, []any{&id, &list}, func() error {
		found[id] = slices.Clone(list)
		return nil
	})
	require.NoError(t, err)
	return found
}

// left returns an answer without what was erased since, which is shown of no moment any more.
func left(answer any, prospects map[domain.HandOverID]json.RawMessage) any {
	list, ok := answer.(projections.List[projections.Company])
	if !ok {
		return answer
	}
	list.Items = slices.Clone(list.Items)
	for i, c := range list.Items {
		list.Items[i].Prospects = prospects[c.HandOver]
	}
	return list
}

// The log is cut wherever it may be; between the last attempt of a dispatch and its failure, which are recorded in one
// instant, nobody has ever looked.
func TestWhatIsShownAsOfAPositionIsWhatWasShownThen(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	rapid.Check(t, func(rt *rapid.T) {
		b.reset(rt)
		h := &history{bundle: b, targets: map[domain.DispatchID]domain.DestinationID{}}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			h.step(rt)
		}
		head, err := b.store.Head(rt.Context())
		require.NoError(rt, err)
		records, err := eventstore.ReadPage(rt.Context(), b.pool, 1, head)
		require.NoError(rt, err)
		whole := newSurvey(replay(rt, b.store.Registry(), records))
		shown := map[eventstore.Position]map[string]any{}
		for at := eventstore.Position(0); at < head; {
			at = b.advance(rt, at, eventstore.Position(rapid.Int64Range(int64(at)+1, min(int64(head), int64(at)+40)).Draw(rt, "position")))
			if at == head || records[at].Type != (domain.DispatchFailed{}).EventType() {
				shown[at] = whole.of(rt, b.views, b.now(rt))
			}
		}
		prospects := b.prospects(rt)
		for at, want := range shown {
			past := projections.NewPast(b.views, b.store, at)
			past.Narrow(rapid.IntRange(1, 5).Draw(rt, "stretch"), rapid.IntRange(1, 50).Draw(rt, "rows"), rapid.IntRange(1, 50).Draw(rt, "streams"))
			got := whole.of(rt, past, then(rt, past, rapid.IntRange(1, 5).Draw(rt, "limit")))
			require.Len(rt, got, len(want))
			for question := range want {
				require.Equal(rt, left(want[question], prospects), got[question], "%s as of %d of %d", question, at, head)
			}
		}
	})
}
