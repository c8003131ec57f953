package rules_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain/rules"
)

// acme is a company as the engine finds it.
const (
	acme = `{"id":"comp_xyz789","name":"Acme Corp","domain":"acme.com","industry":"Software","revenue":12e6,"employees":50,
		"public":false,"parent":null,"size":"50-200","technologies":["HubSpot","AWS","React"],"tags":[],"huge":1e999,"hq":{"city":"Zürich"}}`
	people = `[{"id":"pros_1","title":"Intern"},{"id":"pros_2","title":"Chief Technology Officer","emails":["a@acme.com","b@acme.com"]}]`
	extra  = `{"funding":{"round":"B"},"scores":[[1,2],[3]]}`
)

// parse returns the rules in a JSON text, which have no fault.
func parse(tb testing.TB, text string) []rules.Rule {
	tb.Helper()
	list, faults := rules.Read(tree(tb, text))
	require.Empty(tb, faults)
	require.Empty(tb, rules.Check(list, 50), "what was read is what is checked")
	return list
}

// tree returns a JSON text, decoded.
func tree(tb testing.TB, text string) (value any) {
	tb.Helper()
	require.NoError(tb, json.Unmarshal([]byte(text), &value))
	return value
}

// candidate returns acme.
func candidate(tb testing.TB) rules.Candidate {
	tb.Helper()
	c, err := rules.NewCandidate([]byte(acme), []byte(people), []byte(extra))
	require.NoError(tb, err)
	return c
}

// judge returns what the rules say of acme.
func judge(tb testing.TB, threshold int, text string) rules.Judgement {
	tb.Helper()
	got, err := rules.NewJudge(rules.Profile{Rules: parse(tb, text), Threshold: threshold}).Judge(candidate(tb))
	require.NoError(tb, err)
	return got
}

// seedRules have the reasons of the product's documentation.
const seedRules = `[
	{"name":"hubspot","reason":"Uses HubSpot","when":{"field":"company.technologies","op":"contains","value":"hubspot"},"weight":40},
	{"name":"revenue","reason":"Revenue > $10M","when":{"field":"company.revenue","op":"gt","value":10000000},"weight":30},
	{"name":"decision maker","reason":"Decision Maker found","required":true,"weight":30,
	 "when":{"field":"prospects.title","op":"matches","value":"(?i)\\b(ceo|cto|chief|vp|head)\\b"}}
]`

func TestTheReasonsOfTheDocumentationAreExpressible(t *testing.T) {
	t.Parallel()
	require.Equal(t, rules.Judgement{
		Qualified: true, Score: 100, Reasons: []string{"Uses HubSpot", "Revenue > $10M", "Decision Maker found"},
		Verdicts: []rules.Verdict{{Rule: "hubspot", Met: true}, {Rule: "revenue", Met: true}, {Rule: "decision maker", Met: true}},
	}, judge(t, 50, seedRules))

	require.Equal(t, []string{"Uses HubSpot", "Revenue > $10M", "Decision Maker found"}, judge(t, 50, `[
		{"name":"Uses HubSpot","when":{"expression":"'HubSpot' in company.technologies"}},
		{"name":"Revenue > $10M","when":{"expression":"company.revenue > 10000000"}},
		{"name":"Decision Maker found","when":{"expression":"prospects.exists(p, p.title.startsWith('Chief'))"}}
	]`).Reasons, "and as expressions")
}

