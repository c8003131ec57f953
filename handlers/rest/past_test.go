package rest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// watched is a delivery of which a test keeps what was shown.
type watched struct {
	client
	f      *fixtures
	paths  []string // that are shown,
	lists  []string // besides these, which all organisations have
	pasts  map[int]map[string]map[string]any
	things map[string]string
}

// look keeps what is shown now.
func (w *watched) look(t *testing.T) {
	t.Helper()
	head := int(w.f.head(t))
	w.pasts[head] = map[string]map[string]any{}
	for _, path := range slices.Concat(w.paths, w.lists) {
		a := w.send(t, "GET", path, "", "Ledger-Min-Position", strconv.Itoa(head))
		if a.status == http.StatusOK {
			w.pasts[head][path] = withoutCursor(t, a)
		} else {
			require.Equal(t, http.StatusNotFound, a.status)
		}
	}
}

// withoutCursor returns an answer but for its cursor.
func withoutCursor(t *testing.T, a answer) map[string]any {
	t.Helper()
	shown := a.json(t)
	delete(shown, "next_cursor")
	return shown
}

// do does something to the delivery, and looks.
func (w *watched) do(t *testing.T, method, path, body string) {
	t.Helper()
	a := w.send(t, method, fill(t, path, w.things), body)
	require.Less(t, a.status, 300, string(a.body))
	w.look(t)
}

// attempt records an attempt of the dispatch that the test knows, and looks.
func (w *watched) attempt(t *testing.T, number int, fault string) {
	t.Helper()
	_, err := eventstore.Execute(t.Context(), w.f.store, domain.RecordAttempt{
		Attempt: domain.Attempt{
			Dispatch: domain.DispatchID(w.things["dispatch_id"]), Delivery: domain.DeliveryID(w.things["delivery_id"]),
			Destination: domain.DestinationID(w.things["destination_id"]), Number: number, StartedAt: time.Now().UTC(), Status: 200,
		},
		Error: fault, Retries: domain.RetrySchedule{time.Minute},
	})
	require.NoError(t, err)
	w.look(t)
}

// watch lets a delivery be created, used and deleted, and returns what was shown meanwhile.
func watch(t *testing.T) *watched {
	t.Helper()
	c, f := setup(t)
	w := &watched{client: c, f: f, pasts: map[int]map[string]map[string]any{}, things: map[string]string{}}
	w.things["delivery_id"] = c.createDelivery(t, `{"name":"CRM Sync","prospect_search_id":"search_1"}`)
	const base = "/api/v1/deliveries/{delivery_id}"
	dst := c.call(t, http.StatusCreated, "POST", fill(t, base, w.things)+"/destinations", `{"type":"webhook","url":"https://a.com/x"}`).field(t, "id")
	first := c.call(t, http.StatusOK, "POST", fill(t, base, w.things)+"/qualifications", company("comp_1")).items(t)[0]["delivery_id"].(string)
	w.things["destination_id"], w.things["dispatch_id"] = dst, string(domain.DispatchIDFor(domain.HandOverID(first), domain.DestinationID(dst)))
	path := fill(t, base, w.things)
	c.createDelivery(t, `{"name":"Second","status":"paused"}`)
	w.lists = []string{"/api/v1/deliveries", "/api/v1/deliveries?limit=1&offset=1", "/api/v1/deliveries?status=active", "/api/v1/deliveries?status=paused&limit=1"}
	w.paths = []string{
		path + "/companies", "/api/v1/deliveries/search_1/companies?limit=1", path + "/companies?limit=1&offset=1", path + "/dispatches",
		path + "/dispatches?destination=" + dst, path + "/dispatches?destination=" + dst + "&sequence_after=1", fill(t, "/api/v1/dispatches/{dispatch_id}", w.things),
	}
	for _, status := range []string{"pending", "retrying", "held", "delivered", "failed", "cancelled"} {
		w.paths = append(w.paths, path+"/dispatches?status="+status)
	}
	w.look(t)
	w.do(t, "POST", base+"/qualifications", "["+company("comp_2")+","+company("comp_3")+"]")
	w.attempt(t, 1, "it answered 503")
	w.do(t, "PUT", base, `{"status":"paused"}`)
	w.do(t, "PUT", base, `{"status":"active"}`)
	w.attempt(t, 2, "it answered 503")
	w.do(t, "POST", "/api/v1/dispatches/{dispatch_id}/retry", ``)
	w.attempt(t, 3, "")
	w.do(t, "DELETE", base+"/destinations/{destination_id}", ``)
	w.do(t, "POST", base+"/qualifications", company("comp_4"))
	w.do(t, "DELETE", base, ``)
	return w
}

