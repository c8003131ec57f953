package domain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

var (
	erasureStarted    = domain.ErasureStarted{Erasure: "ers_1", Organisation: acme, Subject: domain.ErasureSubject{Email: "erasure/ers_1"}}
	erasureIdentified = domain.ErasureIdentified{Erasure: "ers_1", Organisation: acme, Prospects: []string{"p1"}}
	erasureApplied    = domain.ErasureApplied{
		Erasure: "ers_1", Organisation: acme, Delivery: dcf, UpTo: 9,
		Erased: []domain.Erased{
			{Position: 3, Number: 1, HandOver: "del_1", Company: "c1", Prospects: []string{"p1", "p2"}},
			{Position: 5, Company: "c1", Prospects: []string{"p1"}, InClear: true},
			{Position: 7, Company: "c2", Prospects: []string{"p1"}},
		},
	}
	erasureEnded = domain.ErasureEnded{Erasure: "ers_1", Organisation: acme, Counts: domain.ErasureCounts{Prospects: 3, Companies: 2, Events: 3, InClear: 1}}
)

func TestErasureGoesItsWayOnce(t *testing.T) {
	t.Parallel()
	begin := domain.StartErasure{ID: "ers_1", Organisation: acme, Subject: erasureStarted.Subject}
	identify := domain.IdentifyErasure{ID: "ers_1", Prospects: []string{"p1"}}
	apply := domain.ApplyErasure{ID: "ers_1", Found: []domain.ErasureApplied{erasureApplied}}
	end := domain.EndErasure{ID: "ers_1", Counts: domain.CountErased(erasureApplied.Erased)}
	all := Given(erasureStarted, erasureIdentified, erasureApplied, erasureEnded)
	for i, step := range []domain.Event{erasureStarted, erasureIdentified, erasureApplied, erasureEnded} {
		cmd := []Command[domain.Erasure]{begin, identify, apply, end}[i]
		When(t, all[:i], cmd).Then(step)
		When(t, all[:i+1], cmd).Then()
		When(t, all, cmd).Then()
	}
	require.Equal(t, domain.Erasure{
		ID: "ers_1", Organisation: acme, Status: domain.ErasureDone, Subject: erasureStarted.Subject, Identified: true, Prospects: []string{"p1"},
		Applied: true, Counts: erasureEnded.Counts,
	}, Fold[domain.Erasure](t, all))
	When(t, Given(erasureStarted), domain.ApplyErasure{ID: "ers_1"}).Then()
	When(t, Given(), identify).Then()
	When(t, Given(), end).Then()
}

func TestErasureIsOfExactlyOne(t *testing.T) {
	t.Parallel()
	id, company, email, bad := "p1", domain.CompanyID("c1"), "jane@acme.com", "white space"
	require.NoError(t, domain.CheckErasure(&id, nil, nil))
	require.NoError(t, domain.CheckErasure(nil, &email, nil))
	require.NoError(t, domain.CheckErasure(nil, nil, &company))
	Faults(t, domain.CheckErasure(nil, nil, nil), "body")
	Faults(t, domain.CheckErasure(&id, &email, nil), "body")
	Faults(t, domain.CheckErasure(&bad, &bad, (*domain.CompanyID)(&bad)), "prospect_id", "email", "company_id", "body")
	for _, wrong := range []string{"", "jane", "@", "jane@", "@acme.com", strings.Repeat("x", 320) + "@acme.com"} {
		Faults(t, domain.CheckErasure(nil, &wrong, nil), "email")
	}
}

func TestRetentionIsNotedWhereItErases(t *testing.T) {
	t.Parallel()
	applied := domain.RetentionApplied{Organisation: acme, Days: 30, UpTo: 9, Feeds: []domain.RetainedFeed{{Delivery: dcf, Until: 4}}}
	cmd := domain.ApplyRetention{Applied: applied}
	When(t, Given(), cmd).Then(applied)
	When(t, Given(applied), cmd).Then()
	keys := domain.ApplyRetention{Applied: applied}
	keys.Applied.Keys = []int64{1}
	When(t, Given(applied), keys).Then(keys.Applied)
	require.Equal(t, map[domain.DeliveryID]int64{dcf: 4}, Fold[domain.Retention](t, Given(applied)).Until)
}
