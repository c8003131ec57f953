package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

// A rehearsal is what is told of candidates.
type rehearsal struct {
	ProfileVersion                              int64 `json:"profile_version"`
	Qualified, Disqualified, Excluded, Rejected int
	Items                                       []rehearsed
}

// A rehearsed candidate is what is told of one.
type rehearsed struct {
	Index     int
	CompanyID string `json:"company_id"`
	Outcome   string
	Score     *int `json:"qualification_score"`
	Threshold *int
	Reasons   []string `json:"match_reasons"`
	Verdicts  []struct {
		Rule     string
		Weight   int
		Required bool
		Met      bool
		Error    string
		Saw      []struct {
			Field  string
			Values []any
			More   bool
		}
	}
	Exclusion map[string]any
	Error     map[string]any
}

// testsPath returns the path under which a delivery's rules are tested.
func testsPath(id string) string { return "/api/v1/deliveries/" + id + "/rules/test" }

// rehearse returns what is told of what is in a body, and fails the test when that leaves a trace in the log.
func (c client) rehearse(tb testing.TB, f *fixtures, id, body string) (told rehearsal) {
	tb.Helper()
	before := f.head(tb)
	a := c.call(tb, http.StatusOK, "POST", testsPath(id), body)
	require.Equal(tb, before, f.head(tb), "nothing is recorded")
	require.NoError(tb, json.Unmarshal(a.body, &told))
	return told
}

func TestRulesTellWhatTheyWouldDecideAndWhy(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, judgedDelivery)
	excluded := c.exclude(t, "domain", "example.com")[0]
	told := c.rehearse(t, f, id, `{"candidates":[`+strings.Join([]string{
		candidate("a", true), candidate("b", false), named("c", "shop.example.com", false), `{"company":{"id":"d"},"score":1}`, `[]`, strings.Repeat(`{"company":`, 65) + `1` + strings.Repeat("}", 65),
	}, ",")+`]}`)
	require.Equal(t, []int{1, 1, 1, 3}, []int{told.Qualified, told.Disqualified, told.Excluded, told.Rejected})
	require.EqualValues(t, 2, told.ProfileVersion)
	for i, outcome := range []string{"qualified", "disqualified", "excluded", "rejected", "rejected", "rejected"} {
		require.Equal(t, []any{i, outcome}, []any{told.Items[i].Index, told.Items[i].Outcome})
	}

	yes, no := told.Items[0], told.Items[1]
	require.Equal(t, []any{"a", 100, 50}, []any{yes.CompanyID, *yes.Score, *yes.Threshold})
	require.Equal(t, []string{"Uses HubSpot", "Revenue > $10M", "Decision Maker found"}, yes.Reasons)
	require.Equal(t, []string{"Uses HubSpot", "Revenue > $10M"}, no.Reasons)
	require.Equal(t, 70, *no.Score, "above the threshold, but without what is required")
	require.JSONEq(t, `[
		{"Rule":"hubspot","Weight":40,"Required":false,"Met":true,"Error":"","Saw":[{"Field":"company.technologies","Values":["hubspot"],"More":false}]},
		{"Rule":"revenue","Weight":30,"Required":false,"Met":true,"Error":"","Saw":[{"Field":"company.revenue","Values":[12000000],"More":false}]},
		{"Rule":"decision maker","Weight":30,"Required":true,"Met":false,"Error":"","Saw":[{"Field":"company.ceo","Values":[],"More":false}]}
	]`, encode(t, no.Verdicts))

	require.Equal(t, excluded, told.Items[2].Exclusion["id"])
	require.Equal(t, 100, *told.Items[2].Score, "what the rules alone say")
	require.Equal(t, "VALIDATION_ERROR", told.Items[3].Error["code"])
	var fields []string
	for _, fault := range told.Items[3].Error["details"].(map[string]any)["validation_errors"].([]any) {
		fields = append(fields, fault.(map[string]any)["field"].(string))
	}
	require.ElementsMatch(t, []string{"company.name", "score"}, fields)
	require.Equal(t, "INVALID_REQUEST", told.Items[5].Error["code"])
	require.Nil(t, told.Items[3].Score)

	require.Equal(t, "qualified", c.rehearse(t, f, id, `{"candidates":`+candidate("a", true)+`}`).Items[0].Outcome, "one need not be in a list")
	told = c.rehearse(t, f, id, `{"candidates":{"company":{"id":"a","id":"b","name":"x","revenue":1e400}}}`)
	require.Equal(t, "company.id", told.Items[0].Error["details"].(map[string]any)["validation_errors"].([]any)[0].(map[string]any)["field"], "it is read as it was sent")
	require.Empty(t, c.rehearse(t, f, id, `{"candidates":[]}`).Items)
}

