package rest_test

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// next returns where an answer's Link leads, "" when it has none.
func (a answer) next() string {
	target, rest, _ := strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
	if rest != `; rel="next"` {
		return ""
	}
	return target
}

func TestListsGoOnWhereTheyWereLeft(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	delivery := c.createDelivery(t, sampleDelivery)
	one := "/api/v1/deliveries/" + delivery
	c.call(t, http.StatusCreated, "POST", one+"/destinations", sampleDestination)
	const organisations = "/api/v1/admin/organisations"
	keys := organisations + "/" + c.call(t, http.StatusCreated, "POST", organisations, `{"name":"keys"}`).field(t, "id") + "/keys"
	for i := range 7 {
		c.call(t, http.StatusCreated, "POST", organisations, `{"name":"`+strconv.Itoa(i)+`"}`)
		c.call(t, http.StatusCreated, "POST", keys, `{"name":"`+strconv.Itoa(i)+`","scopes":[]}`)
		c.createDelivery(t, `{"name":"`+strconv.Itoa(i)+`","status":"paused","prospect_search_id":"s`+strconv.Itoa(i)+`"}`)
		c.call(t, http.StatusCreated, "POST", one+"/destinations", `{"type":"api"}`)
		c.qualify(t, delivery, company(strconv.Itoa(i)))
	}
	f.settled(t)
	for list, want := range map[string]int{
		"/api/v1/deliveries?limit=3":                                              8,
		"/api/v1/deliveries?status=paused&limit=3":                                7,
		one + "/destinations?limit=3":                                             8,
		one + "/events?limit=3":                                                   16,
		one + "/events?limit=3&since=2020-01-15T00:00:00Z&type=company.qualified": 7,
		one + "/dispatches?limit=3":                                               7,
		one + "/dispatches?limit=3&until=2120-01-15T00:00:00Z&status=pending":     7,
		organisations + "?limit=3":                                                9,
		keys + "?limit=3":                                                         7,
		"/api/v1/prospect-searches?limit=3":                                       8,
		one + "/companies?limit=3&delivered_since=" + url.QueryEscape("2020-01-15T00:00:00+00:00"): 7,
	} {
		seen := map[any]bool{}
		for path := list; path != ""; {
			a := c.call(t, http.StatusOK, "GET", path, "")
			for _, item := range a.items(t) {
				id := cmp.Or(item["id"], item["position"])
				require.False(t, seen[id], "none comes twice")
				seen[id] = true
			}
			more := a.json(t)["has_more"].(bool)
			path = a.next()
			require.Equal(t, more, path != "", "%s", a.body)
			if !more {
				break
			}
			query, err := url.ParseQuery(path[strings.Index(path, "?")+1:])
			require.NoError(t, err)
			require.Equal(t, a.field(t, "next_cursor"), query.Get("cursor"))
			require.Equal(t, "3", query.Get("limit"), "all parameters are kept")
			require.Empty(t, query.Get("offset"))
			require.Equal(t, strings.Contains(list, "status"), query.Has("status"))
			if a.json(t)["total"].(float64) != float64(want) {
				require.Contains(t, list, "companies", "of a list the total is the whole one's")
			}
			if strings.HasPrefix(list, "/api/v1/deliveries?") && !strings.Contains(list, "status") && len(seen) == 3 {
				c.createDelivery(t, `{"name":"new","prospect_search_id":"s1"}`)
				want = 9
			}
		}
		require.Len(t, seen, want-strings.Count(list, "deliveries?limit"), "what comes in at the front moves nothing: %s", list)
		deep := c.call(t, http.StatusOK, "GET", list+"&offset=1000000", "")
		require.Empty(t, deep.items(t))
		require.Equal(t, false, deep.json(t)["has_more"])
		require.NotZero(t, deep.json(t)["total"])
	}
}

func TestCursorIsOfItsListAlone(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	other := c.createDelivery(t, sampleDelivery)
	one := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery)
	for range 2 {
		c.call(t, http.StatusCreated, "POST", one+"/destinations", `{"type":"api"}`)
	}
	cursors := map[string]string{}
	const organisations = "/api/v1/admin/organisations"
	keys := organisations + "/" + c.call(t, http.StatusCreated, "POST", organisations, `{"name":"keys"}`).field(t, "id") + "/keys"
	for range 2 {
		c.call(t, http.StatusCreated, "POST", keys, `{"name":"a","scopes":[]}`)
	}
	f.settled(t)
	lists := []string{
		"/api/v1/deliveries?", "/api/v1/deliveries?status=active&", "/api/v1/prospect-searches?", one + "/destinations?",
		one + "/events?", one + "/events?type=destination.added&", organisations + "?", keys + "?",
	}
	for _, list := range lists {
		cursors[list] = c.call(t, http.StatusOK, "GET", list+"limit=1", "").field(t, "next_cursor")
		require.NotEmpty(t, cursors[list])
	}
	for from, cursor := range cursors {
		for _, list := range append(lists, "/api/v1/deliveries/"+other+"/destinations?", one+"/companies?") {
			if list == from {
				c.call(t, http.StatusOK, "GET", list+"limit=2&cursor="+cursor, "")
				a := c.call(t, http.StatusUnprocessableEntity, "GET", list+"offset=1&cursor="+cursor+"x", "")
				require.Equal(t, []string{"offset", "cursor"}, a.faults(t))
				continue
			}
			a := c.call(t, http.StatusUnprocessableEntity, "GET", list+"cursor="+cursor, "")
			require.Equal(t, []string{"cursor"}, a.faults(t), "%s to %s", from, list)
		}
	}
	a := f.foreigner(t).call(t, http.StatusUnprocessableEntity, "GET", "/api/v1/deliveries?cursor="+cursors[lists[0]], "")
	require.Equal(t, []string{"cursor"}, a.faults(t))
}
