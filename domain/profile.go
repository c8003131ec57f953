package domain

import (
	"reflect"

	"github.com/openprospect/delivery-ledger/domain/rules"
)

// change returns a profile with what is given of rules and threshold.
func change(p rules.Profile, given *[]rules.Rule, threshold *int) rules.Profile {
	p.Rules, p.Threshold = or(given, p.Rules), or(threshold, p.Threshold)
	if p.Rules == nil {
		p.Rules = []rules.Rule{}
	}
	return p
}

// sameRules reports whether two lists of rules are the same, word by word.
func sameRules(a, b []rules.Rule) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// checkProfile notes what is wrong with rules and threshold.
func (f *faults) checkProfile(p rules.Profile) {
	for _, fault := range rules.Check(p.Rules, p.Threshold) {
		*f = append(*f, Fault(fault))
	}
}

// RuleFaults returns all that is wrong with the rules in a decoded JSON value.
func RuleFaults(tree any) []Fault {
	var f faults
	_, found := rules.Read(tree)
	for _, fault := range found {
		f = append(f, Fault(fault))
	}
	return f
}