func TestProposedRulesAreTestedWithoutBeingSaved(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	judged, plain := c.createDelivery(t, judgedDelivery), c.createDelivery(t, sampleDelivery)
	with := func(more string) string { return `{"candidates":` + candidate("a", false) + more + `}` }

	told := c.rehearse(t, f, judged, with(`,"threshold":80`))
	require.Equal(t, []any{"disqualified", 80, int64(0)}, []any{told.Items[0].Outcome, *told.Items[0].Threshold, told.ProfileVersion})
	const names = `[{"name":"named","when":{"expression":"company.name == 'x'"}},{"name":"fails","when":{"expression":"company.no == 1"}}]`
	for _, id := range []string{judged, plain} {
		told = c.rehearse(t, f, id, with(`,"rules":`+names))
		require.Equal(t, []any{"qualified", 50}, []any{told.Items[0].Outcome, *told.Items[0].Score})
		require.Equal(t, []string{"", "no such key: no"}, []string{told.Items[0].Verdicts[0].Error, told.Items[0].Verdicts[1].Error})
		require.Equal(t, 1, told.Items[0].Verdicts[0].Weight)
	}
	require.EqualValues(t, 2, c.rehearse(t, f, judged, with(`,"threshold":50,"rules":`+sampleRules)).ProfileVersion, "proposed, but saved already")

	for id, more := range map[string]string{plain: "", judged: `,"rules":[]`} {
		require.Equal(t, "CONFLICT", c.call(t, http.StatusConflict, "POST", testsPath(id), with(more)).field(t, "code"))
	}
	require.JSONEq(t, sampleRules, encode(t, c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+judged, "").json(t)["rules"]))
}

func TestTestOfRulesSeesWhatAnotherServerSaved(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	other := client{url: f.serve(t).URL, key: c.key}
	id := c.createDelivery(t, judgedDelivery)
	sample := `{"candidates":` + named("a", "a.example", false) + `}`
	require.Equal(t, "qualified", other.rehearse(t, f, id, sample).Items[0].Outcome)
	c.call(t, http.StatusOK, "PUT", "/api/v1/deliveries/"+id, `{"rules":[{"name":"none","when":{"field":"company.id","op":"absent"}}]}`)
	require.Equal(t, "disqualified", other.rehearse(t, f, id, sample).Items[0].Outcome)
	c.exclude(t, "domain", "a.example")
	require.Equal(t, "excluded", other.rehearse(t, f, id, sample).Items[0].Outcome)
}

func TestProposedRulesAreCheckedAsSavedOnesAre(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, judgedDelivery)
	const proposed = `"threshold":101,"rules":[
		{"name":"a","when":{"field":"company.x","op":"gt","value":"7"},"wieght":2},
		{"when":{"any":[{"field":"company.x","op":"matches","value":"("},{"expression":"company.x >"}]}}
	]`
	saved := c.call(t, http.StatusUnprocessableEntity, "PUT", "/api/v1/deliveries/"+id, `{`+proposed+`}`)
	tested := c.call(t, http.StatusUnprocessableEntity, "POST", testsPath(id), `{"candidates":[],`+proposed+`}`)
	require.Equal(t, saved.json(t)["details"], tested.json(t)["details"])
	require.Contains(t, tested.faults(t), "rules.1.when.any.1.expression")

	for body, faults := range map[string][]string{
		`{}`: {"candidates"}, `[]`: {"body"}, `{"candidates":7,"x":1}`: {"candidates", "x"}, `{"candidates":[],"candidates":[]}`: {"candidates"},
		`{"candidates":[],"Rules":[]}`: {"Rules"}, `{"candidates":[` + strings.Repeat("1,", 100) + `1]}`: {"candidates"},
	} {
		require.ElementsMatch(t, faults, c.call(t, http.StatusUnprocessableEntity, "POST", testsPath(id), body).faults(t), body)
	}
	for _, body := range []string{``, `{`, `{"candidates":[{]}`, `{"candidates":["\ud800"]}`, "{\"candidates\":[\"\xff\"]}", `{"candidates":[]} x`} {
		c.call(t, http.StatusBadRequest, "POST", testsPath(id), body, "Content-Type", "application/json")
	}
	c.call(t, http.StatusRequestEntityTooLarge, "POST", testsPath(id), `{"candidates":"`+strings.Repeat("x", 10<<20)+`"}`)
	f.client(t, f.org, apikey.CandidatesWrite).call(t, http.StatusForbidden, "POST", testsPath(id), `{"candidates":[]}`)
}

