package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/rest"
	"github.com/openprospect/delivery-ledger/projections"
)

// feed returns a page of a feed.
func (c client) feed(tb testing.TB, id, query string) []map[string]any {
	tb.Helper()
	return c.call(tb, http.StatusOK, "GET", "/api/v1/deliveries/"+id+"/companies"+query, "").items(tb)
}

// settled waits until the read models show all that happened.
func (f *fixtures) settled(tb testing.TB) {
	tb.Helper()
	f.settle(tb.Context(), tb)
}

// settle waits until all followers are at the head of the log.
func (f *fixtures) settle(ctx context.Context, tb testing.TB) {
	tb.Helper()
	head, err := f.store.Head(ctx)
	require.NoError(tb, err)
	for _, p := range projections.All() {
		require.NoError(tb, f.store.Await(ctx, p.Name, head))
	}
}

func TestItemOfTheFeed(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	s, _ := c.qualify(t, id, `{"company": {"id": "comp_1", "name": "R&D <Acme>", "st\u0061tus": "customer", "nested": {"a": [1.50, null]}, "delivery_id": "theirs"},
		"prospects": [{"id": "p1", "title": "CTO"}], "qualification_score": 85, "match_reasons": ["Revenue > $10M"]}`)
	f.settled(t)
	items := c.feed(t, id, "")
	require.Len(t, items, 1)
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`, items[0]["delivered_at"])
	delete(items[0], "delivered_at")
	require.Equal(t, map[string]any{
		"id": "comp_1", "name": "R&D <Acme>", "nested": map[string]any{"a": []any{1.5, nil}},
		"prospects": []any{map[string]any{"id": "p1", "title": "CTO"}}, "qualification_score": 85.0, "match_reasons": []any{"Revenue > $10M"},
		"delivery_id": s.Items[0].HandOver, "status": "delivered",
	}, items[0])
	raw := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+id+"/companies", "").body
	require.Contains(t, string(raw), `"R&D <Acme>"`, "as the engine sent it")
	require.Contains(t, string(raw), `1.50`)
	require.Equal(t, 1, strings.Count(string(raw), `"status"`), "no key is there twice")
}

func TestFeedOfASearchHasACompanyOnce(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	a := c.createDelivery(t, `{"name":"a","prospect_search_id":"s/1%"}`)
	b := c.createDelivery(t, `{"name":"b","prospect_search_id":"s/1%"}`)
	search := url.PathEscape("s/1%")
	c.qualify(t, a, company("x"))
	c.qualify(t, search, "["+company("x")+","+company("y")+"]")
	f.settled(t)
	require.Len(t, c.feed(t, search, ""), 2)
	require.Len(t, c.feed(t, a, ""), 2)
	require.Len(t, c.feed(t, b, ""), 2)
}

func TestFeedOfASearchIsTheOrganisations(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	foreign := f.foreigner(t)
	const bound = `{"name":"a","prospect_search_id":"s1"}`
	c.qualify(t, c.createDelivery(t, bound), "["+company("x")+","+company("y")+"]")
	theirs := foreign.createDelivery(t, bound)
	f.settled(t)
	require.Empty(t, foreign.feed(t, "s1", ""), "naming another organisation's search shows nothing of it")
	foreign.qualify(t, theirs, company("x"))
	f.settled(t)
	require.Len(t, foreign.feed(t, "s1", ""), 1, "nor does it hide one's own")
	require.Len(t, c.feed(t, "s1", ""), 2)
}

func TestPagesOfTheFeed(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	path := "/api/v1/deliveries/" + id + "/companies"

	empty := c.call(t, http.StatusOK, "GET", path, "")
	start := empty.field(t, "next_cursor")
	require.NotEmpty(t, start, "a poller can begin before there is anything")
	require.Equal(t, start, c.call(t, http.StatusOK, "GET", path+"?cursor="+start, "").field(t, "next_cursor"))

	for i := range 60 {
		c.qualify(t, id, company(strconv.Itoa(i)))
	}
	f.settled(t)
	first := c.call(t, http.StatusOK, "GET", path, "").json(t)
	require.Len(t, first["items"], 50, "the default of this list")
	require.Equal(t, []any{60.0, 50.0, 0.0, true}, []any{first["total"], first["limit"], first["offset"], first["has_more"]})

	rest := c.call(t, http.StatusOK, "GET", path+"?cursor="+first["next_cursor"].(string), "").json(t)
	require.Len(t, rest["items"], 10)
	require.Equal(t, []any{10.0, false}, []any{rest["total"], rest["has_more"]})
	end := rest["next_cursor"].(string)
	require.Equal(t, end, c.call(t, http.StatusOK, "GET", path+"?cursor="+end, "").field(t, "next_cursor"))
	require.Equal(t, end, c.call(t, http.StatusOK, "GET", path+"?offset=1000", "").field(t, "next_cursor"))
	require.Len(t, c.feed(t, id, "?cursor="+start+"&limit=100"), 60)

	at := c.feed(t, id, "?limit=1&offset=29")[0]["delivered_at"].(string)
	for _, since := range []string{at, strings.Replace(at, "Z", "999Z", 1), inZone(t, at)} {
		items := c.feed(t, id, "?limit=1&delivered_since="+url.QueryEscape(since))
		require.Equal(t, "30", items[0]["id"], "strictly after %s", since)
	}
	require.Len(t, c.feed(t, id, "?limit=100&delivered_since=2001-01-01T00:00:00Z"), 60)
	require.Empty(t, c.feed(t, id, "?delivered_since=2101-01-01T00:00:00Z"))

	other := c.createDelivery(t, sampleDelivery)
	for _, cursor := range []string{end + "A", "AAAA", "%00", end[:len(end)-1]} {
		c.call(t, http.StatusUnprocessableEntity, "GET", path+"?cursor="+cursor, "")
	}
	a := c.call(t, http.StatusUnprocessableEntity, "GET", "/api/v1/deliveries/"+other+"/companies?cursor="+end, "")
	require.Equal(t, []string{"cursor"}, a.faults(t), "it is another feed's")
}

// inZone returns the same time as it is written elsewhere.
func inZone(t *testing.T, at string) string {
	t.Helper()
	when, err := time.Parse(time.RFC3339Nano, at)
	require.NoError(t, err)
	return when.In(time.FixedZone("", 5*3600+1800)).Format(time.RFC3339Nano)
}

func TestReadersMissNothingWhileWritersWrite(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	const search, writers, each = "s1", 4, 120
	ids := []string{c.createDelivery(t, `{"name":"a","prospect_search_id":"s1"}`), c.createDelivery(t, `{"name":"b","prospect_search_id":"s1"}`)}

	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				c.qualify(t, ids[(w+i)%2], company(fmt.Sprintf("%d-%d", w, i/2))) // every other one is in the search already
			}
		})
	}
	done := make(chan struct{})
	seen := map[string][]string{}
	var mu sync.Mutex
	for name, next := range map[string]func(page answer, at string, n int) string{
		"cursor":          func(page answer, _ string, _ int) string { return "&cursor=" + page.field(t, "next_cursor") },
		"delivered_since": func(_ answer, at string, _ int) string { return "&delivered_since=" + at },
		"offset":          func(_ answer, _ string, n int) string { return fmt.Sprintf("&offset=%d", n) },
	} {
		reading.Go(func() {
			got := c.readAll(t, search, next, done)
			mu.Lock()
			defer mu.Unlock()
			seen[name] = got
		})
	}
	writing.Wait()
	f.settled(t)
	close(done)
	reading.Wait()

	want := c.readAll(t, search, func(page answer, _ string, _ int) string { return "&cursor=" + page.field(t, "next_cursor") }, done)
	require.Len(t, want, writers*each/2)
	for name, got := range seen {
		require.Equal(t, want, got, "read by %s", name)
	}
}

// readAll reads a feed in pages of 7 until it is at its end after done was closed, and
// returns the companies' IDs in the order in which they came.
func (c client) readAll(t *testing.T, id string, next func(page answer, at string, n int) string, done <-chan struct{}) (ids []string) {
	t.Helper()
	query := ""
	for {
		ended := false
		select {
		case <-done:
			ended = true
		default:
		}
		page := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+id+"/companies?limit=7"+query, "")
		items := page.items(t)
		for _, item := range items {
			ids = append(ids, item["id"].(string))
		}
		require.Less(t, len(ids), 10_000, "reading comes to an end")
		if len(items) > 0 {
			query = next(page, items[len(items)-1]["delivered_at"].(string), len(ids))
		} else if ended {
			return ids
		}
	}
}

func TestCursorsMeanOnlyWhatTheySay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		feed := projections.Feed{Search: domain.SearchID(rapid.String().Draw(t, "search"))}
		number := rapid.Int64Min(0).Draw(t, "number")
		cursor := rest.NewCursor(feed, number)
		got, ok := rest.ParseCursor(feed, cursor)
		require.True(t, ok)
		require.Equal(t, number, got)

		other := projections.Feed{Delivery: domain.DeliveryID(feed.Search)}
		_, ok = rest.ParseCursor(other, cursor)
		require.False(t, ok && other != feed)
		if got, ok := rest.ParseCursor(feed, rapid.String().Draw(t, "any")); ok {
			require.GreaterOrEqual(t, got, int64(0))
		}
	})
}
