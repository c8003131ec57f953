package rules

import (
	"fmt"
	"sync"
)

// A Judgement is what a profile says of a candidate.
type Judgement struct {
	Qualified bool
	Score     int      // 0 to 100
	Reasons   []string // of the rules that are met, in their order; never nil
	Verdicts  []Verdict
}

// A Verdict says whether a rule is met.
type Verdict struct {
	Rule  string `json:"rule"` // its name
	Met   bool   `json:"met"`
	Error string `json:"error,omitempty"` // why it could not be evaluated; then it is not met
}

// maxSaid is the length in characters of what is said of a rule that could not be evaluated.
const maxSaid = 300

// A Judge evaluates a profile. It may be used from many goroutines.
type Judge struct {
	profile Profile
	once    sync.Once
	rules   []node
	err     error
}

// NewJudge returns the judge of a profile. The rules must have passed [Check]; they are compiled
// when they are first needed.
func NewJudge(p Profile) *Judge { return &Judge{profile: p} }

// Judge evaluates the profile. The score is the weight of the rules that are met in that of all, in
// percent, rounded to the nearest whole number, halves up. A candidate qualifies when it meets every
// required rule and its score is not below the threshold; without rules none does. It fails only
// when the rules cannot be compiled, which is when they did not pass the check of this build.
func (j *Judge) Judge(c Candidate) (Judgement, error) {
	j.once.Do(func() { j.rules, j.err = compileAll(j.profile.Rules) })
	if j.err != nil {
		return Judgement{}, fmt.Errorf("compile rules: %w", j.err)
	}
	judged := Judgement{Reasons: []string{}, Verdicts: make([]Verdict, len(j.rules)), Qualified: len(j.rules) > 0}
	met, all, left := 0, 0, maxSteps
	for i, rule := range j.profile.Rules {
		m := &meter{candidate: c, left: min(left, maxRuleSteps)}
		began := m.left
		holds := j.rules[i].holds(m)
		left -= began - max(0, m.left)
		v := Verdict{Rule: rule.Name, Met: holds && m.err == nil}
		if m.err != nil {
			v.Error = beginning(m.err.Error(), maxSaid) // it may say what the candidate has
		}
		judged.Verdicts[i] = v
		all += rule.weight()
		if v.Met {
			met += rule.weight()
			judged.Reasons = append(judged.Reasons, rule.reason())
		} else if rule.Required {
			judged.Qualified = false
		}
	}
	if all > 0 {
		judged.Score = (200*met + all) / (2 * all)
	}
	judged.Qualified = judged.Qualified && judged.Score >= j.profile.Threshold
	return judged, nil
}

// compileAll returns what evaluates each rule.
func compileAll(list []Rule) ([]node, error) {
	nodes := make([]node, len(list))
	var lang language
	for i, rule := range list {
		n, err := compile(rule.When, &lang)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", rule.Name, err)
		}
		nodes[i] = n
	}
	return nodes, nil
}
