package rules

import (
	"math"
	"slices"
	"strings"
)

// Bounds of what is shown of a candidate.
const (
	maxSightFields = 20       // of a rule
	maxSightValues = 5        // of a field
	maxSightText   = 100      // characters of a text
	maxSightBytes  = 32 << 10 // of all texts
)

// A Sight is what the comparisons of a rule find in a field of a candidate.
type Sight struct {
	Field  string
	Values []any // texts, numbers, true or false; never nil. An object is shown as "{…}", a long text as its beginning
	More   bool  // there are more values, or there may be: not all was looked through
}

// Sights returns, for each rule of the profile, what a candidate has in the fields that the rule's
// comparisons name, in their order; of expressions nothing. It is bounded in steps and in size.
func (p Profile) Sights(c Candidate) [][]Sight {
	s := sights{meter: meter{candidate: c, left: maxSteps}, room: maxSightBytes}
	all := make([][]Sight, len(p.Rules))
	for i, rule := range p.Rules {
		all[i] = []Sight{}
		for _, field := range rule.When.fields(nil) {
			all[i] = append(all[i], s.of(field))
		}
	}
	return all
}

// fields adds the fields that a condition names to those, each once.
func (c Condition) fields(those []string) []string {
	if c.Field != "" && len(those) < maxSightFields && !slices.Contains(those, c.Field) {
		those = append(those, c.Field)
	}
	for _, list := range [][]Condition{c.All, c.Any} {
		for _, c := range list {
			those = c.fields(those)
		}
	}
	if c.Not != nil {
		those = c.Not.fields(those)
	}
	return those
}

// sights are the sights of one candidate.
type sights struct {
	meter
	room int // bytes of texts that may still be shown
}

// of returns the sight of a field.
func (s *sights) of(field string) Sight {
	sight := Sight{Field: field, Values: []any{}}
	look := fieldNode{path: strings.Split(field, "."), test: func(_ *meter, value any) bool {
		if len(sight.Values) < maxSightValues && s.room > 0 {
			sight.Values = append(sight.Values, s.show(value))
			return false
		}
		return true // one more than is shown: enough was seen
	}}
	sight.More = look.holds(&s.meter) || s.err != nil
	return sight
}

// show returns a value as it is shown.
func (s *sights) show(value any) any {
	switch v := value.(type) {
	case float64:
		if math.IsInf(v, 0) { // JSON has no such number
			return map[bool]string{true: "Infinity", false: "-Infinity"}[v > 0]
		}
	case string:
		v = beginning(v, maxSightText)
		s.room -= len(v)
		return v
	case map[string]any:
		return "{…}"
	}
	return value
}

// beginning returns a text, or so many characters of it and an ellipsis.
func beginning(text string, longest int) string {
	n := 0
	for at := range text {
		if n++; n > longest {
			return text[:at] + "…"
		}
	}
	return text
}
