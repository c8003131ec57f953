package rules_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain/rules"
)

// listing returns a JSON list of about so many bytes.
func listing(item string, bytes int) string {
	return "[" + strings.Repeat(item+",", bytes/(len(item)+1)) + item + "]"
}

// worst are conditions that take as long as any with a company of about so many bytes, by what they
// make the most of.
func worst(bytes int) map[string]struct{ company, when string } {
	members := make([]string, bytes/15)
	for i := range members {
		members[i] = fmt.Sprintf(`"k%08d":1`, i)
	}
	keys := `{"o":{` + strings.Join(members, ",") + `}}`
	values := `{"l":` + listing("1", bytes/3) + `,"m":[` + listing("1", bytes/3) + `],"n":[` + listing("1", bytes/3) + `]}`
	text := `{"t":"` + strings.Repeat("x", bytes) + `"}`
	texts := `{"t":` + listing(`"`+strings.Repeat("x", 1400)+`"`, bytes) + `}`
	greek := `{"t":` + listing(`"`+strings.Repeat("σ", 800)+`"`, bytes) + `}`
	return map[string]struct{ company, when string }{
		"keys sorted":       {keys, `{"expression":"[1,2,3,4,5,6,7,8,9].all(x, company.o.all(k, true))"}`},
		"objects compared":  {keys, `{"expression":"[1,2,3,4,5,6,7,8,9].all(x, company.o == company.o)"}`},
		"lists compared":    {values, `{"expression":"[1,2,3,4,5,6,7,8,9].all(x, company.m == company.n)"}`},
		"lists together":    {values, `{"expression":"[1,2,3,4,5,6,7,8,9].all(x, [] + company.l == company.l)"}`},
		"list searched":     {values, `{"expression":"[1,2,3,4,5,6,7,8,9].all(x, !(2 in company.l))"}`},
		"lists searched":    {values, `{"expression":"[1,2,3,4,5,6,7,8,9].all(x, company.m in [company.n])"}`},
		"text measured":     {text, `{"expression":"[1,2,3,4,5,6,7,8,9].all(x, company.t.size() > 0)"}`},
		"texts put in one":  {texts, `{"expression":"company.t.all(x, x + x + x + x != '')"}`},
		"texts compared":    {texts, `{"expression":"company.t.all(x, company.t.all(y, x == y))"}`},
		"case disregarded":  {texts, `{"field":"company.t","op":"contains_text","value":"y"}`},
		"case far from A":   {greek, `{"field":"company.t","op":"contains_text","value":"y"}`},
		"texts looked up":   {greek, `{"field":"company.t","op":"none_of","value":["x","y"]}`},
		"backtracking":      {texts, `{"field":"company.t","op":"matches","value":"(x+x+)+y"}`},
		"large expression":  {texts, `{"field":"company.t","op":"matches","value":"(x?){90}y"}`},
		"many alternatives": {greek, `{"field":"company.t","op":"matches","value":"(?i)(σ.?){40}y"}`},
		"values compared":   {values, `{"field":"company.l","op":"all_of","value":[2,3,4,5]}`},
	}
}

// fifty returns the judge of as many rules as there may be, each with a condition, and a company.
func fifty(tb testing.TB, when, company string) (*rules.Judge, rules.Candidate) {
	tb.Helper()
	list := make([]rules.Rule, 50)
	list[0] = parse(tb, `[{"name":"0","when":`+when+`}]`)[0]
	for i := range list {
		list[i] = rules.Rule{Name: strconv.Itoa(i), When: list[0].When}
	}
	c, err := rules.NewCandidate([]byte(company), nil, nil)
	require.NoError(tb, err)
	judge := rules.NewJudge(rules.Profile{Rules: list})
	_, err = judge.Judge(rules.Candidate{}) // which compiles them
	require.NoError(tb, err)
	return judge, c
}

// Without its bound each of these takes seconds or minutes.
func TestWhateverIsComparedIsBoundedInSteps(t *testing.T) {
	t.Parallel()
	for name, c := range worst(1 << 20) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			judge, candidate := fifty(t, c.when, c.company)
			first, err := judge.Judge(candidate)
			require.NoError(t, err)
			require.NotEmpty(t, first.Verdicts[0].Error)
			require.Equal(t, "takes too many steps", first.Verdicts[49].Error, "all together are bounded, too")
			second, err := judge.Judge(candidate)
			require.NoError(t, err)
			require.Equal(t, first, second)
		})
	}
}

func TestExpressionsCompareWholeListsAndObjects(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]bool{
		"company.technologies == ['HubSpot', 'AWS', 'React']":           true,
		"['HubSpot', 'AWS', 'React'] == company.technologies":           true,
		"company.technologies == ['HubSpot', 'AWS']":                    false,
		"company.technologies + ['x'] == ['HubSpot','AWS','React','x']": true,
		"['x'] + company.technologies == ['x','HubSpot','AWS','React']": true,
		"company.tags == []": true,
		"company.tags.size() == 0 && company.hq.size() == 1":           true,
		"company.hq == company.hq":                                     true,
		"company.hq == attributes.funding":                             false,
		"company.hq != 'Zürich' && company.technologies != company.hq": true,
		"company.hq in [attributes.funding, company.hq]":               true,
		"'city' in company.hq && !('x' in company.hq)":                 true,
		"[1.0, 2.0] in attributes.scores":                              true,
		"attributes.scores[1] in attributes.scores":                    true,
		"[3.0, 4.0] in attributes.scores":                              false,
		"attributes.scores == [[1.0, 2.0], [3.0]]":                     true,
		"attributes.scores.map(s, s.size()) == [2, 1]":                 true,
		"company.technologies.filter(t, t.size() > 4) == ['HubSpot', 'React'] && company.name + '!' > company.name": true,
		"company.hq.exists(k, company.hq[k] == 'Zürich')":                                                           true,
	} {
		t.Run(expression, func(t *testing.T) {
			t.Parallel()
			verdict := judge(t, 50, `[{"name":"r","when":{"expression":`+string(encode(t, expression))+`}}]`).Verdicts[0]
			require.Equal(t, rules.Verdict{Rule: "r", Met: want}, verdict)
		})
	}
}

// BenchmarkWorstJudge measures one company as large as a request may be under as many rules as there may
// be, each of which takes what it may take. Reading the company is left out: it costs by the byte.
func BenchmarkWorstJudge(b *testing.B) {
	for name, c := range worst(10 << 20) {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			judge, candidate := fifty(b, c.when, c.company)
			for b.Loop() {
				_, err := judge.Judge(candidate)
				require.NoError(b, err)
			}
		})
	}
}
