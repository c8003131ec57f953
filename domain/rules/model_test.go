package rules_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain/rules"
)

// found returns all that is at a path, told plainly.
func found(value any, path []string) (all []any) {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		for _, element := range v {
			all = append(all, found(element, path)...)
		}
		return all
	case map[string]any:
		if len(path) > 0 {
			return found(v[path[0]], path[1:])
		}
	}
	if len(path) > 0 {
		return nil
	}
	return []any{value}
}

// same reports whether two values are the same to a rule.
func same(a, b any) bool {
	s, ok1 := a.(string)
	t, ok2 := b.(string)
	if ok1 && ok2 {
		return strings.EqualFold(s, t)
	}
	_, object := a.(map[string]any)
	return !object && a == b
}

// holds says, told plainly, whether a condition without an expression holds.
func holds(c rules.Condition, candidate map[string]any) bool {
	some := func(test func(any) bool) bool {
		for _, v := range found(candidate, strings.Split(c.Field, ".")) {
			if test(v) {
				return true
			}
		}
		return false
	}
	has := func(wanted any) bool { return some(func(v any) bool { return same(v, wanted) }) }
	number := func(test func(n float64) bool) bool {
		return some(func(v any) bool { n, ok := v.(float64); return ok && test(n) })
	}
	text := func(test func(s, part string) bool) bool {
		return some(func(v any) bool {
			s, ok := v.(string)
			return ok && test(strings.ToLower(s), strings.ToLower(c.Value.(string)))
		})
	}
	list, _ := c.Value.([]any)
	among := 0
	for _, wanted := range list {
		if has(wanted) {
			among++
		}
	}
	switch {
	case c.Not != nil:
		return !holds(*c.Not, candidate)
	case c.All != nil:
		n := 0
		for _, c := range c.All {
			if holds(c, candidate) {
				n++
			}
		}
		return n == len(c.All)
	case c.Any != nil:
		n := 0
		for _, c := range c.Any {
			if holds(c, candidate) {
				n++
			}
		}
		return n > 0
	}
	switch c.Op {
	case rules.Equal, rules.Contains:
		return has(c.Value)
	case rules.Differs:
		return !has(c.Value)
	case rules.AnyOf:
		return among > 0
	case rules.AllOf:
		return among == len(list)
	case rules.NoneOf:
		return among == 0
	case rules.Greater:
		return number(func(n float64) bool { return n > c.Value.(float64) })
	case rules.AtLeast:
		return number(func(n float64) bool { return n >= c.Value.(float64) })
	case rules.Less:
		return number(func(n float64) bool { return n < c.Value.(float64) })
	case rules.AtMost:
		return number(func(n float64) bool { return n <= c.Value.(float64) })
	case rules.Between:
		return number(func(n float64) bool { return n >= list[0].(float64) && n <= list[1].(float64) })
	case rules.ContainsText:
		return text(strings.Contains)
	case rules.StartsWith:
		return text(strings.HasPrefix)
	case rules.EndsWith:
		return text(strings.HasSuffix)
	case rules.Exists:
		return some(func(any) bool { return true })
	case rules.Absent:
		return !some(func(any) bool { return true })
	case rules.Matches: // by the same library; judge_test.go has it
	}
	panic("no operator of the model: " + c.Op)
}

// Generators of small values, so that fields and rules meet.
var (
	words   = []string{"a", "B", "ab", "Ba", "hubspot", "HubSpot"}
	scalars = rapid.OneOf(rapid.SampledFrom(words).AsAny(), rapid.Map(rapid.IntRange(-2, 3), func(n int) any { return float64(n) }), rapid.Bool().AsAny())
	names   = rapid.SampledFrom([]string{"x", "y", "z"})
)

// value draws a JSON value.
func value(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
	case kind == 0:
		return nil
	case kind == 1 && depth > 0:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range list {
			list[i] = value(t, depth-1)
		}
		return list
	case kind == 2 && depth > 0:
		return objectOf(t, depth-1)
	}
	return scalars.Draw(t, "scalar")
}

