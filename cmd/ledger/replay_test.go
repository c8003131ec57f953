package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// jobOf returns the ID of the first job of a table.
func jobOf(t *testing.T, table string) string {
	t.Helper()
	lines := strings.Split(table, "\n")
	require.Greater(t, len(lines), 1)
	return strings.Fields(lines[1])[0]
}

func TestJobsAreStartedFollowedListedShownAndCancelledFromATerminal(t *testing.T) {
	t.Parallel()
	p, c, delivery := setupIngest(t)
	r := newReceiver(t, ok)
	_, _, err := verb(t, "", ingestArgs(p.base, c.key, delivery, file(t, companies(3)))...)
	require.NoError(t, err)
	dst := c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries/"+delivery+"/destinations", `{"type":"webhook","url":"`+r.url+`"}`)["id"].(string)
	do := func(args ...string) (string, string, error) {
		return verb(t, "", append(append([]string{"replay"}, args...), "--delivery", delivery, "--server", p.base, "--api-key", c.key)...)
	}
	out, _, err := do("backfill", "--destination", dst, "--dry-run")
	require.NoError(t, err)
	require.Equal(t, "3\n", out)
	require.Empty(t, r.got())

	out, errs, err := do("backfill", "--destination", dst, "--since", "2020-01-31T12:00:00Z", "--follow")
	require.NoError(t, err)
	const at = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`
	require.Regexp(t, `^ID +KIND +STATUS +DISPATCHES +OF +STARTED +ENDED\nrpl_\w+ +backfill +ended +3 +3 +`+at+` +`+at+`\n$`, out)
	require.Contains(t, errs, "backfill "+jobOf(t, out)+" was started.\nbackfill: ")
	require.Len(t, r.await(t, 3), 3)

	first := company(0)
	require.Eventually(t, func() bool {
		out, _, err = do("start", "--company", first, "--status", "delivered", "--dry-run")
		return err == nil && out == "1\n"
	}, patience, 50*time.Millisecond)
	out, _, err = do("start", "--company", first, "--destination", dst, "--follow")
	require.NoError(t, err)
	require.Regexp(t, `\nrpl_\w+ +replay +ended +1 +1 +`, out)
	require.Len(t, r.await(t, 4), 4)

	replay := jobOf(t, out)
	shown, _, err := do("show", replay)
	require.NoError(t, err)
	require.Equal(t, out, shown)
	list, _, err := do("list")
	require.NoError(t, err)
	require.Equal(t, replay, jobOf(t, list), "the newest comes first")
	require.Equal(t, 3, strings.Count(list, "\n"))
	_, _, err = do("cancel", replay)
	require.ErrorContains(t, err, "cancel replay "+replay)
	require.ErrorContains(t, err, "has ended")
	_, _, err = do("show", "rpl_none")
	require.ErrorContains(t, err, "there is no replay rpl_none")
	_, _, err = do("start", "--company", "comp_none")
	require.ErrorContains(t, err, "company_id")
	_, _, err = verb(t, "", "replay", "list", "--delivery", delivery, "--server", "nowhere", "--api-key", "x")
	require.ErrorContains(t, err, "--server must be an address")
}
