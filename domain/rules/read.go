package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a customer writes.
const (
	maxRules      = 50
	maxBytes      = 64 << 10 // of all rules, as JSON
	maxName       = 200      // characters
	maxReason     = 500
	maxWeight     = 1000
	maxDepth      = 8   // of groups in groups
	maxConditions = 100 // of a rule
	maxField      = 200 // characters
	maxPath       = 10  // names in a path
	maxText       = 500 // characters
	maxListed     = 100 // values
)

// A Fault is one thing wrong with rules.
type Fault struct {
	Field    string // its place, such as rules.2.when.value
	Error    string // what would be right, and in which rule
	Provided any    // what was given
}

// Check returns all that is wrong with a profile.
func Check(rules []Rule, threshold int) []Fault {
	var faults []Fault
	if len(rules) > 0 {
		b, err := json.Marshal(rules)
		var tree any
		if err == nil {
			err = json.Unmarshal(b, &tree)
		}
		if err != nil {
			return []Fault{{Field: "rules", Error: "must be JSON"}}
		}
		_, faults = Read(tree)
	}
	if threshold < 0 || threshold > 100 {
		faults = append(faults, Fault{Field: "threshold", Error: "must be from 0 to 100", Provided: threshold})
	}
	return faults
}

// Read returns the rules in a decoded JSON value, whose numbers are float64, and all that is wrong
// with them. Rules that have a fault are not to be used.
func Read(tree any) ([]Rule, []Fault) {
	list, ok := tree.([]any)
	if !ok {
		return nil, []Fault{{Field: "rules", Error: "must be a list"}}
	}
	if len(list) > maxRules {
		return nil, []Fault{{Field: "rules", Error: fmt.Sprintf("must have at most %d items", maxRules), Provided: len(list)}}
	}
	if b, err := json.Marshal(tree); err != nil || len(b) > maxBytes {
		return nil, []Fault{{Field: "rules", Error: fmt.Sprintf("must take at most %d KiB as JSON", maxBytes>>10)}}
	}
	var r reader
	rules := make([]Rule, len(list))
	names := map[string]bool{}
	for i, item := range list {
		from := len(r.faults)
		place := "rules." + strconv.Itoa(i)
		rules[i] = r.rule(place, item)
		name := rules[i].Name
		if name == "" {
			continue
		}
		if names[name] {
			r.add(place+".name", "is that of an earlier rule", name)
		}
		names[name] = true
		for n := range r.faults[from:] {
			r.faults[from+n].Error += fmt.Sprintf(" (rule %q)", name)
		}
	}
	return rules, r.faults
}

// A reader reads rules and collects what is wrong with them.
type reader struct {
	faults     []Fault
	lang       language
	conditions int // of the rule that is being read
}

// add notes a fault.
func (r *reader) add(place, text string, provided any) {
	switch v := provided.(type) {
	case string:
		if v == "" || len(v) > 100 {
			provided = nil
		}
	case bool, float64, int:
	default:
		provided = nil
	}
	r.faults = append(r.faults, Fault{Field: place, Error: text, Provided: provided})
}

// object returns an object's members, and notes those that are not among names.
func (r *reader) object(place string, value any, names ...string) (map[string]any, bool) {
	object, ok := value.(map[string]any)
	if !ok {
		r.add(place, "must be an object", value)
		return nil, false
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(names, name) {
			r.add(place+"."+name, "is not a known field", nil)
		}
	}
	return object, true
}

// text returns a member that is text of so many characters; "" when it is absent or at fault.
func (r *reader) text(place string, object map[string]any, name string, longest int) string {
	value, given := object[name]
	if !given {
		return ""
	}
	text, ok := value.(string)
	switch {
	case !ok:
		r.add(place+"."+name, "must be a text", value)
	case text == "":
		r.add(place+"."+name, "must not be empty", nil)
	case utf8.RuneCountInString(text) > longest:
		r.add(place+"."+name, fmt.Sprintf("must have at most %d characters", longest), nil)
	case name != "expression" && strings.ContainsFunc(text, unicode.IsControl) || strings.ContainsRune(text, 0):
		r.add(place+"."+name, "must not contain control characters", nil)
	default:
		return text
	}
	return ""
}

