package webhooks_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

func TestOneClaimTakesTheWholeShareOfAProvenDestination(t *testing.T) {
	t.Parallel()
	const workers, share = 512, 10
	b := setup(t)
	projectionstest.FollowOpened(t, b.pool, b.store, b.subjects) // nobody attempts anything
	want := map[domain.DestinationID]int{}
	set := func(claimed int, adjust func(*domain.Destination)) domain.Destination {
		d := destination("http://127.0.0.1:1")
		adjust(&d)
		want[d.ID] = claimed
		return d
	}
	d := b.delivery(t,
		set(share, func(*domain.Destination) {}),
		set(share, func(d *domain.Destination) { d.MaxInFlight = 20 }),
		set(3, func(d *domain.Destination) { d.MaxInFlight = 3 }),
		set(5, func(d *domain.Destination) { d.RateLimit = 20 }), // a fourth of what a second allows
		set(share, func(d *domain.Destination) { d.RateLimit = 1000 }),
		set(1, func(d *domain.Destination) { d.RateLimit = 0.5 }), // but one at least
		set(3, func(d *domain.Destination) { d.MaxInFlight, d.RateLimit = 3, 20 }),
		set(1, func(d *domain.Destination) { d.Ordered = true }),
	)
	b.prove(t, d) // so that none of them starts slowly
	b.qualify(t, d, names(30)...)
	b.settle(t)

	claimed, err := webhooks.Claim(t.Context(), b.pool, workers, share)
	require.NoError(t, err)
	require.Equal(t, want, claimed)
}

func TestADestinationThatFailsAndNeverSucceededIsAttemptedOnceAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	projectionstest.FollowOpened(t, b.pool, b.store, b.subjects) // nobody attempts anything
	unknown, failing, recovered, failingNow := destination("http://127.0.0.1:1"), destination("http://127.0.0.1:1"),
		destination("http://127.0.0.1:1"), destination("http://127.0.0.1:1")
	d := b.delivery(t, unknown, failing, recovered, failingNow)
	success := domain.RecordAttempt{Attempt: domain.Attempt{Status: http.StatusOK}}
	failure := domain.RecordAttempt{Attempt: domain.Attempt{Status: http.StatusTeapot}, Error: "it answered 418", Retries: domain.RetrySchedule{time.Hour}}
	b.answer(t, d, failing.ID, 2, failure)
	b.answer(t, d, recovered.ID, 2, failure)
	b.answer(t, d, recovered.ID, 1, success)
	b.answer(t, d, failingNow.ID, 3, success)
	b.answer(t, d, failingNow.ID, 1, failure)
	b.qualify(t, d, names(30)...)
	b.settle(t)

	claimed, err := webhooks.Claim(t.Context(), b.pool, 512, 10)
	require.NoError(t, err)
	require.Equal(t, map[domain.DestinationID]int{unknown.ID: 2, failing.ID: 1, recovered.ID: 3, failingNow.ID: 5}, claimed)
}
