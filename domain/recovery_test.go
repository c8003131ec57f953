package domain_test

import (
	"testing"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

func TestRecordRecovery(t *testing.T) {
	t.Parallel()
	recovered := func(failing time.Duration) domain.DestinationRecovered {
		return domain.DestinationRecovered{Delivery: dcf, Destination: "dst_1", FailingSince: Now().Add(-failing)}
	}
	record := func(failing time.Duration) domain.RecordRecovery { return domain.RecordRecovery(recovered(failing)) }
	When(t, Given(), record(time.Hour)).Then(recovered(time.Hour))
	When(t, Given(recovered(time.Hour)), record(time.Hour)).Then()
	When(t, Given(recovered(time.Hour)), record(time.Hour+time.Microsecond)).Then()
	When(t, Given(recovered(time.Hour)), record(time.Hour-time.Microsecond)).Then(recovered(time.Hour - time.Microsecond))
}
