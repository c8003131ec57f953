// Package rules decides whether a company qualifies under a customer's own rules, scores it, and
// says why.
//
// A [Profile] has rules and a threshold. Each [Rule] has a [Condition] about a [Candidate]; a
// [Judge] evaluates all of them and gives a [Judgement]: the score, the reasons of the rules that
// are met, and a verdict for each rule.
//
// Customers write the rules, so they are [Read] with suspicion, and evaluation is bounded whatever
// they say: in the number of rules and conditions, in the size of texts and regular expressions,
// and in steps. A rule that takes too many steps, or whose expression fails, is not met, and its
// verdict says so.
//
// # Why
//
// The same candidate gets the same judgement for ever. So there is no clock in here, no function of
// time or time zones in expressions, no order of maps, and no limit that depends on how fast a
// machine is: what a rule may cost is counted in steps.
//
// Expressions have no regular expressions of their own: a pattern could be put together at run time
// and take any memory. The operator matches has them, with their size checked when they are saved.
package rules
