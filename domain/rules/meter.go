package rules

import "errors"

// What evaluation may cost. A step takes 5 to 50 nanoseconds: see BenchmarkWorstJudge.
const (
	maxSteps     = 500_000 // of all rules about one candidate
	maxRuleSteps = 100_000
)

// errCostly is what ends the evaluation of a rule that takes too many steps.
var errCostly = errors.New("takes too many steps")

// A meter counts what the evaluation of one rule takes, and keeps what it ended with. Once it has an
// error nothing that follows counts: the rule is not met.
type meter struct {
	candidate Candidate
	left      int
	err       error
}

// spend takes steps, and reports whether there were that many.
func (m *meter) spend(steps int) bool {
	if m.err != nil {
		return false
	}
	if m.left -= steps; m.left < 0 {
		m.err = errCostly
	}
	return m.err == nil
}
