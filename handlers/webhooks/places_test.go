package webhooks_test

import (
	"net/http"
	"testing"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestRetriesAreFoundHoweverManyDestinationsAreOwedSomethingElse(t *testing.T) {
	t.Parallel()
	const held, failing = 300, 20 // a worker looks at some of them at a time
	b := setup(t)
	r := newReceiver(t, func(w http.ResponseWriter, nth int) {
		if nth == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	several := func(n int) domain.Delivery {
		all := make([]domain.Destination, n)
		for i := range all {
			all[i] = destination(r.URL)
		}
		return b.delivery(t, all...)
	}
	paused, d := several(held), several(failing)
	b.set(t, paused, domain.Paused)
	b.qualify(t, paused, "comp_1")
	b.qualify(t, d, "comp_1")
	b.work(t)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: failing})
	b.awaitCounts(t, paused, projections.Counts{domain.Held: held})
}
