package domain_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

// again returns the command that judges a company again, after those events, as command would.
func again(t *testing.T, command domain.JudgeCandidate, before ...domain.Event) domain.RequalifyCompany {
	t.Helper()
	return domain.RequalifyCompany{
		ID: command.ID, Requalification: "rql_1", Delivery: command.Delivery, Company: Fold[domain.HandOver](t, before), Excluded: command.Excluded,
	}
}

func TestCompanyThatIsJudgedAgainIsHandedOverAsIfItWasSent(t *testing.T) {
	t.Parallel()
	strict, lenient := judging(t, 51), judging(t, 50)
	lenient.Delivery.Profile.Version++
	before := judged(t, strict)
	want := judged(t, lenient, before...)[0].(domain.CompanyQualified)
	want.Requalification = "rql_1"
	require.Equal(t, int64(3), want.Profile)
	require.NotEmpty(t, want.Verdicts)
	When(t, before, again(t, lenient, before...)).Then(want)
	When(t, append(before, want), again(t, lenient, before...)).Then()
}

func TestCompanyThatIsDisqualifiedAgainAddsNothingUnderTheSameRules(t *testing.T) {
	t.Parallel()
	for name, prospects := range map[string]json.RawMessage{"given": json.RawMessage(`[{"id":"pros_1"}]`), "none": nil, "empty": json.RawMessage(` [ ]`)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := judging(t, 51)
			command.Candidate.Prospects = prospects
			before := judged(t, command)
			When(t, before, again(t, command, before...)).Then()

			command.Delivery.Profile.Version++
			want := before[0].(domain.CompanyDisqualified)
			want.Profile, want.Requalification = 3, "rql_1"
			When(t, before, again(t, command, before...)).Then(want)
			When(t, append(before, want), again(t, command, append(before, want)...)).Then()
			require.Empty(t, judged(t, command, append(before, want)...), "nor when it is sent")
		})
	}
}

func TestCompanyThatCameAgainInAnotherFormIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	strict, lenient := judging(t, 51), judging(t, 50)
	before := judged(t, strict)
	strict.Candidate.Attributes = json.RawMessage(`{"funding":"C"}`)
	When(t, append(before, judged(t, strict, before...)...), again(t, lenient, before...)).Then()
}

func TestExcludedCompanyIsJudgedAgain(t *testing.T) {
	t.Parallel()
	excluded := &domain.Excluded{Exclusion: "exc_1", Kind: domain.ByCompany, Value: "comp_1"}
	command := judging(t, 50)
	command.Excluded = excluded
	before := judged(t, command)
	When(t, before, again(t, command, before...)).Then()
	command.Excluded = nil
	qualified := judged(t, command)[0].(domain.CompanyQualified)
	qualified.Requalification = "rql_1"
	When(t, before, again(t, command, before...)).Then(qualified)

	command = judging(t, 51)
	before = judged(t, command)
	command.Excluded = excluded
	no := judged(t, command, before...)[0].(domain.CompanyDisqualified)
	no.Requalification = "rql_1"
	require.Equal(t, excluded, no.Excluded)
	When(t, before, again(t, command, before...)).Then(no)
}

func TestCompanyThatCameQualifiedAndWasExcludedIsHandedOverAsItCame(t *testing.T) {
	t.Parallel()
	judging := judging(t, 100) // it would not qualify by these rules
	score := 71
	command := domain.QualifyCompany{
		ID: "del_1", Delivery: judging.Delivery, CompanyID: "comp_1", Excluded: &domain.Excluded{Exclusion: "exc_1", Kind: domain.ByCompany, Value: "comp_1"},
		Qualification: domain.Qualification{Company: judging.Candidate.Company, Prospects: judging.Candidate.Prospects, Score: &score, MatchReasons: []string{"Uses HubSpot"}},
	}
	before, err := command.Decide(domain.HandOver{}, Now())
	require.NoError(t, err)
	command.Excluded = nil
	sent, err := command.Decide(domain.HandOver{}, Now())
	require.NoError(t, err)
	want := sent[0].(domain.CompanyQualified)
	want.Requalification = "rql_1"
	When(t, before, again(t, judging, before...)).Then(want)
	judging.Excluded = before[0].(domain.CompanyDisqualified).Excluded
	When(t, before, again(t, judging, before...)).Then()
}