// asOf returns a path as of a moment.
func asOf(path, moment string) string {
	return path + map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "as_of=" + moment
}

func TestListsFeedsAndDispatchesAsOfAMomentAreWhatWasShownThen(t *testing.T) {
	t.Parallel()
	w := watch(t)
	stranger := w.f.foreigner(t)
	for position, shown := range w.pasts {
		records, err := eventstore.ReadPage(t.Context(), w.f.pool, eventstore.Position(position), eventstore.Position(position))
		require.NoError(t, err)
		for _, moment := range []string{strconv.Itoa(position), records[0].RecordedAt.UTC().Format(time.RFC3339Nano)} {
			for _, path := range w.lists {
				require.Empty(t, stranger.call(t, http.StatusOK, "GET", asOf(path, moment), "").items(t))
				require.Equal(t, shown[path], withoutCursor(t, w.call(t, http.StatusOK, "GET", asOf(path, moment), "")), "%s as of %s", path, moment)
			}
			for _, path := range w.paths {
				asked := asOf(path, moment)
				require.NotEqual(t, http.StatusOK, stranger.send(t, "GET", asked, "").status)
				want, there := shown[path]
				if !there {
					w.call(t, http.StatusNotFound, "GET", asked, "")
					continue
				}
				require.Equal(t, want, withoutCursor(t, w.call(t, http.StatusOK, "GET", asked, "")), "%s as of %s", path, moment)
			}
		}
	}
	for _, path := range w.lists {
		require.Empty(t, w.call(t, http.StatusOK, "GET", asOf(path, "0"), "").items(t))
	}
	for _, path := range w.paths {
		w.call(t, http.StatusNotFound, "GET", asOf(path, "0"), "")
	}
	for _, path := range slices.Concat(w.paths, w.lists) {
		for _, future := range []string{"2999-01-01T00:00:00Z", "1000000"} {
			require.Equal(t, []string{"as_of"}, w.call(t, http.StatusUnprocessableEntity, "GET", asOf(path, future), "").faults(t))
		}
	}
}

func TestACursorOfAPastFeedStaysInThatPast(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"CRM Sync"}`)
	for _, id := range []string{"comp_1", "comp_2", "comp_3"} {
		c.call(t, http.StatusOK, "POST", path+"/qualifications", company(id))
	}
	moment := strconv.Itoa(int(f.head(t)))
	c.call(t, http.StatusOK, "POST", path+"/qualifications", company("comp_4"))
	feed := path + "/companies?limit=1"
	for _, kept := range []string{"", "&as_of=" + moment} {
		var pulled []any
		asked := feed + "&as_of=" + moment
		for {
			a := c.call(t, http.StatusOK, "GET", asked, "")
			for _, item := range a.items(t) {
				pulled = append(pulled, item["id"])
			}
			if !a.json(t)["has_more"].(bool) {
				break
			}
			asked = feed + kept + "&cursor=" + a.field(t, "next_cursor")
		}
		require.Equal(t, []any{"comp_1", "comp_2", "comp_3"}, pulled)
	}
	linked := c.call(t, http.StatusOK, "GET", feed+"&as_of="+moment, "")
	next, _, _ := strings.Cut(strings.TrimPrefix(linked.header.Get("Link"), "<"), ">")
	require.Equal(t, "comp_2", c.call(t, http.StatusOK, "GET", next, "").items(t)[0]["id"])

	past := linked.field(t, "next_cursor")
	present := c.call(t, http.StatusOK, "GET", feed, "").field(t, "next_cursor")
	faults := func(query string) []string {
		return c.call(t, http.StatusUnprocessableEntity, "GET", feed+query, "").faults(t)
	}
	require.Equal(t, []string{"cursor"}, faults("&as_of="+moment+"&cursor="+present))
	require.Equal(t, []string{"cursor"}, faults("&as_of=1&cursor="+past))
	require.ElementsMatch(t, []string{"as_of", "delivered_since"},
		faults("&as_of=noon&delivered_since="+url.QueryEscape("2025-01-01T00:00:00Z")+"&cursor="+past), "all that is wrong at once")
}
