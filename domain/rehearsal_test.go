package domain_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
	"github.com/openprospect/delivery-ledger/domain/rules"
)

func TestRehearsalSaysWhatIsDecidedAndWhatWasSeen(t *testing.T) {
	t.Parallel()
	for threshold, qualified := range map[int]bool{50: true, 51: false} {
		command := judging(t, threshold)
		told, err := command.Rehearse()
		require.NoError(t, err)
		require.Equal(t, domain.Rehearsal{
			Judgement: rules.Judgement{
				Qualified: qualified, Score: 50, Reasons: []string{"Acme Corp"}, Verdicts: []rules.Verdict{{Rule: "Acme Corp", Met: true}, {Rule: "funding"}},
			},
			Sights: [][]rules.Sight{{{Field: "company.name", Values: []any{"Acme Corp"}}}, {{Field: "attributes.funding", Values: []any{"A"}}}},
		}, told)
		_, handedOver := judged(t, command)[0].(domain.CompanyQualified)
		require.Equal(t, qualified, handedOver)
	}
	command := judging(t, 50)
	command.Excluded = &domain.Excluded{Exclusion: "exc_1"}
	told, err := command.Rehearse()
	require.NoError(t, err)
	require.Equal(t, command.Excluded, told.Excluded)

	command.Candidate.Company = json.RawMessage(`[]`)
	_, err = command.Rehearse()
	require.Error(t, err)
}

func TestRulesAreRehearsedAsTheyAreOrAsProposed(t *testing.T) {
	t.Parallel()
	list, other := []rules.Rule{named("Acme")}, []rules.Rule{named("Globex")}
	d := Fold[domain.Delivery](t, Given(created, domain.RulesSet{Delivery: dcf, Rules: list, Threshold: 50}))
	for name, c := range map[string]struct {
		rules     *[]rules.Rule
		threshold *int
		want      rules.Profile
	}{
		"as it is":           {nil, nil, rules.Profile{Rules: list, Threshold: 50, Version: 2}},
		"the same":           {&list, new(50), rules.Profile{Rules: list, Threshold: 50, Version: 2}},
		"another threshold":  {nil, new(51), rules.Profile{Rules: list, Threshold: 51}},
		"other rules":        {&other, nil, rules.Profile{Rules: other, Threshold: 50}},
		"all that is judged": {&other, new(0), rules.Profile{Rules: other}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := d.Rehearsed(acme, dcf, c.rules, c.threshold)
			require.NoError(t, err)
			require.Equal(t, c.want, got.Profile)
			told, err := domain.JudgeCandidate{
				Delivery: got, CompanyID: "c", Candidate: domain.Candidate{Company: json.RawMessage(`{"id":"c","name":"Globex"}`)},
			}.Rehearse()
			require.NoError(t, err)
			require.Equal(t, c.rules == &other, told.Qualified, "by the rules that it has then")
			require.Equal(t, list, d.Profile.Rules, "the delivery keeps its own")
		})
	}
	_, err := d.Rehearsed("org_other", dcf, nil, nil)
	require.Equal(t, domain.NotFound, domain.KindOf(err))
	for _, d := range []domain.Delivery{d, Fold[domain.Delivery](t, Given(created))} {
		_, err = d.Rehearsed(acme, dcf, &[]rules.Rule{}, nil)
		require.Equal(t, domain.Conflict, domain.KindOf(err))
	}
}
