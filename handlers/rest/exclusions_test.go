package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

const exclusionsPath = "/api/v1/exclusions"

// exclude excludes values, each given by its kind and itself, and returns the IDs.
func (c client) exclude(tb testing.TB, pairs ...string) []string {
	tb.Helper()
	list := make([]string, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, fmt.Sprintf(`{"kind":%q,"value":%q,"reason":"A customer already"}`, pairs[i], pairs[i+1]))
	}
	var ids []string
	for _, item := range c.call(tb, http.StatusOK, "POST", exclusionsPath, "["+strings.Join(list, ",")+"]").items(tb) {
		ids = append(ids, item["id"].(string))
	}
	return ids
}

// named returns a qualification, or a candidate less its score, of a company with a domain.
func named(id, domain string, qualified bool) string {
	score := ""
	if qualified {
		score = `,"qualification_score":60,"match_reasons":["Uses HubSpot"]`
	}
	return fmt.Sprintf(`{"company":{"id":%q,"name":"x","domain":%q,"technologies":["hubspot"],"revenue":12e6},"prospects":[{"id":"p","title":"CTO"}]%s}`, id, domain, score)
}

func TestExcludedCompaniesAreNotHandedOver(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, judgedDelivery)
	s, _ := c.qualify(t, id, named("early", "early.example.com", true))
	require.Equal(t, []string{"accepted"}, s.outcomes(), "before anything is excluded")

	ids := c.exclude(t, "domain", "Example.com", "company", "comp_1")
	_, a := c.qualify(t, id, "["+strings.Join([]string{
		named("a", "shop.EXAMPLE.com", true), named("b", "anexample.com", true), named("comp_1", "other.test", true), named("early", "early.example.com", true),
		named("a", "shop.EXAMPLE.com", true),
	}, ",")+"]")
	require.Equal(t, []string{"disqualified", "accepted", "disqualified", "duplicate", "disqualified"}, outcomes(t, a), "what was handed over before stays")
	require.Equal(t, map[string]any{"id": ids[0], "kind": "domain", "value": "example.com", "reason": "A customer already"}, a.items(t)[0]["exclusion"])
	require.Equal(t, ids[1], a.items(t)[2]["exclusion"].(map[string]any)["id"])
	require.NotContains(t, a.items(t)[0], "qualification_score")

	judged, a := c.judge(t, id, named("c", "https://www.example.com/about", false)+"\n"+named("d", "d.test", false), ndjson...)
	require.Equal(t, []string{"disqualified", "accepted"}, judged.outcomes())
	require.Equal(t, ids[0], a.items(t)[0]["exclusion"].(map[string]any)["id"])

	trail := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+id+"/events?type=company.disqualified", "", minPosition, a.header.Get("Ledger-Position")).items(t)
	require.Len(t, trail, 3, "what is sent again adds nothing")
	require.Equal(t, "A customer already", trail[0]["data"].(map[string]any)["excluded"].(map[string]any)["reason"])

	c.call(t, http.StatusNoContent, "DELETE", exclusionsPath+"/"+ids[0], "")
	s, _ = c.qualify(t, id, named("a", "shop.example.com", true))
	require.Equal(t, []string{"accepted"}, s.outcomes(), "once the exclusion is removed it may qualify")
	judged, _ = c.judge(t, id, named("c", "https://www.example.com/about", false))
	require.Equal(t, []string{"accepted"}, judged.outcomes())

	foreign := f.foreigner(t)
	s, _ = foreign.qualify(t, foreign.createDelivery(t, judgedDelivery), named("comp_1", "other.test", true))
	require.Equal(t, []string{"accepted"}, s.outcomes(), "another organisation's exclusions are its own")
}

// outcomes returns those of an answer's items.
func outcomes(tb testing.TB, a answer) (all []string) {
	tb.Helper()
	for _, item := range a.items(tb) {
		all = append(all, item["outcome"].(string))
	}
	return all
}

// TestExclusionCountsFromItsAnswerOn lets many exclude, and hand over what they excluded, by two servers.
func TestExclusionCountsFromItsAnswerOn(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	other := client{url: f.serve(t).URL, key: c.key}
	id := c.createDelivery(t, sampleDelivery)
	var group sync.WaitGroup
	for n := range 10 {
		group.Go(func() {
			company := fmt.Sprint("comp_", n)
			c.send(t, "POST", "/api/v1/deliveries/"+id+"/qualifications", named("before_"+company, "a.test", true))
			c.exclude(t, "company", company)
			a := other.send(t, "POST", "/api/v1/deliveries/"+id+"/qualifications", named(company, "a.test", true))
			if !strings.Contains(string(a.body), `"outcome":"disqualified"`) {
				t.Errorf("%s was excluded: %s", company, a.body)
			}
		})
	}
	group.Wait()
}

