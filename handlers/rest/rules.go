package rest

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/domain/rules"
)

// readRules returns the rules that a body has, nil when it has none. They may have faults.
func readRules(given *Rules) *[]rules.Rule {
	if given == nil {
		return nil
	}
	list := make([]rules.Rule, 0, len(*given))
	b, _ := json.Marshal(*given) // what came from JSON
	_ = json.Unmarshal(b, &list) // goes there, and comes back
	return &list
}

// showRules returns rules as the API shows them.
func showRules(list []rules.Rule) Rules {
	shown := Rules{}
	if len(list) == 0 {
		return shown
	}
	b, _ := json.Marshal(list) // what was read from JSON
	_ = json.Unmarshal(b, &shown)
	return shown
}

// ruleFaults returns what is wrong with the rules in a body that may have some, with the place of
// each. The schema alone would not tell the places of unknown fields, nor read what is in texts.
func ruleFaults(object map[string]any) []domain.Fault {
	if given, ok := object["rules"]; ok {
		return domain.RuleFaults(given)
	}
	return nil
}

// besideRules returns the faults of the rules and those that the schema finds elsewhere; or those of the
// schema alone, when only it finds any.
func besideRules(ofRules, ofSchema []domain.Fault) []domain.Fault {
	if len(ofRules) == 0 {
		return ofSchema
	}
	ofSchema = slices.DeleteFunc(ofSchema, func(f domain.Fault) bool { return f.Field == "rules" || strings.HasPrefix(f.Field, "rules.") })
	return append(ofSchema, ofRules...)
}
