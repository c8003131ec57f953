package domain_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

// excluded returns what excludes acme.com.
func excluded(t *testing.T) domain.Excluded {
	t.Helper()
	x, err := domain.NewExcluded(acme, domain.ByDomain, "acme.com", "A customer already")
	require.NoError(t, err)
	return x
}

func TestExclusionIsAddedOnceAndRemovedOnce(t *testing.T) {
	t.Parallel()
	x := excluded(t)
	add, remove := domain.AddExclusion{Organisation: acme, Excluded: x}, domain.RemoveExclusion{Organisation: acme, ID: x.Exclusion}
	added, removed := domain.ExclusionAdded{Organisation: acme, Excluded: x}, domain.ExclusionRemoved{Organisation: acme, Exclusion: x.Exclusion}
	When(t, Given(), add).Then(added)
	other := add
	other.Reason = "A competitor"
	When(t, Given(added), other).Then()
	When(t, Given(added), remove).Then(removed)
	When(t, Given(added, removed), other).Then(domain.ExclusionAdded(other))
	for _, before := range [][]domain.Event{Given(), Given(added, removed)} {
		_, err := remove.Decide(Fold[domain.Exclusion](t, before), Now())
		require.Equal(t, domain.NotFound, domain.KindOf(err))
	}
	require.Equal(t, add.Stream(), remove.Stream())
	begin := domain.BeginExclusions{Organisation: acme}
	When(t, Given(), begin).Then(domain.ExclusionsBegun(begin))
	When(t, Given(domain.ExclusionsBegun(begin)), begin).Then()
}

func TestDomainsAreExcludedAsDNSHasThem(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"example.com": "example.com", "Example.COM": "example.com", "example.com.": "example.com", "www.example.com": "www.example.com",
		"Bücher.example": "xn--bcher-kva.example", "XN--BCHER-KVA.example": "xn--bcher-kva.example", "例え。テスト": "xn--r8jz45g.xn--zckzah",
		"a.b.c.d.e.f.example.com": "a.b.c.d.e.f.example.com",
	} {
		x, err := domain.NewExcluded(acme, domain.ByDomain, given, "")
		require.NoError(t, err, given)
		require.Equal(t, want, x.Value)
		require.Equal(t, domain.ExclusionIDFor(acme, domain.ByDomain, want), x.Exclusion, "its ID is that of the domain, however it is written")
	}
	for _, given := range []string{
		"", "com", ".", "..", "example..com", ".example.com", "https://example.com", "example.com/about", "example.com:443", "a b.com", "*.example.com",
		"exa_mple.com", "-a.com", "xn--a.com", "me@example.com", "a.b.c.d.e.f.g.example.com", strings.Repeat("a", 64) + ".com", "\xff.com",
		strings.Repeat(strings.Repeat("a", 63)+".", 4) + "com",
	} {
		_, err := domain.NewExcluded(acme, domain.ByDomain, given, "")
		require.Error(t, err, given)
		Faults(t, err, "value")
	}
}

func TestCheckOfAnExclusion(t *testing.T) {
	t.Parallel()
	_, err := domain.NewExcluded(acme, "", "x", strings.Repeat("x", 501))
	Faults(t, err, "kind", "reason")
	_, err = domain.NewExcluded(acme, "name", "x", "a\x00")
	Faults(t, err, "kind", "reason")
	_, err = domain.NewExcluded(acme, domain.ByCompany, "a b", "")
	Faults(t, err, "value")
	x, err := domain.NewExcluded(acme, domain.ByCompany, "Comp_1", "")
	require.NoError(t, err)
	require.Equal(t, "Comp_1", x.Value, "the engine's IDs are kept as given")
	for _, other := range []domain.ExclusionID{
		domain.ExclusionIDFor("org_b", domain.ByCompany, "Comp_1"), domain.ExclusionIDFor(acme, domain.ByDomain, "Comp_1"),
		domain.ExclusionIDFor(acme, domain.ByCompany, "comp_1"),
	} {
		require.NotEqual(t, x.Exclusion, other)
	}
}

