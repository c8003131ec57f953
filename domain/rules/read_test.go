package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain/rules"
)

func TestEveryFaultIsNamedWithItsPlace(t *testing.T) {
	t.Parallel()
	when := func(condition string) string { return `[{"name":"r","when":` + condition + `}]` }
	nested := strings.Repeat(`{"not":`, 8) + `{"field":"company.a","op":"exists"}` + strings.Repeat(`}`, 8)
	many := strings.TrimSuffix(strings.Repeat(`{"field":"company.a","op":"exists"},`, 101), ",")
	for text, want := range map[string][]string{
		`{}`:   {"rules: must be a list"},
		`[1]`:  {"rules.0: must be an object"},
		`[{}]`: {"rules.0.name: is required", "rules.0.when: is required"},
		`[{"name":"","reason":"a\nb","when":7,"weight":0,"required":1,"wen":2}]`: {
			"rules.0.wen: is not a known field", "rules.0.name: must not be empty", "rules.0.reason: must not contain control characters",
			"rules.0.weight: must be a whole number from 1 to 1000", "rules.0.required: must be true or false", "rules.0.when: must be an object",
		},
		`[{"name":"a","when":{"field":"company.a","op":"exists"},"weight":1.5},{"name":"a","when":{"field":"company.a","op":"exists"}}]`: {
			`rules.0.weight: must be a whole number from 1 to 1000 (rule "a")`, `rules.1.name: is that of an earlier rule (rule "a")`,
		},
		when(`{}`): {"rules.0.when: must have exactly one of"},
		when(`{"field":"company.a","op":"exists","not":{}}`):                                {"rules.0.when: must have exactly one of"},
		when(`{"all":[],"value":1}`):                                                        {"rules.0.when: must have exactly one of"},
		when(`{"all":[]}`):                                                                  {"rules.0.when.all: must be a list of conditions, not empty"},
		when(`{"field":"company.a"}`):                                                       {"rules.0.when.op: is required"},
		when(`{"field":"name","op":"is"}`):                                                  {"rules.0.when.field: must begin with company, prospects or attributes", "rules.0.when.op: must be one of absent, all_of"},
		when(`{"field":"company..a","op":"exists"}`):                                        {"rules.0.when.field: must be names with dots between"},
		when(`{"field":7,"op":"exists","value":1}`):                                         {"rules.0.when.field: must be a text", "rules.0.when.value: must be absent"},
		when(`{"field":"company.a","op":"gt","value":"10"}`):                                {"rules.0.when.value: must be a number"},
		when(`{"field":"company.a","op":"gt"}`):                                             {"rules.0.when.value: must be a number"},
		when(`{"field":"company.a","op":"eq","value":null}`):                                {"rules.0.when.value: must be a text, a number, true or false"},
		when(`{"field":"company.a","op":"between","value":[2,1]}`):                          {"rules.0.when.value: must be a list of two numbers"},
		when(`{"field":"company.a","op":"contains_text","value":""}`):                       {"rules.0.when.value: must be a text, not empty"},
		when(`{"field":"company.a","op":"any_of","value":[]}`):                              {"rules.0.when.value: must be a list of 1 to 100 values"},
		when(`{"field":"company.a","op":"any_of","value":[[]]}`):                            {"rules.0.when.value: must be a list of texts"},
		when(`{"field":"company.a","op":"matches","value":"("}`):                            {"rules.0.when.value: must be a regular expression (RE2): error parsing regexp: missing closing )"},
		when(`{"field":"company.a","op":"matches","value":"(?=a)"}`):                        {"rules.0.when.value: must be a regular expression (RE2)"},
		when(`{"field":"company.a","op":"matches","value":"((a{30}){30})b"}`):               {"rules.0.when.value: must be a regular expression (RE2): is too large"},
		when(`{"any":[{"field":"company.a","op":"exists"},{"not":{"all":[{"op":"eq"}]}}]}`): {"rules.0.when.any.1.not.all.0: must have exactly one of"},
		when(nested):                                          {"rules.0.when" + strings.Repeat(".not", 8) + ": lies in more than 7 groups"},
		when(`{"all":[` + many + `]}`):                        {"rules.0.when: must have at most 100 conditions"},
		when(`{"expression":"company.a >"}`):                  {"rules.0.when.expression: is not an expression: line 1, column 12: Syntax error"},
		when(`{"expression":"compny.a > 1"}`):                 {"rules.0.when.expression: is not an expression: line 1, column 1: undeclared reference to 'compny'"},
		when(`{"expression":"1 + 'a' == 2"}`):                 {"rules.0.when.expression: is not an expression: line 1, column 3: found no matching overload"},
		when(`{"expression":"{'a': 1}.exists(k, k == 'a')"}`): {"rules.0.when.expression: has an object in braces"},
		when(`{"expression":"company.revenue"}`):              {"rules.0.when.expression: must be true or false, it is dyn"},
		when(`{"expression":"company.a.matches('x')"}`):       {"rules.0.when.expression: is not an expression"},
		when(`{"expression":"timestamp('2025-01-01T00:00:00Z').getHours('Europe/Berlin') > 3"}`):                    {"rules.0.when.expression: is not an expression"},
		when(`{"expression":"prospects.all(a, prospects.all(b, prospects.all(c, a.id == b.id && b.id == c.id)))"}`): {"rules.0.when.expression: may take "},
		when(`{"expression":"` + strings.Repeat("(", 60) + "true" + strings.Repeat(")", 60) + `"}`):                 {"rules.0.when.expression: is not an expression"},
		when(`{"expression":"` + strings.Repeat("x", 2001) + `"}`):                                                  {"rules.0.when.expression: must have at most 2000 characters"},
	} {
		_, faults := rules.Read(tree(t, text))
		require.Len(t, faults, len(want), "%s: %v", text, faults)
		for i, fault := range faults {
			require.Contains(t, fault.Field+": "+fault.Error, want[i])
		}
	}
}

func TestNumberAndSizeOfRulesAreBounded(t *testing.T) {
	t.Parallel()
	list := func(n int, value string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`{"name":"r%d","when":{"field":"company.a","op":"any_of","value":[%s]}}`, i, value))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	_, faults := rules.Read(tree(t, list(50, `"x"`)))
	require.Empty(t, faults)
	_, faults = rules.Read(tree(t, list(51, `"x"`)))
	require.Equal(t, []rules.Fault{{Field: "rules", Error: "must have at most 50 items", Provided: 51}}, faults)
	_, faults = rules.Read(tree(t, list(50, `"`+strings.Repeat("x", 500)+`","`+strings.Repeat("x", 500)+`","`+strings.Repeat("x", 500)+`"`)))
	require.Equal(t, []rules.Fault{{Field: "rules", Error: "must take at most 64 KiB as JSON"}}, faults)
}

func TestThresholdIsAPercentage(t *testing.T) {
	t.Parallel()
	require.Empty(t, rules.Check(nil, 0))
	require.Empty(t, rules.Check(nil, 100))
	require.Equal(t, []rules.Fault{{Field: "threshold", Error: "must be from 0 to 100", Provided: 101}}, rules.Check(nil, 101))
	require.Len(t, rules.Check([]rules.Rule{{}}, -1), 3)
}