// Conditions and fields of which the property makes rules and candidates that meet, some of which cannot be evaluated.
var (
	conditions = []string{
		`{"field":"company.revenue","op":"gt","value":10}`, `{"field":"company.tags","op":"contains","value":"A"}`, `{"not":{"field":"company.tags","op":"exists"}}`,
		`{"all":[{"field":"prospects.title","op":"eq","value":"CTO"},{"field":"attributes.x","op":"none_of","value":[1,true]}]}`,
		`{"expression":"company.revenue > 10.0"}`, `{"expression":"prospects.exists(p, p.title == 'CTO')"}`, `{"expression":"attributes.x == true"}`,
		`{"field":"company.name","op":"matches","value":"^x"}`,
	}
	moreOfCompanies  = []string{"", `,"revenue":7`, `,"revenue":1e400`, `,"revenue":"9"`, `,"tags":["a","b"]`, `,"tags":[],"domain":"www.example.com"`, `,"revenue":11,"tags":"a"`}
	moreOfCandidates = []string{
		"", `,"prospects":[{"id":"p","title":"CTO"}]`, `,"prospects":[{"id":"p"},{"id":"q"}]`, `,"attributes":{"x":true}`, `,"attributes":{"x":1},"prospects":null`, `,"attributes":[]`,
		`,"prospects":[{}]`,
	}
)

// draw returns one of those texts.
func draw(t *rapid.T, texts []string) string { return rapid.SampledFrom(texts).Draw(t, "text") }

// What is told of candidates is what is decided of them when they come.
func TestWhatIsToldOfCandidatesIsWhatIsDecided(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	c.exclude(t, "domain", "example.com")
	seen := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		tb := propertyTB{t, rt}
		var rules, candidates []string
		for i := range rapid.IntRange(1, 5).Draw(rt, "rules") {
			rules = append(rules, fmt.Sprintf(`{"name":"%d","when":%s,"weight":%d,"required":%t}`,
				i, draw(rt, conditions), rapid.IntRange(1, 5).Draw(rt, "weight"), rapid.IntRange(0, 4).Draw(rt, "required") == 0))
		}
		for i := range rapid.IntRange(1, 5).Draw(rt, "candidates") {
			candidates = append(candidates, fmt.Sprintf(`{"company":{"id":"c%d","name":"x"%s}%s}`, i, draw(rt, moreOfCompanies), draw(rt, moreOfCandidates)))
		}
		profile := fmt.Sprintf(`"rules":[%s],"threshold":%d`, strings.Join(rules, ","), rapid.IntRange(0, 100).Draw(rt, "threshold"))
		list := "[" + strings.Join(candidates, ",") + "]"
		id := c.createDelivery(tb, `{"name":"a",`+profile+`}`)
		told := c.rehearse(tb, f, id, `{"candidates":`+list+`}`)
		proposed := c.rehearse(tb, f, c.createDelivery(tb, `{"name":"b"}`), `{"candidates":`+list+`,`+profile+`}`)
		require.EqualValues(tb, 2, told.ProfileVersion)
		require.Equal(tb, told.Items, proposed.Items, "saved or proposed, the rules say the same")

		decided := c.call(tb, http.StatusOK, "POST", "/api/v1/deliveries/"+id+"/candidates", list)
		trail := map[string]map[string]any{}
		for _, e := range c.call(tb, http.StatusOK, "GET", "/api/v1/deliveries/"+id+"/events", "", minPosition, strconv.FormatUint(uint64(f.head(tb)), 10)).items(tb) {
			if data := e["data"].(map[string]any); data["company_id"] != nil {
				trail[data["company_id"].(string)] = data
			}
		}
		for i, item := range decided.items(tb) {
			seen[told.Items[i].Outcome]++
			holdToDecision(tb, told.Items[i], item, trail)
		}
	})
	require.Len(t, seen, 4, "all outcomes came about: %v", seen)
}

// holdToDecision fails the test unless what was told of a candidate is what came of it, by the answer and by the trail.
func holdToDecision(tb testing.TB, told rehearsed, item map[string]any, trail map[string]map[string]any) {
	tb.Helper()
	want := map[string]string{"qualified": "accepted", "disqualified": "disqualified", "excluded": "disqualified", "rejected": "rejected"}[told.Outcome]
	require.Equal(tb, want, item["outcome"])
	data := trail[told.CompanyID]
	switch told.Outcome {
	case "rejected":
		require.Equal(tb, item["error"], told.Error)
		return
	case "excluded":
		require.Equal(tb, item["exclusion"], told.Exclusion)
		return
	case "qualified":
		require.Equal(tb, encode(tb, data["match_reasons"]), encode(tb, told.Reasons))
	}
	require.EqualValues(tb, data["qualification_score"], *told.Score)
	for i, verdict := range data["verdicts"].([]any) {
		v := told.Verdicts[i]
		said, _ := verdict.(map[string]any)["error"].(string)
		require.Equal(tb, []any{v.Rule, v.Met, v.Error}, []any{verdict.(map[string]any)["rule"], verdict.(map[string]any)["met"], said})
	}
}

func TestExampleOfATestOfRulesIsAnsweredAsPrinted(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	spec := specs()["testRules"]
	a := c.call(t, http.StatusOK, "POST", testsPath(c.createDelivery(t, sampleDelivery)), exampleOf(t, spec))
	require.JSONEq(t, encode(t, examples(spec.Responses.Status(http.StatusOK).Value.Content["application/json"])[0]), string(a.body))
}