func TestScoreIsTheWeightedShareAndDecidesWithWhatIsRequired(t *testing.T) {
	t.Parallel()
	const met, unmet = `{"field":"company.name","op":"exists"}`, `{"field":"company.name","op":"absent"}`
	for name, c := range map[string]struct {
		rules     string
		threshold int
		score     int
		qualified bool
	}{
		"one of two":                    {`[{"name":"a","when":` + met + `},{"name":"b","when":` + unmet + `}]`, 50, 50, true},
		"just below the threshold":      {`[{"name":"a","when":` + met + `},{"name":"b","when":` + unmet + `}]`, 51, 50, false},
		"weights":                       {`[{"name":"a","when":` + met + `,"weight":3},{"name":"b","when":` + unmet + `}]`, 75, 75, true},
		"a third is rounded down":       {`[{"name":"a","when":` + met + `},{"name":"b","when":` + unmet + `,"weight":2}]`, 0, 33, true},
		"two thirds are rounded up":     {`[{"name":"a","when":` + met + `,"weight":2},{"name":"b","when":` + unmet + `}]`, 0, 67, true},
		"a half is rounded up":          {`[{"name":"a","when":` + met + `},{"name":"b","when":` + unmet + `,"weight":199}]`, 0, 1, true},
		"what is required is not there": {`[{"name":"a","when":` + met + `,"weight":99},{"name":"b","when":` + unmet + `,"required":true}]`, 0, 99, false},
		"nothing met, nothing asked":    {`[{"name":"a","when":` + unmet + `}]`, 0, 0, true},
		"no rules":                      {`[]`, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := judge(t, c.threshold, c.rules)
			require.Equal(t, c.score, got.Score)
			require.Equal(t, c.qualified, got.Qualified)
		})
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for when, want := range map[string]bool{
		`{"field":"company.name","op":"eq","value":"acme CORP"}`:                                              true,
		`{"field":"company.hq.city","op":"eq","value":"ZÜRICH"}`:                                              true,
		`{"field":"company.name","op":"eq","value":"Acme"}`:                                                   false,
		`{"field":"company.name","op":"ne","value":"Acme"}`:                                                   true,
		`{"field":"company.nothing","op":"ne","value":"Acme"}`:                                                true,
		`{"field":"company.employees","op":"eq","value":50}`:                                                  true,
		`{"field":"company.employees","op":"eq","value":"50"}`:                                                false,
		`{"field":"company.public","op":"eq","value":false}`:                                                  true,
		`{"field":"company.nothing","op":"eq","value":false}`:                                                 false,
		`{"field":"company.employees","op":"gt","value":50}`:                                                  false,
		`{"field":"company.employees","op":"gte","value":50}`:                                                 true,
		`{"field":"company.employees","op":"lt","value":50}`:                                                  false,
		`{"field":"company.employees","op":"lte","value":50}`:                                                 true,
		`{"field":"company.employees","op":"between","value":[50,60]}`:                                        true,
		`{"field":"company.employees","op":"between","value":[40,50]}`:                                        true,
		`{"field":"company.employees","op":"between","value":[51,60]}`:                                        false,
		`{"field":"company.huge","op":"gt","value":1e300}`:                                                    true,
		`{"field":"company.size","op":"gt","value":1}`:                                                        false,
		`{"field":"company.name","op":"contains_text","value":"ME c"}`:                                        true,
		`{"field":"company.name","op":"starts_with","value":"ACME"}`:                                          true,
		`{"field":"company.name","op":"starts_with","value":"corp"}`:                                          false,
		`{"field":"company.name","op":"ends_with","value":"CORP"}`:                                            true,
		`{"field":"company.name","op":"ends_with","value":"acme"}`:                                            false,
		`{"field":"company.name","op":"matches","value":"^Acme"}`:                                             true,
		`{"field":"company.name","op":"matches","value":"^acme"}`:                                             false,
		`{"field":"company.technologies","op":"contains","value":"aws"}`:                                      true,
		`{"field":"company.technologies","op":"contains","value":"aw"}`:                                       false,
		`{"field":"company.technologies","op":"any_of","value":["x","react"]}`:                                true,
		`{"field":"company.technologies","op":"all_of","value":["aws","react"]}`:                              true,
		`{"field":"company.technologies","op":"all_of","value":["aws","x"]}`:                                  false,
		`{"field":"company.technologies","op":"none_of","value":["x","y"]}`:                                   true,
		`{"field":"company.technologies","op":"none_of","value":["x","aws"]}`:                                 false,
		`{"field":"company.nothing","op":"none_of","value":["x"]}`:                                            true,
		`{"field":"company.industry","op":"any_of","value":["software","saas"]}`:                              true,
		`{"field":"company.hq","op":"exists"}`:                                                                true,
		`{"field":"company.hq","op":"eq","value":"Zürich"}`:                                                   false,
		`{"field":"company.parent","op":"exists"}`:                                                            false,
		`{"field":"company.tags","op":"exists"}`:                                                              false,
		`{"field":"company.tags","op":"absent"}`:                                                              true,
		`{"field":"company.name.first","op":"absent"}`:                                                        true,
		`{"field":"prospects","op":"exists"}`:                                                                 true,
		`{"field":"prospects.title","op":"eq","value":"intern"}`:                                              true,
		`{"field":"prospects.emails","op":"eq","value":"b@acme.com"}`:                                         true,
		`{"field":"attributes.funding.round","op":"eq","value":"b"}`:                                          true,
		`{"field":"attributes.scores","op":"gt","value":2}`:                                                   true,
		`{"not":{"field":"company.name","op":"exists"}}`:                                                      false,
		`{"all":[{"field":"company.name","op":"exists"},{"field":"x","op":"absent"}]}`:                        false,
		`{"any":[{"field":"company.x","op":"exists"},{"not":{"any":[{"field":"company.y","op":"exists"}]}}]}`: true,
		`{"expression":"company.employees == 50 && !has(company.x)"}`:                                         true,
		`{"expression":"company.nothing == 1"}`:                                                               false,
		`{"expression":"attributes.scores[0].exists(n, n > 1)"}`:                                              true,
	} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			when := strings.Replace(when, `"x","op":"absent"`, `"company.name","op":"absent"`, 1)
			got := judge(t, 50, `[{"name":"r","when":`+when+`}]`)
			require.Equal(t, want, got.Verdicts[0].Met, got.Verdicts[0].Error)
		})
	}
}

