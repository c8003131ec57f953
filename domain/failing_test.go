package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

// givenUp is what comes of 5 dispatches that failed, over that time.
func givenUp(failing time.Duration, said string) domain.DestinationDisabled {
	return domain.DestinationDisabled{
		Delivery: dcf, Destination: hook.ID, Exhausted: 5, FailingSince: new(Now().Add(-failing)),
		Reason: "5 dispatches in a row failed for good, over " + said,
	}
}

func TestGiveUpDestination(t *testing.T) {
	t.Parallel()
	giveUp := func(failing time.Duration) domain.GiveUpDestination {
		return domain.GiveUpDestination{
			Delivery: dcf, Destination: hook.ID, Revision: 2, Exhausted: 5, FailingSince: Now().Add(-failing), Tolerance: domain.DefaultTolerance,
		}
	}
	When(t, Given(created, added), giveUp(26*time.Hour+40*time.Minute)).Then(givenUp(26*time.Hour+40*time.Minute, "26 h"))
	When(t, Given(created, added), giveUp(24*time.Hour)).Then(givenUp(24*time.Hour, "24 h"))
	When(t, Given(created, added), giveUp(24*time.Hour-time.Microsecond)).Then()
	fewer, any, quick := giveUp(100*time.Hour), giveUp(100*time.Hour), giveUp(119*time.Second)
	fewer.Exhausted = 4
	When(t, Given(created, added), fewer).Then()
	any.Tolerance.Dispatches = 0
	When(t, Given(created, added), any).Then()
	quick.Tolerance.Time = time.Second
	When(t, Given(created, added), quick).Then(givenUp(119*time.Second, "119 s"))
	quick.FailingSince = Now().Add(-2 * time.Minute)
	When(t, Given(created, added), quick).Then(givenUp(2*time.Minute, "2 min"))

	enabled := domain.DestinationEnabled{Delivery: dcf, Destination: hook.ID}
	changed := domain.DestinationChanged{Delivery: dcf, Destination: hook}
	for name, given := range map[string][]domain.Event{
		"disabled":          Given(created, added, disabled),
		"enabled meanwhile": Given(created, added, disabled, enabled),
		"changed meanwhile": Given(created, added, changed),
		"removed":           Given(created, added, domain.DestinationRemoved{Delivery: dcf, Destination: hook.ID}),
		"deleted":           Given(created, added, domain.DeliveryDeleted{Delivery: dcf}),
		"never there":       Given(created),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			When(t, given, giveUp(26*time.Hour)).Then()
		})
	}
	When(t, Given(created, added, domain.DeliveryPaused{Delivery: dcf}), giveUp(26*time.Hour)).Then(givenUp(26*time.Hour, "26 h"))
	require.NotEmpty(t, Fold[domain.Delivery](t, Given(created, added, givenUp(26*time.Hour, "26 h"))).Destinations[hook.ID].DisabledReason)
}

func TestRecoverDestination(t *testing.T) {
	t.Parallel()
	gone := givenUp(26*time.Hour, "26 h")
	enabled := domain.DestinationEnabled{Delivery: dcf, Destination: hook.ID}
	recovered := domain.RecoverDestination{Delivery: dcf, Destination: hook.ID, Revision: 3}
	When(t, Given(created, added, gone), recovered).Then(enabled)
	When(t, Given(created, added, gone, enabled), recovered).Then()
	When(t, Given(created, added, gone, enabled, disabled), recovered).Then()
	When(t, Given(created, added, gone, domain.DeliveryDeleted{Delivery: dcf}), recovered).Then()
	When(t, Given(created), recovered).Then()
}