// rule reads a rule.
func (r *reader) rule(place string, value any) (rule Rule) {
	object, ok := r.object(place, value, "name", "reason", "when", "weight", "required")
	if !ok {
		return rule
	}
	if _, given := object["name"]; !given {
		r.add(place+".name", "is required", nil)
	}
	rule.Name = r.text(place, object, "name", maxName)
	rule.Reason = r.text(place, object, "reason", maxReason)
	if weight, given := object["weight"]; given {
		n, ok := weight.(float64)
		if !ok || n != float64(int(n)) || n < 1 || n > maxWeight {
			r.add(place+".weight", fmt.Sprintf("must be a whole number from 1 to %d", maxWeight), weight)
		}
		rule.Weight = int(n)
	}
	if required, given := object["required"]; given {
		if rule.Required, ok = required.(bool); !ok {
			r.add(place+".required", "must be true or false", required)
		}
	}
	when, given := object["when"]
	if !given {
		r.add(place+".when", "is required", nil)
		return rule
	}
	r.conditions = 0
	rule.When = r.condition(place+".when", when, 1)
	if r.conditions > maxConditions {
		r.add(place+".when", fmt.Sprintf("must have at most %d conditions", maxConditions), r.conditions)
	}
	return rule
}

// condition reads a condition that lies in so many groups.
func (r *reader) condition(place string, value any, depth int) (c Condition) {
	if r.conditions++; r.conditions > maxConditions {
		return c // which is said of the rule
	}
	if depth > maxDepth {
		r.add(place, fmt.Sprintf("lies in more than %d groups", maxDepth-1), nil)
		return c
	}
	object, ok := r.object(place, value, "field", "op", "value", "all", "any", "not", "expression")
	if !ok {
		return c
	}
	var forms []string
	for _, name := range []string{"field", "all", "any", "not", "expression"} {
		if _, given := object[name]; given {
			forms = append(forms, name)
		}
	}
	_, op := object["op"]
	_, operand := object["value"]
	if len(forms) != 1 || (op || operand) && forms[0] != "field" {
		r.add(place, "must have exactly one of field (with op and value), all, any, not and expression", nil)
		return c
	}
	switch forms[0] {
	case "field":
		r.comparison(place, object, &c)
	case "not":
		not := r.condition(place+".not", object["not"], depth+1)
		c.Not = &not
	case "all":
		c.All = r.group(place+".all", object["all"], depth)
	case "any":
		c.Any = r.group(place+".any", object["any"], depth)
	case "expression":
		if c.Expression = r.text(place, object, "expression", maxExpression); c.Expression != "" {
			if _, err := r.lang.compile(c.Expression); err != nil {
				r.add(place+".expression", err.Error(), nil)
			}
		}
	}
	return c
}

// group reads the conditions of a group.
func (r *reader) group(place string, value any, depth int) []Condition {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		r.add(place, "must be a list of conditions, not empty", value)
		return nil
	}
	conditions := make([]Condition, len(list))
	for i, item := range list {
		conditions[i] = r.condition(place+"."+strconv.Itoa(i), item, depth+1)
	}
	return conditions
}

// comparison reads a comparison into c.
func (r *reader) comparison(place string, object map[string]any, c *Condition) {
	if c.Field = r.text(place, object, "field", maxField); c.Field != "" {
		path := strings.Split(c.Field, ".")
		switch {
		case !slices.Contains([]string{company, prospects, attributes}, path[0]):
			r.add(place+".field", "must begin with company, prospects or attributes", c.Field)
		case slices.Contains(path, "") || len(path) > maxPath:
			r.add(place+".field", fmt.Sprintf("must be names with dots between, at most %d", maxPath), c.Field)
		}
	}
	op, given := object["op"]
	text, _ := op.(string)
	check := operands[Op(text)]
	switch {
	case !given:
		r.add(place+".op", "is required", nil)
		return
	case check == nil:
		r.add(place+".op", "must be one of "+strings.Join(slices.Sorted(maps.Keys(opNames())), ", "), op)
		return
	}
	c.Op = Op(text)
	value, given := object["value"]
	if fault := check(value, given); fault != "" {
		r.add(place+".value", fault, value)
		return
	}
	c.Value = value
}
