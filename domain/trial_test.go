package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

func TestRecordTest(t *testing.T) {
	t.Parallel()
	tested := domain.DestinationTested{Test: "tst_1", Delivery: dcf, Destination: hook.ID, StartedAt: Now(), Status: 200}
	When(t, Given(), domain.RecordTest(tested)).Then(tested)
	When(t, Given(tested), domain.RecordTest(tested)).Then()
}

func TestWhichDestinationsCanBeTested(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given []domain.Event
		id    domain.DestinationID
		code  string // none: it can
	}{
		"active":   {Given(created, added), hook.ID, ""},
		"paused":   {Given(created, paused, added), hook.ID, ""},
		"disabled": {Given(created, added, disabled), hook.ID, ""},
		"removed":  {Given(created, added, removed), hook.ID, "DESTINATION_NOT_FOUND"},
		"deleted":  {Given(created, added, deleted), hook.ID, "DELIVERY_NOT_FOUND"},
		"pulled":   {Given(created, fed), feed.ID, "CONFLICT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := Fold[domain.Delivery](t, c.given)
			dst, err := state.Tested(acme, dcf, c.id)
			if c.code == "" {
				require.NoError(t, err)
				require.Equal(t, state.Destinations[c.id], dst)
				_, err = state.Tested(rival, dcf, c.id)
				c.code = "DELIVERY_NOT_FOUND"
			}
			var refusal *domain.Error
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, c.code, refusal.Code)
		})
	}
}
