package domain_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
	"github.com/openprospect/delivery-ledger/domain/rules"
)

// judging returns the command that judges Acme by rules about its name and a funding, at a threshold.
func judging(t *testing.T, threshold int) domain.JudgeCandidate {
	t.Helper()
	list := []rules.Rule{named("Acme Corp"), {Name: "funding", Reason: "Series B", When: rules.Condition{Field: "attributes.funding", Op: rules.Equal, Value: "B"}}}
	return domain.JudgeCandidate{
		ID: "del_1", CompanyID: "comp_1",
		Delivery: Fold[domain.Delivery](t, Given(created, domain.RulesSet{Delivery: dcf, Rules: list, Threshold: threshold})),
		Candidate: domain.Candidate{
			Company: json.RawMessage(`{"id":"comp_1","name":"Acme Corp"}`), Prospects: json.RawMessage(`[{"id":"pros_1"}]`),
			Attributes: json.RawMessage(`{"funding":"A"}`),
		},
	}
}

// judged returns the events that a command adds to those.
func judged(t *testing.T, command domain.JudgeCandidate, before ...domain.Event) []domain.Event {
	t.Helper()
	events, err := command.Decide(Fold[domain.HandOver](t, before), Now())
	require.NoError(t, err)
	return events
}

func TestCandidateThatQualifiesIsHandedOverWithItsVerdicts(t *testing.T) {
	t.Parallel()
	command := judging(t, 50)
	verdicts := []rules.Verdict{{Rule: "Acme Corp", Met: true}, {Rule: "funding"}}
	qualified := domain.CompanyQualified{
		HandOver: "del_1", Organisation: created.Organisation, Delivery: dcf, Search: created.Search, CompanyID: "comp_1",
		Company: command.Candidate.Company, Prospects: command.Candidate.Prospects, Score: 50, MatchReasons: []string{"Acme Corp"},
		Profile: 2, Verdicts: verdicts,
	}
	got := judged(t, command)
	require.Len(t, got, 1)
	due := got[0].(domain.CompanyQualified)
	due.Due = nil // which is as for any hand-over
	require.Equal(t, qualified, due)

	command.ID = "del_2"
	require.Empty(t, judged(t, command, got...), "it is handed over once")
	command.Delivery = judging(t, 100).Delivery
	require.Empty(t, judged(t, command, got...), "also when it would not qualify any more")
}

func TestCandidateThatDoesNotQualifyIsRecordedAndMayComeAgain(t *testing.T) {
	t.Parallel()
	command := judging(t, 51)
	first := judged(t, command)
	require.Len(t, first, 1)
	no := first[0].(domain.CompanyDisqualified)
	require.Equal(t, []any{50, int64(2), []rules.Verdict{{Rule: "Acme Corp", Met: true}, {Rule: "funding"}}}, []any{no.Score, no.Profile, no.Verdicts})
	require.Equal(t, command.Candidate.Attributes, no.Attributes)
	require.Equal(t, domain.HandOverID(""), Fold[domain.HandOver](t, first).ID, "it is not handed over")

	again := command
	again.Candidate.Company = json.RawMessage(` {"id": "comp_1", "name": "Acme Corp"}`)
	require.Empty(t, judged(t, again, first...), "sent again unchanged it adds nothing")

	again.Candidate.Prospects = nil
	require.IsType(t, domain.CompanyDisqualified{}, judged(t, again, first...)[0], "changed, it is judged anew")

	again = command
	again.Delivery.Profile.Version++
	require.IsType(t, domain.CompanyDisqualified{}, judged(t, again, first...)[0], "and under other rules")

	again.Candidate.Attributes = json.RawMessage(`{"funding":"B"}`)
	second := judged(t, again, first...)
	require.IsType(t, domain.CompanyQualified{}, second[0], "it may qualify in the end")
	require.Equal(t, domain.HandOver{ID: "del_1", Company: "comp_1"}, Fold[domain.HandOver](t, append(first, second...)))
}

func TestCandidateNeedsRules(t *testing.T) {
	t.Parallel()
	command := judging(t, 50)
	command.Delivery = Fold[domain.Delivery](t, Given(created))
	_, err := command.Decide(domain.HandOver{}, Now())
	require.Equal(t, domain.Conflict, domain.KindOf(err))
}

func TestCheckOfACandidate(t *testing.T) {
	t.Parallel()
	id, err := judging(t, 50).Candidate.Check()
	require.NoError(t, err)
	require.Equal(t, domain.CompanyID("comp_1"), id)
	_, err = domain.Candidate{Company: json.RawMessage(`{"id":"a b"}`), Prospects: json.RawMessage(`{}`), Attributes: json.RawMessage(`[]`)}.Check()
	Faults(t, err, "company.id", "company.name", "prospects", "attributes")
	_, err = domain.Candidate{Company: json.RawMessage(`{"id":"a","name":"b"}`), Attributes: json.RawMessage(`null`)}.Check()
	require.NoError(t, err)
}

func TestOfAListThatIsTooLongTheFirstAreChecked(t *testing.T) {
	t.Parallel()
	_, err := domain.Qualification{
		Company: json.RawMessage(`{"id":"a","name":"b"}`), Score: new(int), MatchReasons: make([]string, 200),
		Prospects: json.RawMessage("[{}" + strings.Repeat(",{}", 5000) + "]"),
	}.Check()
	var refusal *domain.Error
	require.ErrorAs(t, err, &refusal)
	require.Len(t, refusal.Faults, 1+1000+1+100)
}
