package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

func TestCauseOfAFailureFollowsFromWhatIsRecordedOfIt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		said   string
		want   domain.Cause
	}{
		{503, "the destination answered 503 Service Unavailable", "status_503"},
		{404, "it failed", "status_404"},
		{0, "the destination answered 410 Gone", "status_410"},
		{0, "the destination answered 599", "status_599"},
		{0, "the destination answered 308 Permanent Redirect: redirects are not followed", "status_308"},
		{200, "reading the answer: no complete answer within 15s", domain.CauseTimeout},
		{200, "reading the answer: the connection was reset before the answer was complete", domain.CauseClosed},
		{0, "the name a.example could not be resolved: there is no such host", domain.CauseDNS},
		{0, "the token endpoint gave no token: the connection was refused", domain.CauseToken},
		{0, "the certificate expired on 2026-03-04 at 09:30 UTC", domain.CauseTLS},
		{0, "the headers of the answer are larger than 64 KiB", domain.CauseOther},
		{0, "the destination answered nonsense", domain.CauseOther},
		{0, "", domain.CauseOther},
	} {
		require.Equal(t, test.want, domain.CauseOf(test.status, test.said), "%d %s", test.status, test.said)
	}
}
