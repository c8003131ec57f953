package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
	"github.com/openprospect/delivery-ledger/domain/rules"
)

var (
	requalificationStarted   = domain.RequalificationStarted{Requalification: "rql_1", Delivery: dcf, Profile: 2, UpTo: 90, Count: 7}
	requalificationEnded     = domain.RequalificationEnded{Requalification: "rql_1", Delivery: dcf}
	requalificationStopped   = domain.RequalificationEnded{Requalification: "rql_1", Delivery: dcf, Obstacle: domain.RulesChanged}
	requalificationCancelled = domain.RequalificationCancelled{Requalification: "rql_1", Delivery: dcf}
)

// requalificationAdvanced is what coming to a disqualification records.
func requalificationAdvanced(number int64) domain.RequalificationAdvanced {
	return domain.RequalificationAdvanced{Requalification: "rql_1", Delivery: dcf, Progress: domain.RequalificationProgress{Number: number, Seen: number, Qualified: 2}}
}

func TestStartRequalification(t *testing.T) {
	t.Parallel()
	delivery := Fold[domain.Delivery](t, Given(created, domain.RulesSet{Delivery: dcf, Rules: []rules.Rule{named("Acme Corp")}, Threshold: 50}))
	start := domain.StartRequalification{ID: "rql_1", Delivery: delivery, UpTo: 90, Count: 7}
	When(t, Given(), start).Then(requalificationStarted)
	When(t, Given(requalificationStarted), start).Then()
	When(t, Given(requalificationStarted, requalificationEnded), start).Then()

	filtered, started := start, requalificationStarted
	filtered.Filter = domain.RequalificationFilter{Since: new(Now().Add(-time.Hour)), Until: new(Now())}
	started.Filter = filtered.Filter
	When(t, Given(), filtered).Then(started)
	filtered.Filter.Since = new(Now())
	When(t, Given(), filtered).Faults("until")

	start.Delivery = Fold[domain.Delivery](t, Given(created))
	When(t, Given(), start).Refused(domain.Conflict, "CONFLICT")
}

func TestRequalificationAdvancesOnlyForward(t *testing.T) {
	t.Parallel()
	to := func(number int64) domain.AdvanceRequalification {
		return domain.AdvanceRequalification{ID: "rql_1", Progress: requalificationAdvanced(number).Progress}
	}
	at := requalificationAdvanced(10)
	When(t, Given(requalificationStarted), to(10)).Then(at)
	When(t, Given(requalificationStarted, at), to(11)).Then(requalificationAdvanced(11))
	When(t, Given(requalificationStarted, at), to(10)).Then()
	When(t, Given(requalificationStarted, at), to(9)).Then()
	When(t, Given(), to(10)).Then()
	cancelled := Given(requalificationStarted, requalificationCancelled, at)
	When(t, cancelled[:2], to(10)).Then(at)
	require.Equal(t, domain.RequalificationCalledOff, Fold[domain.Requalification](t, cancelled).Status)
	require.Equal(t, at.Progress, Fold[domain.Requalification](t, Given(requalificationStarted, at)).Progress)
}

func TestRequalificationEndsOnce(t *testing.T) {
	t.Parallel()
	end, cancel := domain.EndRequalification{ID: "rql_1"}, domain.CancelRequalification{ID: "rql_1", Delivery: dcf}
	stop := domain.EndRequalification{ID: "rql_1", Obstacle: domain.RulesChanged}
	When(t, Given(requalificationStarted), end).Then(requalificationEnded)
	When(t, Given(requalificationStarted), stop).Then(requalificationStopped)
	When(t, Given(requalificationStarted), cancel).Then(requalificationCancelled)
	When(t, Given(requalificationStarted, requalificationCancelled), cancel).Then()
	for status, last := range map[domain.RequalificationStatus]domain.Event{
		domain.RequalificationDone: requalificationEnded, domain.RequalificationStopped: requalificationStopped, domain.RequalificationCalledOff: requalificationCancelled,
	} {
		given := Given(requalificationStarted, last)
		require.Equal(t, status, Fold[domain.Requalification](t, given).Status)
		When(t, given, end).Then()
		if last != requalificationCancelled {
			When(t, given, cancel).Refused(domain.Conflict, "CONFLICT")
		}
	}
	When(t, Given(), cancel).Refused(domain.NotFound, "ENTITY_NOT_FOUND")
	cancel.Delivery = "dcf_2"
	When(t, Given(requalificationStarted), cancel).Refused(domain.NotFound, "ENTITY_NOT_FOUND")
}

func TestRequalificationGoesByTheRulesThatItBeganWith(t *testing.T) {
	t.Parallel()
	set := domain.RulesSet{Delivery: dcf, Rules: []rules.Rule{named("Acme Corp")}, Threshold: 50}
	job := Fold[domain.Requalification](t, Given(requalificationStarted))
	for obstacle, given := range map[domain.Obstacle][]domain.Event{
		"":                    Given(created, set, domain.DeliveryPaused{Delivery: dcf}, domain.DestinationAdded{Delivery: dcf}),
		domain.RulesChanged:   Given(created, set, set),
		domain.DeliveryIsGone: Given(created, set, set, domain.DeliveryDeleted{Delivery: dcf}),
	} {
		require.Equal(t, obstacle, job.Obstacle(Fold[domain.Delivery](t, given)))
	}
}
