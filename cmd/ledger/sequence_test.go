package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// A receiver that lost what it was sent sees a gap in Ledger-Sequence, asks for what lies in it, and has the
// very bytes.
func TestReceiverFetchesWhatItMissesBySequence(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	c := serve(t, database, encryptionKey()).at(newKey(t, database))
	r := newReceiver(t, ok)
	delivery := c.delivery(t, r.url)
	for n, company := range []string{"comp_1", "comp_2", "comp_3"} {
		c.qualify(t, delivery, company)
		r.await(t, n+1)
	}
	first, lost, third := r.got()[0], r.got()[1], r.got()[2]
	require.Equal(t, "1", first.header.Get("Ledger-Sequence"))
	require.Equal(t, "3", third.header.Get("Ledger-Sequence"))

	path := "/api/v1/deliveries/" + delivery
	destination := c.must(t, http.StatusOK, http.MethodGet, path, "")["destinations"].([]any)[0].(map[string]any)["id"].(string)
	missed := c.must(t, http.StatusOK, http.MethodGet, path+"/dispatches?destination="+destination+"&sequence_after=1&sequence_until=2", "")
	require.EqualValues(t, 1, missed["total"])
	dispatch := missed["items"].([]any)[0].(map[string]any)
	require.Equal(t, lost.header.Get("Webhook-Id"), dispatch["id"])
	shown := c.must(t, http.StatusOK, http.MethodGet, "/api/v1/dispatches/"+dispatch["id"].(string), "")
	require.EqualValues(t, 2, shown["sequence"])
	require.Equal(t, lost.body, shown["payload"])
}