func TestExclusionsAreAddedSingly(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	a := c.call(t, http.StatusOK, "POST", exclusionsPath, `[{"kind":"domain","value":"BÜCHER.example","reason":"r"},{"kind":"domain","value":"xn--bcher-kva.example"},
		{"kind":"domain","value":"https://a.example","x":1},{"kind":"name","value":17},[],{"kind":"company","value":"comp_1"},{"kind":"company","kind":"company","value":"comp_2"}]`)
	require.Equal(t, []string{"accepted", "duplicate", "rejected", "rejected", "rejected", "accepted", "rejected"}, outcomes(t, a))
	require.Equal(t, a.items(t)[0]["id"], a.items(t)[1]["id"])
	var rejected struct {
		Items []struct{ Error struct{ Details any } }
	}
	require.NoError(t, json.Unmarshal(a.body, &rejected))
	require.Equal(t, []any{2.0, 1.0, 4.0}, []any{a.json(t)["accepted"], a.json(t)["duplicates"], a.json(t)["rejected"]})
	for i, fields := range map[int][]string{2: {"x", "value"}, 3: {"kind", "value"}, 4: {"body"}, 6: {"kind"}} {
		var got []string
		for _, fault := range rejected.Items[i].Error.Details.(map[string]any)["validation_errors"].([]any) {
			got = append(got, fault.(map[string]any)["field"].(string))
		}
		require.ElementsMatch(t, fields, got)
	}
	head := f.head(t)
	require.ElementsMatch(t, []string{"kind", "value", "reason"}, c.call(t, http.StatusUnprocessableEntity, "POST", exclusionsPath, `{"reason":7}`).faults(t))
	c.call(t, http.StatusUnprocessableEntity, "POST", exclusionsPath, `"example.com"`)
	c.call(t, http.StatusBadRequest, "POST", exclusionsPath, `[{]`)
	c.call(t, http.StatusOK, "POST", exclusionsPath, `[]`)
	c.call(t, http.StatusOK, "POST", exclusionsPath, `{"kind":"company","value":"comp_1","reason":"another"}`)
	require.Equal(t, head, f.head(t))
	f.client(t, f.org, apikey.DeliveriesRead).call(t, http.StatusForbidden, "POST", exclusionsPath, `[]`)
}

func TestExclusionsAreListedShownAndRemoved(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	ids := c.exclude(t, "domain", "a.example", "domain", "b.example", "company", "comp_1")
	page := c.call(t, http.StatusOK, "GET", exclusionsPath+"?limit=2", "")
	require.Equal(t, []any{3.0, ids[2], ids[1]}, []any{page.json(t)["total"], page.items(t)[0]["id"], page.items(t)[1]["id"]})
	next, _, _ := strings.Cut(strings.TrimPrefix(page.header.Get("Link"), "<"), ">")
	rest := c.call(t, http.StatusOK, "GET", next, "")
	require.Equal(t, []any{ids[0], false}, []any{rest.items(t)[0]["id"], rest.json(t)["has_more"]})
	for query, id := range map[string]string{"?kind=domain&value=A.EXAMPLE": ids[0], "?kind=domain&limit=1": ids[1]} {
		require.Equal(t, id, c.call(t, http.StatusOK, "GET", exclusionsPath+query, "").items(t)[0]["id"], query)
	}
	require.Empty(t, c.call(t, http.StatusOK, "GET", exclusionsPath+"?kind=domain&value=www.a.example", "").items(t))
	require.Empty(t, c.call(t, http.StatusOK, "GET", exclusionsPath+"?kind=domain&value=a.example&offset=1", "").items(t))
	require.Equal(t, []string{"kind"}, c.call(t, http.StatusUnprocessableEntity, "GET", exclusionsPath+"?value=a.example", "").faults(t))
	require.Equal(t, []string{"value"}, c.call(t, http.StatusUnprocessableEntity, "GET", exclusionsPath+"?kind=domain&value=a", "").faults(t))

	path := exclusionsPath + "/" + ids[0]
	shown := c.call(t, http.StatusOK, "GET", path, "")
	require.Equal(t, rest.items(t)[0], shown.json(t))
	c.call(t, http.StatusNotModified, "GET", path, "", "If-None-Match", shown.header.Get("ETag"))
	foreign := f.foreigner(t)
	foreign.call(t, http.StatusNotFound, "GET", path, "")
	foreign.call(t, http.StatusNotFound, "DELETE", path, "")
	c.call(t, http.StatusPreconditionFailed, "DELETE", path, "", "If-Match", `"7"`)
	c.call(t, http.StatusNoContent, "DELETE", path, "", "If-Match", shown.header.Get("ETag"))
	c.call(t, http.StatusNotFound, "DELETE", path, "")
	require.Equal(t, "ENTITY_NOT_FOUND", c.call(t, http.StatusNotFound, "GET", path, "").field(t, "code"))
	require.Equal(t, ids[:1], c.exclude(t, "domain", "a.example"), "the same value has the same ID again")
	require.EqualValues(t, 3, c.call(t, http.StatusOK, "GET", exclusionsPath, "").json(t)["total"])
}

func TestExclusionsSentAgainUnderAKeyGetTheFirstAnswer(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	body := `[{"kind":"domain","value":"a.example"},{"kind":"domain","value":"b.example"}]`
	first := c.call(t, http.StatusOK, "POST", exclusionsPath, body, keyed("x")...)
	f.crash(t)
	head := f.head(t)
	again := c.call(t, http.StatusOK, "POST", exclusionsPath, body, keyed("x")...)
	require.Equal(t, first.json(t), again.json(t), "also when the answer was lost")
	require.Equal(t, head, f.head(t))
	requireReplay(t, again, c.call(t, http.StatusOK, "POST", exclusionsPath, body, keyed("x")...))
}
