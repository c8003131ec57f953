package rules

// DefaultThreshold is the score from which on a company qualifies, unless the customer says otherwise.
const DefaultThreshold = 50

// A Profile is what a customer asks of companies.
type Profile struct {
	Rules     []Rule
	Threshold int   // the least score, 0 to 100, that qualifies
	Version   int64 // of the delivery's stream that set it; 0: none was set
}

// A Rule is one thing that a customer asks of a company.
type Rule struct {
	Name     string    `json:"name"`               // unique in its profile
	Reason   string    `json:"reason,omitempty"`   // told of companies that meet it; default: the name
	When     Condition `json:"when"`               // what a company must be to meet it
	Weight   int       `json:"weight,omitempty"`   // its share in the score, 1 to 1000; default: 1
	Required bool      `json:"required,omitempty"` // a company that does not meet it is disqualified
}

// reason returns what is told of companies that meet the rule.
func (r Rule) reason() string {
	if r.Reason == "" {
		return r.Name
	}
	return r.Reason
}

// weight returns the rule's share in the score.
func (r Rule) weight() int { return max(1, r.Weight) }

// A Condition holds of a candidate or not. It is one of these: a comparison (Field, Op, Value), a
// group (All, Any or Not), or an Expression.
type Condition struct {
	Field string `json:"field,omitempty"` // path such as company.revenue or prospects.title
	Op    Op     `json:"op,omitempty"`
	Value any    `json:"value,omitempty"` // of JSON: text, float64, bool, or a list of these

	All []Condition `json:"all,omitempty"` // each holds
	Any []Condition `json:"any,omitempty"` // one holds
	Not *Condition  `json:"not,omitempty"` // it does not hold

	Expression string `json:"expression,omitempty"` // in CEL, over company, prospects and attributes
}

// An Op compares what a field holds with a value. A field holds several values where its path meets
// a list: then one of them is enough. Texts are compared without regard to case, but by Matches.
// A value of another type than is asked for is none.
type Op string

// The operators.
const (
	Equal        Op = "eq"            // the same text, number or truth value
	Differs      Op = "ne"            // not Equal; so also when the field is absent
	Greater      Op = "gt"            // a number above
	AtLeast      Op = "gte"           // a number not below
	Less         Op = "lt"            // a number below
	AtMost       Op = "lte"           // a number not above
	Between      Op = "between"       // a number in [low, high], bounds included
	ContainsText Op = "contains_text" // a text with the given one in it
	StartsWith   Op = "starts_with"
	EndsWith     Op = "ends_with"
	Matches      Op = "matches"  // a text in which the regular expression (RE2) finds something; with regard to case
	Contains     Op = "contains" // a list with that value in it
	AnyOf        Op = "any_of"   // one of the listed values
	AllOf        Op = "all_of"   // each of the listed values
	NoneOf       Op = "none_of"  // not AnyOf; so also when the field is absent
	Exists       Op = "exists"   // some value that is not null
	Absent       Op = "absent"   // not Exists
)
