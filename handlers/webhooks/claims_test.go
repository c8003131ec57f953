package webhooks_test

import (
	"testing"

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
