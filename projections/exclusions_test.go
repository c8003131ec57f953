package projections_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// exclude excludes a value for an organisation.
func (b *bundle) exclude(t *testing.T, owner domain.OrganisationID, kind domain.ExclusionKind, value string) domain.Excluded {
	t.Helper()
	excluded, err := domain.NewExcluded(owner, kind, value, "why not")
	require.NoError(t, err)
	execute(t, b, domain.AddExclusion{Organisation: owner, Excluded: excluded})
	return excluded
}

func TestExclusionsAreListedNewestFirstWithTheirNumber(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	list := func(owner domain.OrganisationID, kind domain.ExclusionKind, page projections.Page) projections.List[projections.Exclusion] {
		found, err := b.views.Exclusions(t.Context(), owner, kind, page)
		require.NoError(t, err)
		return found
	}
	empty := list(org, "", projections.Page{Limit: 2})
	require.Zero(t, empty.Total)
	first := b.exclude(t, org, domain.ByDomain, "a.example")
	b.exclude(t, other, domain.ByDomain, "a.example")
	b.exclude(t, org, domain.ByCompany, "comp_1")
	b.exclude(t, org, domain.ByDomain, "b.example")
	execute(t, b, domain.RemoveExclusion{Organisation: org, ID: first.Exclusion})
	b.exclude(t, org, domain.ByDomain, "a.example") // now the newest
	gone := b.exclude(t, org, domain.ByDomain, "c.example")
	execute(t, b, domain.RemoveExclusion{Organisation: org, ID: gone.Exclusion})
	b.follow(t)

	page := list(org, "", projections.Page{Limit: 2})
	require.Equal(t, []any{int64(3), true}, []any{page.Total, page.More})
	require.Equal(t, []string{"a.example", "b.example"}, []string{page.Items[0].Value, page.Items[1].Value})
	require.Equal(t, first, page.Items[0].Excluded)
	require.EqualValues(t, 3, page.Items[0].Version)
	rest := list(org, "", projections.Page{Limit: 2, After: page.Items[1].Key()})
	require.Equal(t, []any{"comp_1", 1, false}, []any{rest.Items[0].Value, len(rest.Items), rest.More})
	require.Equal(t, rest, list(org, "", projections.Page{Limit: 2, Offset: 2}))

	domains := list(org, domain.ByDomain, projections.Page{Limit: 1})
	require.Equal(t, []any{int64(2), true, "a.example"}, []any{domains.Total, domains.More, domains.Items[0].Value})
	require.EqualValues(t, 1, list(other, "", projections.Page{Limit: 2}).Total)
	_, err := b.views.Exclusion(t.Context(), org, gone.Exclusion)
	require.Equal(t, domain.NotFound, domain.KindOf(err))
	_, err = b.views.Exclusion(t.Context(), other, first.Exclusion)
	require.Equal(t, domain.NotFound, domain.KindOf(err), "it is another's")
	shown, err := b.views.Exclusion(t.Context(), org, first.Exclusion)
	require.NoError(t, err)
	require.Equal(t, page.Items[0], shown)
}