// objectOf draws an object.
func objectOf(t *rapid.T, depth int) map[string]any {
	object := map[string]any{}
	for range rapid.IntRange(0, 3).Draw(t, "members") {
		object[names.Draw(t, "name")] = value(t, depth)
	}
	return object
}

// condition draws a condition.
func condition(t *rapid.T, depth int) (c rules.Condition) {
	group := func() []rules.Condition {
		list := make([]rules.Condition, rapid.IntRange(1, 3).Draw(t, "size"))
		for i := range list {
			list[i] = condition(t, depth-1)
		}
		return list
	}
	if depth > 0 {
		switch rapid.IntRange(0, 5).Draw(t, "form") {
		case 0:
			c.All = group()
			return c
		case 1:
			c.Any = group()
			return c
		case 2:
			c.Not = new(condition(t, depth-1))
			return c
		}
	}
	c.Field = rapid.SampledFrom([]string{"company", "prospects", "attributes"}).Draw(t, "root")
	for range rapid.IntRange(0, 2).Draw(t, "steps") {
		c.Field += "." + names.Draw(t, "step")
	}
	c.Op = rapid.SampledFrom([]rules.Op{
		rules.Equal, rules.Differs, rules.Greater, rules.AtLeast, rules.Less, rules.AtMost, rules.Between, rules.ContainsText,
		rules.StartsWith, rules.EndsWith, rules.Contains, rules.AnyOf, rules.AllOf, rules.NoneOf, rules.Exists, rules.Absent,
	}).Draw(t, "op")
	number := func() any { return float64(rapid.IntRange(-2, 3).Draw(t, "number")) }
	switch c.Op {
	case rules.Equal, rules.Differs, rules.Contains:
		c.Value = scalars.Draw(t, "value")
	case rules.AnyOf, rules.AllOf, rules.NoneOf:
		c.Value = rapid.SliceOfN(scalars, 1, 3).Draw(t, "values")
	case rules.Between:
		low := number().(float64)
		c.Value = []any{low, low + float64(rapid.IntRange(0, 2).Draw(t, "width"))}
	case rules.ContainsText, rules.StartsWith, rules.EndsWith:
		c.Value = rapid.SampledFrom(words).Draw(t, "text")
	case rules.Exists, rules.Absent:
	default:
		c.Value = number()
	}
	return c
}

