package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// judgedDelivery has the rules of the product's documentation.
const judgedDelivery = `{"name":"CRM Sync","rules":` + sampleRules + `}`

// candidate returns a company that has what the rules ask for; less the decision maker it is not required to have, if not decided.
func candidate(id string, decided bool) string {
	title := "Intern"
	if decided {
		title = "CTO"
	}
	return `{"company":{"id":"` + id + `","name":"x","revenue":12e6,"technologies":["hubspot"]},"prospects":[{"id":"p","title":"` + title + `"}]}`
}

// judge sends candidates and returns what came of it.
func (c client) judge(tb testing.TB, id, body string, header ...string) (summary, answer) {
	tb.Helper()
	a := c.call(tb, http.StatusOK, "POST", "/api/v1/deliveries/"+id+"/candidates", body, header...)
	var s summary
	require.NoError(tb, json.Unmarshal(a.body, &s))
	return s, a
}

func TestCandidatesAreJudgedAndHandedOver(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	id := c.createDelivery(t, judgedDelivery)
	s, a := c.judge(t, id, "["+strings.Join([]string{
		candidate("a", true), candidate("b", false), candidate("a", true), candidate("b", false), `{"company":{"id":"c"},"score":1}`, company("d"),
	}, ",")+"]")
	require.Equal(t, []string{"accepted", "disqualified", "duplicate", "disqualified", "rejected", "rejected"}, s.outcomes())
	require.Equal(t, []int{1, 1, 2, 2}, []int{s.Accepted, s.Duplicates, s.Disqualified, s.Rejected})
	require.Contains(t, string(a.body), `"qualification_score":70`)
	position := a.header.Get("Ledger-Position")

	feed := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+id+"/companies", "", minPosition, position).items(t)
	require.Len(t, feed, 1)
	require.InDelta(t, 100, feed[0]["qualification_score"], 0)
	require.Equal(t, []any{"Uses HubSpot", "Revenue > $10M", "Decision Maker found"}, feed[0]["match_reasons"])

	trail := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+id+"/events?type=company.disqualified", "", minPosition, position).items(t)
	require.Len(t, trail, 1, "the second time there was nothing new")
	data := trail[0]["data"].(map[string]any)
	require.Equal(t, []any{70.0, 2.0}, []any{data["qualification_score"], data["profile_version"]})
	require.Equal(t, map[string]any{"rule": "decision maker", "met": false}, data["verdicts"].([]any)[2])
	for _, hidden := range []string{"company", "prospects", "attributes"} {
		require.NotContains(t, data, hidden)
	}

	s, _ = c.judge(t, id, candidate("b", true)+"\n"+candidate("e", true), ndjson...)
	require.Equal(t, []string{"accepted", "accepted"}, s.outcomes(), "a disqualified company may come again, and qualify")
	c.call(t, http.StatusUnprocessableEntity, "POST", "/api/v1/deliveries/"+id+"/candidates", `{"company":{"id":"x"}}`)
}

func TestCandidatesAreJudgedByTheRulesOfTheMoment(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	id := c.createDelivery(t, judgedDelivery)
	s, _ := c.judge(t, id, candidate("a", false))
	require.Equal(t, []string{"disqualified"}, s.outcomes())
	c.call(t, http.StatusOK, "PUT", "/api/v1/deliveries/"+id, `{"rules":[{"name":"any","when":{"field":"company.id","op":"exists"}}]}`)
	s, _ = c.judge(t, id, candidate("a", false))
	require.Equal(t, []string{"accepted"}, s.outcomes())
}

func TestCandidatesNeedRules(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	search := `"prospect_search_id":"0197f5e2-8d3b-7c41-b3f1-8f3e7c2a9d10"`
	plain := c.createDelivery(t, `{"name":"a",`+search+`}`)
	path := "/api/v1/deliveries/0197f5e2-8d3b-7c41-b3f1-8f3e7c2a9d10/candidates"
	require.Equal(t, "CONFLICT", c.call(t, http.StatusConflict, "POST", "/api/v1/deliveries/"+plain+"/candidates", candidate("a", true)).field(t, "code"))
	c.call(t, http.StatusConflict, "POST", path, candidate("a", true))
	c.call(t, http.StatusNotFound, "POST", "/api/v1/deliveries/dcf_no/candidates", candidate("a", true))

	c.createDelivery(t, strings.Replace(judgedDelivery, "{", "{"+search+",", 1))
	s, _ := c.judge(t, "0197f5e2-8d3b-7c41-b3f1-8f3e7c2a9d10", candidate("a", true))
	require.Equal(t, []string{"accepted"}, s.outcomes(), "of a search, those deliveries judge that have rules")
}

func TestCandidatesSentAgainUnderAKeyGetTheFirstAnswer(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	id := c.createDelivery(t, judgedDelivery)
	body := "[" + candidate("a", true) + "," + candidate("b", false) + "]"
	first, _ := c.judge(t, id, body, "Idempotency-Key", "k")
	second, _ := c.judge(t, id, body, "Idempotency-Key", "k")
	require.Equal(t, first, second)
	require.Equal(t, []string{"accepted", "disqualified"}, first.outcomes())
}
