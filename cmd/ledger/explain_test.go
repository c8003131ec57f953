package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestACompanyIsExplainedALineForEachEvent(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	args := func(company string) []string {
		return []string{"explain", company, "--server", p.base, "--api-key", c.key}
	}
	c.must(t, http.StatusOK, http.MethodPost, "/api/v1/exclusions", `{"kind":"company","value":"comp_1","reason":"A customer already"}`)
	qualified := `{"company":{"id":"comp_1","name":"a"},"qualification_score":7}`
	out, _, err := verb(t, "", ingestArgs(p.base, c.key, delivery, file(t, qualified))...)
	require.NoError(t, err)
	require.Equal(t, "1 disqualified, 0 accepted, 0 duplicates, 0 rejected\n", out)
	require.Eventually(t, func() bool { // once the read model has the delivery
		out, _, err = verb(t, "", args("comp_1")...)
		return err == nil && strings.Count(out, "\n") == 2
	}, patience, 50*time.Millisecond)
	const at = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \d+ `
	require.Regexp(t, `^`+at+`exclusion\.added The exclusion exc_\w+ was added, of the company comp_1: A customer already\.\n`+
		at+`company\.disqualified Received under `+delivery+` and disqualified, since the company comp_1 is excluded: A customer already\.\n$`, out)

	_, errs, err := ledger(t, args("comp_none")...)
	require.Equal(t, 1, exitCode(t, err))
	require.Contains(t, errs, "nothing is known of a company comp_none")
	_, _, err = verb(t, "", "explain", "comp_1", "--server", "nowhere", "--api-key", "x")
	require.ErrorContains(t, err, "--server must be an address")
}