func TestARuleThatFailsIsNotMetWhateverIsAroundIt(t *testing.T) {
	t.Parallel()
	got := judge(t, 0, `[
		{"name":"absent","when":{"not":{"expression":"company.nothing == 1"}}},
		{"name":"type","when":{"any":[{"expression":"company.name > 1"},{"field":"company.name","op":"exists"}]}},
		{"name":"sound","when":{"field":"company.name","op":"exists"}}
	]`)
	require.Equal(t, []string{"sound"}, got.Reasons)
	require.Equal(t, "no such key: nothing", got.Verdicts[0].Error)
	require.Contains(t, got.Verdicts[1].Error, "no such overload")
	require.Empty(t, got.Verdicts[2].Error)
}

func TestWhatARuleCostsIsBounded(t *testing.T) {
	t.Parallel()
	many := make([]string, 1000)
	for i := range many {
		many[i] = `{"id":"p","title":"` + strings.Repeat("x", 300) + `"}`
	}
	c, err := rules.NewCandidate([]byte(acme), []byte("["+strings.Join(many, ",")+"]"), nil)
	require.NoError(t, err)
	profile := rules.Profile{Rules: parse(t, `[
		{"name":"pattern","when":{"field":"prospects.title","op":"matches","value":"(x+x+)+y"}},
		{"name":"loops","when":{"expression":"prospects.all(p, prospects.all(q, p.id == q.id))"}},
		{"name":"cheap","when":{"field":"company.name","op":"eq","value":"Acme Corp"}}
	]`)}
	got, err := rules.NewJudge(profile).Judge(c)
	require.NoError(t, err)
	require.Equal(t, "takes too many steps", got.Verdicts[0].Error)
	require.NotEmpty(t, got.Verdicts[1].Error)
	require.Equal(t, rules.Verdict{Rule: "cheap", Met: true}, got.Verdicts[2], "one costly rule hinders no other")

	list := make([]rules.Rule, 50)
	for i := range list {
		list[i] = profile.Rules[0]
		list[i].Name = strings.Repeat("x", i+1)
	}
	list[49] = profile.Rules[2]
	got, err = rules.NewJudge(rules.Profile{Rules: list}).Judge(c)
	require.NoError(t, err)
	require.Equal(t, "takes too many steps", got.Verdicts[49].Error, "all together are bounded, too")
}

func TestExpressionsGoThroughObjectsInOneOrder(t *testing.T) {
	t.Parallel()
	list := parse(t, `[
		{"name":"company","when":{"expression":"company.map(k, k) == ['domain', 'employees', 'hq', 'huge', 'id', 'industry', 'name', 'parent', 'public', 'revenue', 'size', 'tags', 'technologies']"}},
		{"name":"nested","when":{"expression":"company.hq.map(k, k)[0] == 'city'"}}
	]`)
	for range 20 {
		got, err := rules.NewJudge(rules.Profile{Rules: list}).Judge(candidate(t))
		require.NoError(t, err)
		require.Equal(t, 100, got.Score, got.Verdicts)
	}
}

func TestCandidateMustBeOne(t *testing.T) {
	t.Parallel()
	_, err := rules.NewCandidate([]byte(`[]`), nil, nil)
	require.Error(t, err)
	_, err = rules.NewCandidate([]byte(`{}`), []byte(`{}`), nil)
	require.Error(t, err)
	_, err = rules.NewCandidate([]byte(`{}`), nil, []byte(`7`))
	require.Error(t, err)
	_, err = rules.NewCandidate([]byte(`{`), nil, nil)
	require.Error(t, err)
	_, err = rules.NewCandidate([]byte(`{}`), []byte(`null`), []byte(`null`))
	require.NoError(t, err)
}
