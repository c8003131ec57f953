package rules

import (
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Bounds of an expression.
const (
	maxExpression = 2000    // characters
	maxNesting    = 50      // of parts in parts
	maxEstimate   = 500_000 // what it is estimated to cost at most, with the sizes below
	maxCost       = 20_000  // what it may cost; then evaluation ends
	stepsOfCost   = 5       // that a unit of cost is counted as
)

// The sizes with which the cost of an expression is estimated.
const (
	likelyItems = 100
	likelyText  = 1000
)

// untimely are the functions of the standard library that expressions do not have: those of time,
// whose zones change, and of regular expressions, whose size cannot be bounded.
var untimely = []string{
	"timestamp", "duration", "getFullYear", "getMonth", "getDayOfYear", "getDate", "getDayOfMonth", "getDayOfWeek",
	"getHours", "getMinutes", "getSeconds", "getMilliseconds", "matches",
}

// A language is what expressions are written in. The zero language is made when it is first needed:
// that takes longer than most rules. It is for one goroutine.
type language struct{ env *cel.Env }

// load makes the language, unless it is made.
func (l *language) load() (err error) {
	if l.env != nil {
		return nil
	}
	without := env.NewLibrarySubset()
	for _, name := range untimely {
		without.AddExcludedFunctions(env.NewFunction(name))
	}
	object := cel.MapType(cel.StringType, cel.DynType)
	l.env, err = cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(without)),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserExpressionSizeLimit(4*maxExpression),
		cel.Variable(company, object),
		cel.Variable(attributes, object),
		cel.Variable(prospects, cel.ListType(object)),
	)
	if err != nil {
		return fmt.Errorf("make expression language: %w", err)
	}
	return nil
}

// compile returns what evaluates an expression. Its error is for whoever wrote that.
func (l *language) compile(text string) (node, error) {
	if err := l.load(); err != nil {
		return nil, err
	}
	expression, issues := l.env.Compile(text)
	if errs := issues.Errors(); len(errs) > 0 {
		e := errs[0]
		return nil, fmt.Errorf("is not an expression: line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, e.Message)
	}
	if hasObject(expression) {
		return nil, errors.New("has an object in braces, which expressions cannot make")
	}
	if !expression.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("must be true or false, it is %s; of a field write for instance == true", expression.OutputType())
	}
	estimate, err := l.env.EstimateCost(expression, sizes{})
	if err != nil {
		return nil, fmt.Errorf("has a cost that cannot be estimated: %w", err)
	}
	if estimate.Max > maxEstimate {
		return nil, fmt.Errorf("may take %d steps, %d are allowed: loops in loops are costly", estimate.Max, maxEstimate)
	}
	program, err := l.env.Program(expression, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.CostTracking(texts{}))
	if err != nil {
		return nil, fmt.Errorf("is not an expression: %w", err)
	}
	return expressionNode{program}, nil
}

// hasObject reports whether an expression writes out an object. The library goes through these in
// any order.
func hasObject(expression *cel.Ast) (has bool) {
	ast.PostOrderVisit(expression.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		has = has || e.Kind() == ast.MapKind || e.Kind() == ast.StructKind
	}))
	return has
}

// sizes says how large what a candidate has is taken to be.
type sizes struct{}

// EstimateSize returns how large a value may be.
func (sizes) EstimateSize(element cost.AstNode) *cost.SizeEstimate {
	if element.ComputedSize() != nil {
		return nil
	}
	if kind := element.Type().Kind(); kind == types.StringKind || kind == types.BytesKind {
		return &cost.SizeEstimate{Max: likelyText}
	}
	return &cost.SizeEstimate{Max: likelyItems}
}

// EstimateCallCost leaves the cost of calls to the library.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// texts says what calls cost that read whole texts, where the library counts one step: always, or of
// values whose types it does not know beforehand.
type texts struct{}

// bytesPerCost is how many bytes of a text are read at the cost of one, as in the library's own figures.
const bytesPerCost = 10

// CallCost returns the cost of a call, nil: what the library says.
func (texts) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	switch function {
	case "size", "string", "bytes", "int", "uint", "double", "bool", "_+_", "_<_", "_<=_", "_>_", "_>=_":
		bytes, some := uint64(0), false
		for _, arg := range args {
			if text, ok := arg.(types.String); ok {
				bytes, some = bytes+uint64(len(text)), true
			}
		}
		if some {
			return new(1 + bytes/bytesPerCost)
		}
	}
	return nil
}

// An expressionNode holds when an expression is true.
type expressionNode struct{ program cel.Program }

// errNotBool is the error of an expression that is neither true nor false.
var errNotBool = errors.New("is neither true nor false")

// holds evaluates the expression. What it fails with, such as a field that is absent, is the meter's.
func (n expressionNode) holds(m *meter) bool {
	if !m.spend(1) { // nor is one begun when there are no steps left
		return false
	}
	adapter := ordered{types.DefaultTypeAdapter, m}
	fields := make(map[string]any, len(m.candidate.fields))
	for name, value := range m.candidate.fields {
		fields[name] = adapter.NativeToValue(value)
	}
	value, details, err := n.program.Eval(fields)
	if details == nil || details.ActualCost() == nil {
		m.spend(stepsOfCost * maxCost)
	} else {
		m.spend(stepsOfCost * int(min(*details.ActualCost(), maxCost)))
	}
	if m.err != nil {
		return false
	}
	if err != nil {
		m.err = err
		return false
	}
	holds, ok := value.Value().(bool)
	if !ok {
		m.err = errNotBool
	}
	return holds
}