func TestCompanyFallsUnderItsDomainAndAllAbove(t *testing.T) {
	t.Parallel()
	under := func(domains ...string) []string {
		streams := []string{domain.ExclusionStream(acme, domain.ExclusionIDFor(acme, domain.ByCompany, "comp_1"))}
		for _, d := range domains {
			streams = append(streams, domain.ExclusionStream(acme, domain.ExclusionIDFor(acme, domain.ByDomain, d)))
		}
		return streams
	}
	for given, want := range map[string][]string{
		`"shop.Example.com"`:                      {"shop.example.com", "example.com"},
		`"https://me:x@www.example.com:8080/a?b"`: {"www.example.com", "example.com"},
		`"example.com?x=a.b"`:                     {"example.com"},
		`"example.com#a.b"`:                       {"example.com"},
		`" EXAMPLE.com. "`:                        {"example.com"},
		`"büro.Bücher.example"`:                   {"xn--bro-hoa.xn--bcher-kva.example", "xn--bcher-kva.example"},
		`"foo_bar.example.com"`:                   {"foo_bar.example.com", "example.com"},
		`"com"`:                                   nil,
		`""`:                                      nil,
		`17`:                                      nil,
		`"` + strings.Repeat("a.", 500) + `b.com"`: {
			"a.a.a.a.a.a.b.com", "a.a.a.a.a.b.com", "a.a.a.a.b.com", "a.a.a.b.com", "a.a.b.com", "a.b.com", "b.com",
		},
	} {
		got := domain.ExclusionStreams(acme, "comp_1", json.RawMessage(`{"id":"comp_1","domain":`+given+`}`))
		require.Equal(t, under(want...), got, given)
	}
	require.Equal(t, under(), domain.ExclusionStreams(acme, "comp_1", json.RawMessage(`{"id":"comp_1","Domain":"a.b"}`)))
}

func TestExcludedCandidateIsDisqualifiedUntilItIsNoMore(t *testing.T) {
	t.Parallel()
	command, x := judging(t, 50), excluded(t)
	command.Excluded = &x
	first := judged(t, command)
	require.Len(t, first, 1)
	no := first[0].(domain.CompanyDisqualified)
	require.Equal(t, []any{&x, 0, command.Delivery.Profile.Version}, []any{no.Excluded, no.Score, no.Profile})
	require.Empty(t, no.Verdicts, "no rule was asked")
	require.Equal(t, command.Candidate.Attributes, no.Attributes)
	require.Empty(t, judged(t, command, first...), "sent again unchanged it adds nothing")

	again := command
	again.Candidate.Prospects = nil
	require.IsType(t, domain.CompanyDisqualified{}, judged(t, again, first...)[0], "changed, it is recorded anew")
	other := x
	other.Exclusion, again.Candidate = "exc_other", command.Candidate
	again.Excluded = &other
	require.IsType(t, domain.CompanyDisqualified{}, judged(t, again, first...)[0], "as when something else excludes it")

	free := judging(t, 50)
	second := judged(t, free, first...)
	require.IsType(t, domain.CompanyQualified{}, second[0], "unchanged it qualifies once nothing excludes it")
	require.Empty(t, judged(t, command, append(first, second...)...), "what was handed over stays")

	byRules := judged(t, judging(t, 51))
	strict := judging(t, 51)
	strict.Excluded = &x
	require.IsType(t, domain.CompanyDisqualified{}, judged(t, strict, byRules...)[0], "that it is excluded is news also of what did not qualify")
}

func TestExcludedCompanyIsNotHandedOverThoughItQualifies(t *testing.T) {
	t.Parallel()
	command, qualified := qualify()
	x := excluded(t)
	command.Excluded = &x
	events, err := command.Decide(domain.HandOver{}, Now())
	require.NoError(t, err)
	require.Len(t, events, 1)
	no := events[0].(domain.CompanyDisqualified)
	require.Equal(t, []any{&x, qualified.Score, qualified.MatchReasons, qualified.Company}, []any{no.Excluded, no.Score, no.MatchReasons, no.Company})
	When(t, events, command).Then()

	free := command
	free.Excluded = nil
	When(t, events, free).Then(qualified)
	When(t, append(events, qualified), command).Then()
}
