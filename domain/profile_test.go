package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
	"github.com/openprospect/delivery-ledger/domain/rules"
)

// named returns a rule that asks for a name.
func named(name string) rules.Rule {
	return rules.Rule{Name: name, When: rules.Condition{Field: "company.name", Op: rules.Equal, Value: name}}
}

func TestRulesOfADelivery(t *testing.T) {
	t.Parallel()
	list, other := []rules.Rule{named("Acme")}, []rules.Rule{named("Globex")}
	create := domain.CreateDelivery{ID: dcf, Organisation: acme, Name: created.Name, Search: search}
	update := domain.UpdateDelivery{ID: dcf, Organisation: acme}
	set := domain.RulesSet{Delivery: dcf, Rules: list, Threshold: 50}
	plain := created
	plain.Schedule, plain.Status = domain.Immediate, domain.Active

	When(t, Given(), create).Then(plain)
	create.Rules = &list
	When(t, Given(), create).Then(plain, set)
	create.Rules, create.Threshold = nil, new(60)
	When(t, Given(), create).Then(plain, domain.RulesSet{Delivery: dcf, Rules: []rules.Rule{}, Threshold: 60})

	When(t, Given(created, set), update).Then()
	update.Rules = &list
	When(t, Given(created, set), update).Then()
	update.Rules = &other
	When(t, Given(created, set), update).Then(domain.RulesSet{Delivery: dcf, Rules: other, Threshold: 50})
	update.Rules, update.Threshold = nil, new(0)
	When(t, Given(created, set), update).Then(domain.RulesSet{Delivery: dcf, Rules: list})
	update.Rules, update.Threshold = &[]rules.Rule{}, nil
	When(t, Given(created, set), update).Then(domain.RulesSet{Delivery: dcf, Rules: []rules.Rule{}, Threshold: 50})

	require.Equal(t, rules.Profile{Threshold: 50}, Fold[domain.Delivery](t, Given(created)).Profile)
	require.Equal(t, rules.Profile{Rules: list, Threshold: 50, Version: 3}, Fold[domain.Delivery](t, Given(created, added, set, paused)).Profile,
		"its version is that of the event that set it")
}

func TestRulesOfADeliveryAreChecked(t *testing.T) {
	t.Parallel()
	wrong := []rules.Rule{named("Acme"), {Name: "x", When: rules.Condition{Field: "name", Op: "is"}}}
	_, err := domain.CreateDelivery{ID: dcf, Organisation: acme, Search: search, Rules: &wrong, Threshold: new(101)}.Decide(domain.Delivery{}, Now())
	Faults(t, err, "name", "rules.1.when.field", "rules.1.when.op", "threshold")
	_, err = domain.UpdateDelivery{ID: dcf, Organisation: acme, Rules: &wrong}.Decide(Fold[domain.Delivery](t, Given(created)), Now())
	Faults(t, err, "rules.1.when.field", "rules.1.when.op")
}