// What a profile says is what a plain evaluator says, in score, reasons and verdicts; and it says the same again.
func TestJudgementIsThatOfAPlainEvaluator(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		people := make([]any, rapid.IntRange(0, 3).Draw(t, "prospects"))
		for i := range people {
			people[i] = objectOf(t, 2)
		}
		fields := map[string]any{"company": objectOf(t, 2), "prospects": people, "attributes": objectOf(t, 2)}
		profile := rapid.IntRange(0, 100).Draw(t, "threshold")
		p := rules.Profile{Threshold: profile}
		met, all, qualified, reasons, verdicts := 0.0, 0.0, true, []string{}, []rules.Verdict{}
		for i := range rapid.IntRange(1, 6).Draw(t, "rules") {
			r := rules.Rule{
				Name: string(rune('a' + i)), When: condition(t, 3), Weight: rapid.IntRange(1, 9).Draw(t, "weight"), Required: rapid.Bool().Draw(t, "required"),
			}
			p.Rules = append(p.Rules, r)
			all += float64(r.Weight)
			ok := holds(r.When, fields)
			verdicts = append(verdicts, rules.Verdict{Rule: r.Name, Met: ok})
			if ok {
				met += float64(r.Weight)
				reasons = append(reasons, r.Name)
			}
			qualified = qualified && (ok || !r.Required)
		}
		require.Empty(t, rules.Check(p.Rules, p.Threshold))
		score := int(math.Floor(100*met/all + 0.5))
		want := rules.Judgement{Qualified: qualified && score >= p.Threshold, Score: score, Reasons: reasons, Verdicts: verdicts}

		c, err := rules.NewCandidate(encode(t, fields["company"]), encode(t, people), encode(t, fields["attributes"]))
		require.NoError(t, err)
		j := rules.NewJudge(p)
		for range 2 {
			got, err := j.Judge(c)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}

		var stored rules.Profile // as an event keeps it
		require.NoError(t, json.Unmarshal(encode(t, p), &stored))
		got, err := rules.NewJudge(stored).Judge(c)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// encode returns v in JSON.
func encode(t require.TestingT, v any) []byte {
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

// Whatever is sent as rules and candidate is refused, or is evaluated within its bounds and twice the same.
func FuzzRules(f *testing.F) {
	f.Add([]byte(seedRules), []byte(acme), []byte(people))
	f.Add([]byte(`[{"name":"e","when":{"expression":"prospects.exists(p, company.all(k, company[k] == p.id))"}}]`), []byte(acme), []byte(people))
	f.Add([]byte(`[{"name":"m","when":{"field":"company.name","op":"matches","value":"(a*)*b{0,9}"}}]`), []byte(`{"name":"aaaa"}`), []byte(`null`))
	f.Add([]byte(`[{"name":"\u0000","when":{"not":{"all":[{"any":[]}]}},"weight":1e99}]`), []byte(`{"a":1e999}`), []byte(`[null,7]`))
	f.Fuzz(func(t *testing.T, list, company, prospects []byte) {
		var tree any
		if json.Unmarshal(list, &tree) != nil {
			return
		}
		read, faults := rules.Read(tree)
		if len(faults) > 0 {
			return
		}
		require.Empty(t, rules.Check(read, 50))
		c, err := rules.NewCandidate(company, prospects, nil)
		if err != nil {
			return
		}
		first, err := rules.NewJudge(rules.Profile{Rules: read}).Judge(c)
		require.NoError(t, err)
		second, err := rules.NewJudge(rules.Profile{Rules: read}).Judge(c)
		require.NoError(t, err)
		require.Equal(t, first, second)
		require.True(t, first.Score >= 0 && first.Score <= 100)
	})
}

// BenchmarkJudge measures a candidate under ten rules, two of them expressions, from its JSON.
func BenchmarkJudge(b *testing.B) {
	list := parse(b, `[
		{"name":"1","when":{"field":"company.technologies","op":"contains","value":"hubspot"}},
		{"name":"2","when":{"field":"company.revenue","op":"gt","value":10000000}},
		{"name":"3","when":{"field":"prospects.title","op":"matches","value":"(?i)\\b(ceo|cto|chief|vp|head)\\b"}},
		{"name":"4","when":{"field":"company.employees","op":"between","value":[50,500]}},
		{"name":"5","when":{"field":"company.industry","op":"any_of","value":["software","saas","fintech"]}},
		{"name":"6","when":{"field":"company.technologies","op":"none_of","value":["salesforce"]}},
		{"name":"7","when":{"all":[{"field":"company.domain","op":"ends_with","value":".com"},{"not":{"field":"company.public","op":"eq","value":true}}]}},
		{"name":"8","when":{"field":"attributes.funding.round","op":"any_of","value":["A","B"]}},
		{"name":"9","when":{"expression":"company.revenue > 10000000 && 'AWS' in company.technologies"}},
		{"name":"10","when":{"expression":"prospects.exists(p, p.title.startsWith('Chief'))"}}
	]`)
	judge := rules.NewJudge(rules.Profile{Rules: list, Threshold: 50})
	b.ReportAllocs()
	for b.Loop() {
		c, err := rules.NewCandidate([]byte(acme), []byte(people), []byte(extra))
		require.NoError(b, err)
		got, err := judge.Judge(c)
		require.NoError(b, err)
		require.Equal(b, 100, got.Score)
	}
}
