package webhooks_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

func TestReceiverThatFailsTwiceGetsThreeEqualRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, func(w http.ResponseWriter, nth int) {
		if nth < 3 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	d := b.delivery(t, destination(r.URL))
	b.work(t)
	b.qualify(t, d, "comp_xyz789")

	got := r.await(t, 3)
	id := got[0].header.Get("Webhook-Id")
	done := b.dispatch(t, id, domain.Delivered)
	require.Len(t, r.all(), 3)
	require.Equal(t, 3, done.Attempts)
	for i, g := range got {
		require.Equal(t, id, g.header.Get("Webhook-Id"))
		require.Equal(t, got[0].body, g.body)
		if i > 0 {
			require.GreaterOrEqual(t, g.at.Sub(got[i-1].at), b.cfg.Retries[i-1])
		}
	}
}
