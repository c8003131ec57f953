package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

func TestEveryEventHasWords(t *testing.T) {
	t.Parallel()
	said := map[string]string{}
	for _, zero := range domain.Events() {
		event := golden(t, zero)
		text := domain.Words(event)
		require.NotEmpty(t, text, "%s: let domain.Words say what happened", zero.EventType())
		require.Regexp(t, `^[A-Za-z].*\.$`, text, zero.EventType())
		require.NotContains(t, text, "\n")
		require.NotContains(t, text, "%!", "of %s", zero.EventType())
		require.NotContains(t, text, "sec_", "no secret is named")
		require.Empty(t, said[text], "%s and %s say the same", said[text], zero.EventType())
		said[text] = zero.EventType()
		require.NotEmpty(t, domain.Words(zero), "also where nothing more is known")
	}
}

func TestWordsStandOnALineOfATerminal(t *testing.T) {
	t.Parallel()
	require.Equal(t, "dsp_1 to dst_1 was cancelled: it [31m is gone.",
		domain.Words(domain.DispatchCancelled{Dispatch: "dsp_1", Destination: "dst_1", Reason: "it\x1b[31m\r\nis  gone"}))
}

func TestWordsSayWhy(t *testing.T) {
	t.Parallel()
	words := func(path string, zero domain.Event) string {
		stored := decodeFile(t, domain.Versions(zero)[0], "testdata/events/"+path)
		for former, ok := stored.(domain.Former); ok; former, ok = stored.(domain.Former) {
			stored = former.Upcast()
		}
		return domain.Words(stored.(domain.Event))
	}
	require.Equal(t, "Received as a candidate under dcf_1 and disqualified by version 2 of its rules with a score of 40 "+
		"(hubspot: met; revenue: not met, as it could not be evaluated, no such key: revenue).", words("company.disqualified.v1.json", domain.CompanyDisqualified{}))
	require.Equal(t, "Received under dcf_1 and disqualified, since the domain acme.com is excluded: A customer already.",
		words("company.disqualified.v1.2.json", domain.CompanyDisqualified{}))
	require.Regexp(t, `^Judged again by the requalification rql_\S+, once received as a candidate under dcf_\S+ and judged by version 2 of its rules `,
		words("company.qualified.v1.3.json", domain.CompanyQualified{}))
	require.Regexp(t, `^Attempt \d of dsp_\S+ to dst_\S+ failed after \S+: .+\. The next one is due at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.$`,
		words("attempt.failed.v1.json", domain.AttemptFailed{}))
}
