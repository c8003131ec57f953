package webhooks_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

func TestRequestHeadersAreRecordedWithoutSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	bearer, header := destination(r.URL), destination(r.URL)
	bearer.AuthType, bearer.AuthSecret = domain.AuthBearer, b.secret(t, "hidden-token")
	bearer.Headers = map[string]string{"X-Team": "sales", "X-Copy": "Bearer hidden-token"}
	header.AuthType, header.HeaderName, header.AuthSecret = domain.AuthHeader, "X-Api-Key", b.secret(t, "hidden-key")
	d := b.delivery(t, bearer, header)
	b.work(t)
	handOver := b.qualify(t, d, "comp_1")[0]

	sent := func(id domain.DestinationID) map[string]string {
		event := b.events(t, domain.DispatchIDFor(handOver, id), 1)[0]
		return event.(domain.AttemptSucceeded).RequestHeaders
	}
	got := sent(bearer.ID)
	require.Equal(t, "[redacted]", got["Authorization"])
	require.Equal(t, "[redacted]", got["X-Copy"], "wherever a secret stands")
	require.Equal(t, "sales", got["X-Team"])
	require.Equal(t, "1", got["Ledger-Attempt"])
	require.Equal(t, string(domain.DispatchIDFor(handOver, bearer.ID)), got[http.CanonicalHeaderKey("webhook-id")])
	require.Equal(t, "[redacted]", sent(header.ID)["X-Api-Key"])
}
