package rules

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// A node is a compiled condition.
type node interface {
	// holds reports whether it holds of the meter's candidate. Once the meter has an error the
	// answer means nothing.
	holds(m *meter) bool
}

type (
	allNode []node
	anyNode []node
	notNode struct{ node }
)

// holds reports whether each holds.
func (n allNode) holds(m *meter) bool {
	for _, n := range n {
		if !m.spend(1) || !n.holds(m) {
			return false
		}
	}
	return true
}

// holds reports whether one holds.
func (n anyNode) holds(m *meter) bool {
	for _, n := range n {
		if !m.spend(1) || n.holds(m) {
			return true
		}
	}
	return false
}

// holds reports whether the node in it does not hold.
func (n notNode) holds(m *meter) bool { return !n.node.holds(m) }

// A fieldNode holds when one of the values of a field passes a test.
type fieldNode struct {
	path []string
	test func(m *meter, value any) bool
}

// holds reports whether one value passes.
func (n fieldNode) holds(m *meter) bool { return n.find(m, m.candidate.fields[n.path[0]], n.path[1:]) }

// find looks for a value that passes. Where the path meets a list it goes on in each element.
func (n fieldNode) find(m *meter, value any, path []string) bool {
	if !m.spend(1) || value == nil {
		return false
	}
	if list, ok := value.([]any); ok {
		for _, element := range list {
			if n.find(m, element, path) {
				return true
			}
		}
		return false
	}
	if len(path) == 0 {
		return n.test(m, value)
	}
	object, _ := value.(map[string]any)
	return n.find(m, object[path[0]], path[1:])
}

// compile returns what evaluates a condition that was read without fault.
func compile(c Condition, lang *language) (node, error) {
	switch {
	case c.Expression != "":
		return lang.compile(c.Expression)
	case c.Not != nil:
		n, err := compile(*c.Not, lang)
		return notNode{n}, err
	case c.All != nil:
		nodes, err := compileEach(c.All, lang)
		return allNode(nodes), err
	case c.Any != nil:
		nodes, err := compileEach(c.Any, lang)
		return anyNode(nodes), err
	}
	return compileComparison(strings.Split(c.Field, "."), c.Op, c.Value)
}

// compileEach returns what evaluates each condition.
func compileEach(list []Condition, lang *language) ([]node, error) {
	nodes := make([]node, len(list))
	for i, c := range list {
		n, err := compile(c, lang)
		if err != nil {
			return nil, err
		}
		nodes[i] = n
	}
	return nodes, nil
}

// compileComparison returns what evaluates a comparison.
func compileComparison(path []string, op Op, value any) (node, error) {
	if values, ok := value.([]any); ok && op == AllOf {
		each := make(allNode, len(values))
		for i, v := range values {
			each[i] = fieldNode{path, equals([]any{v})}
		}
		return each, nil
	}
	test, err := newTest(op, value)
	n := fieldNode{path, test}
	if op == Differs || op == NoneOf || op == Absent {
		return notNode{n}, err
	}
	return n, err
}

// newTest returns the test of an operator; of one that denies another, that of the other.
func newTest(op Op, value any) (func(*meter, any) bool, error) {
	switch op {
	case Exists, Absent:
		return func(*meter, any) bool { return true }, nil
	case Equal, Differs, Contains:
		return equals([]any{value}), nil
	case AnyOf, NoneOf:
		list, _ := value.([]any)
		return equals(list), nil
	case ContainsText, StartsWith, EndsWith:
		text, _ := value.(string)
		return hasText(op, fold(text)), nil
	case Matches:
		pattern, _ := value.(string)
		return matches(pattern)
	case Greater, AtLeast, Less, AtMost, Between:
		return compares(op, value), nil
	case AllOf:
	}
	return nil, fmt.Errorf("operator %q with %T is not known", op, value)
}

// equals returns a test whether a value equals one of those.
func equals(values []any) func(*meter, any) bool {
	keys := make(map[any]bool, len(values))
	for _, v := range values {
		if k, ok := key(v); ok {
			keys[k] = true
		}
	}
	return func(m *meter, value any) bool {
		text, _ := value.(string)
		if !m.spend(stepsOfLookUp + len(text)/bytesInStep) {
			return false
		}
		k, ok := key(value)
		return ok && keys[k]
	}
}

// stepsOfLookUp are those that finding a value among others takes.
const stepsOfLookUp = 2

// bytesInStep are those of a text that are looked at in one step.
const bytesInStep = 2

// hasText returns a test of where a text has another one, which is folded.
func hasText(op Op, part string) func(*meter, any) bool {
	has := map[Op]func(s, part string) bool{ContainsText: strings.Contains, StartsWith: strings.HasPrefix, EndsWith: strings.HasSuffix}[op]
	return func(m *meter, value any) bool {
		text, ok := value.(string)
		return ok && m.spend(len(text)/bytesInStep) && has(fold(text), part)
	}
}

// maxProgram is the number of instructions that a regular expression may have, once it is compiled.
const maxProgram = 500

// matches returns a test whether a regular expression finds something in a text.
func matches(pattern string) (func(*meter, any) bool, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	size := programSize(parsed)
	if size > maxProgram {
		return nil, fmt.Errorf("is too large: counted repetitions are written out, and there may be %d steps in all", maxProgram)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	perByte := 2 + size/4
	return func(m *meter, value any) bool {
		text, ok := value.(string)
		return ok && m.spend(1+len(text)*perByte) && re.MatchString(text)
	}, nil
}

// programSize returns at least the number of instructions that a regular expression becomes, without
// making them.
func programSize(re *syntax.Regexp) int {
	size := 1
	for _, sub := range re.Sub {
		size += programSize(sub)
	}
	switch re.Op {
	case syntax.OpLiteral:
		size += len(re.Rune)
	case syntax.OpCharClass:
		size += len(re.Rune) / 2
	case syntax.OpRepeat:
		size *= max(1, re.Min, re.Max)
	default:
	}
	return min(size, 1<<20) // so that repetitions of repetitions do not overflow
}

// compares returns a test of a number.
func compares(op Op, value any) func(*meter, any) bool {
	bound, _ := value.(float64)
	bounds, _ := value.([]any)
	return func(_ *meter, value any) bool {
		n, ok := value.(float64)
		if !ok {
			return false
		}
		switch op {
		case Greater:
			return n > bound
		case AtLeast:
			return n >= bound
		case Less:
			return n < bound
		case AtMost:
			return n <= bound
		default:
			low, _ := bounds[0].(float64)
			high, _ := bounds[1].(float64)
			return low <= n && n <= high
		}
	}
}
