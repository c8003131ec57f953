package rules_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain/rules"
)

// sights returns what the rules see of acme.
func sights(t *testing.T, text string) [][]rules.Sight {
	t.Helper()
	return rules.Profile{Rules: parse(t, text)}.Sights(candidate(t))
}

func TestRulesSayWhatTheyLookAt(t *testing.T) {
	t.Parallel()
	got := sights(t, `[
		{"name":"group","when":{"all":[{"field":"company.revenue","op":"gt","value":1},{"any":[{"not":{"field":"prospects.title","op":"absent"}},{"field":"company.revenue","op":"lt","value":9}]}]}},
		{"name":"expression","when":{"expression":"company.revenue > 1.0"}},
		{"name":"odd","when":{"any":[{"field":"company.parent","op":"exists"},{"field":"company.no.such","op":"exists"},{"field":"company.hq","op":"exists"},
			{"field":"company.huge","op":"exists"},{"field":"company.public","op":"exists"},{"field":"attributes.scores","op":"exists"}]}}
	]`)
	require.Equal(t, [][]rules.Sight{
		{{Field: "company.revenue", Values: []any{12e6}}, {Field: "prospects.title", Values: []any{"Intern", "Chief Technology Officer"}}},
		{},
		{
			{Field: "company.parent", Values: []any{}},
			{Field: "company.no.such", Values: []any{}},
			{Field: "company.hq", Values: []any{"{…}"}},
			{Field: "company.huge", Values: []any{"Infinity"}},
			{Field: "company.public", Values: []any{false}},
			{Field: "attributes.scores", Values: []any{1.0, 2.0, 3.0}},
		},
	}, got)
}

func TestWhatIsSeenIsBounded(t *testing.T) {
	t.Parallel()
	list := func(n int, item string) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }
	c, err := rules.NewCandidate(
		[]byte(`{"five":`+list(5, "1")+`,"six":`+list(6, "1")+`,"text":"`+strings.Repeat("é", 101)+`","just":"`+strings.Repeat("é", 100)+`","nulls":`+list(600_000, "null")+`}`), nil, nil)
	require.NoError(t, err)
	see := func(fields ...string) []rules.Sight {
		when := rules.Condition{}
		for _, field := range fields {
			when.All = append(when.All, rules.Condition{Field: field, Op: rules.Exists})
		}
		return rules.Profile{Rules: []rules.Rule{{Name: "r", When: when}}}.Sights(c)[0]
	}
	require.Equal(t, []rules.Sight{
		{Field: "company.five", Values: []any{1.0, 1.0, 1.0, 1.0, 1.0}},
		{Field: "company.six", Values: []any{1.0, 1.0, 1.0, 1.0, 1.0}, More: true},
		{Field: "company.text", Values: []any{strings.Repeat("é", 100) + "…"}},
		{Field: "company.just", Values: []any{strings.Repeat("é", 100)}},
	}, see("company.five", "company.six", "company.text", "company.just"))
	require.Equal(t, []rules.Sight{{Field: "company.nulls", Values: []any{}, More: true}, {Field: "company.five", Values: []any{}, More: true}}, see("company.nulls", "company.five"),
		"where looking takes too many steps, there may be more")

	fields := make([]string, 21)
	for i := range fields {
		fields[i] = "company.x" + strings.Repeat("x", i)
	}
	require.Len(t, see(fields...), 20)

	many := make([]rules.Rule, 50)
	for i := range many {
		for _, field := range fields[:20] {
			many[i].When.All = append(many[i].When.All, rules.Condition{Field: strings.Replace(field, "company.x", "prospects.", 1) + "y", Op: rules.Exists})
		}
	}
	texts := make([]string, 20)
	for i := range texts {
		texts[i] = `"` + strings.Repeat("x", i) + `y":` + list(5, `"`+strings.Repeat("z", 200)+`"`)
	}
	c, err = rules.NewCandidate([]byte(`{}`), []byte(`[{`+strings.Join(texts, ",")+`}]`), nil)
	require.NoError(t, err)
	shown, more := 0, false
	for _, rule := range (rules.Profile{Rules: many}).Sights(c) {
		for _, s := range rule {
			for _, v := range s.Values {
				shown += len(v.(string))
			}
			more = more || s.More
		}
	}
	require.True(t, more && shown > 30<<10 && shown < 33<<10, "%d bytes of texts", shown)
}

func TestWhatIsSaidOfAFailedRuleIsBounded(t *testing.T) {
	t.Parallel()
	c, err := rules.NewCandidate([]byte(`{"name":"`+strings.Repeat("é", 10_000)+`"}`), nil, nil)
	require.NoError(t, err)
	got, err := rules.NewJudge(rules.Profile{Rules: parse(t, `[{"name":"r","when":{"expression":"company[company.name] == 1"}}]`)}).Judge(c)
	require.NoError(t, err)
	require.Equal(t, "no such key: "+strings.Repeat("é", 287)+"…", got.Verdicts[0].Error)
}
