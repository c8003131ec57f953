package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// createKey creates a key by the program's verb, and returns its text and its ID.
func createKey(tb testing.TB, database string, args ...string) (text, id string) {
	tb.Helper()
	out, errs, err := verb(tb, "", append([]string{"keys", "create", "--organisation", "Acme", "--database-url", database}, args...)...)
	require.NoError(tb, err)
	fields := strings.Fields(errs)
	require.Greater(tb, len(fields), 2, errs)
	require.Equal(tb, "Key", fields[0])
	return strings.TrimSpace(out), fields[1]
}

// listKeys returns what keys list prints of the keys of Acme, by ID.
func listKeys(tb testing.TB, database string) map[string]string {
	tb.Helper()
	out, _, err := verb(tb, "", "keys", "list", "--organisation", "Acme", "--database-url", database)
	require.NoError(tb, err)
	lines := map[string]string{}
	for line := range strings.Lines(out) {
		id, _, _ := strings.Cut(line, " ")
		lines[id] = line
	}
	return lines
}

// status returns the answer to a reading request.
func (c client) status(ctx context.Context, path string) int {
	status, _, _, err := c.do(ctx, http.MethodGet, path, "", "")
	if err != nil {
		return 0
	}
	return status
}

// aboutASecond is that on a busy machine; [apikey] holds itself to the second, by a clock of its test's own.
const aboutASecond = 15 * time.Second

func TestRevokedKeyIsRefusedWithinAboutASecond(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	p := serve(t, database, encryptionKey())
	text, id := createKey(t, database)
	_, other := createKey(t, database, "--name", "another")
	c := p.at(text)
	require.Equal(t, http.StatusOK, c.status(t.Context(), "/api/v1/deliveries"))

	out, _, err := verb(t, "", "keys", "revoke", id, "--database-url", database)
	require.NoError(t, err)
	require.Equal(t, "Revoked "+id+"\n", out)
	require.Eventually(t, func() bool { return c.status(t.Context(), "/api/v1/deliveries") == http.StatusUnauthorized },
		aboutASecond, pollEvery)

	keys := listKeys(t, database)
	require.Contains(t, keys[id], " revoked ")
	require.Contains(t, keys[other], " active ")
	require.Contains(t, keys[other], " another ")
	require.NotContains(t, keys[id], text, "a key is shown once")
	_, _, err = verb(t, "", "keys", "revoke", id, "--database-url", database)
	require.EqualError(t, err, "there is no active key "+id)
}

func TestExpiredKeyIsRefused(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	p := serve(t, database, encryptionKey())
	short, expired := createKey(t, database, "--expires-in", "1ms")
	long, active := createKey(t, database, "--expires-in", "720h", "--test")
	require.Regexp(t, "^lnc_live_", short)
	require.Regexp(t, "^lnc_test_", long)
	require.Equal(t, http.StatusUnauthorized, p.at(short).status(t.Context(), "/api/v1/deliveries"))
	require.Equal(t, http.StatusOK, p.at(long).status(t.Context(), "/api/v1/deliveries"))
	keys := listKeys(t, database)
	require.Contains(t, keys[expired], " expired ")
	require.Contains(t, keys[active], " active ")

	_, _, err := verb(t, "", "keys", "create", "--organisation", "Acme", "--expires-in=-1h", "--database-url", database)
	require.ErrorContains(t, err, "--expires-in must not be negative")
}

func TestKeyExpiresWhenTold(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	p := serve(t, database, encryptionKey())
	text, id := createKey(t, database)
	c := p.at(text)
	require.Equal(t, http.StatusOK, c.status(t.Context(), "/api/v1/deliveries"))
	expire := func(flags ...string) (string, error) {
		out, _, err := verb(t, "", append([]string{"keys", "expire", "--database-url", database}, flags...)...)
		return out, err
	}
	_, err := expire(id)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.status(t.Context(), "/api/v1/deliveries") == http.StatusUnauthorized },
		aboutASecond, pollEvery)
	require.Contains(t, listKeys(t, database)[id], " expired ")

	out, err := expire(id, "--never")
	require.NoError(t, err)
	require.Equal(t, id+" expires: never\n", out)
	require.Eventually(t, func() bool { return c.status(t.Context(), "/api/v1/deliveries") == http.StatusOK },
		aboutASecond, pollEvery)
	out, err = expire(id, "--in", "720h")
	require.NoError(t, err)
	require.Regexp(t, `^key_\w+ expires: 20\d\d-.*Z\n$`, out)
	_, err = expire(id, "--in", "1h", "--never")
	require.ErrorContains(t, err, "does not go with --never")
	_, err = expire("key_absent")
	require.EqualError(t, err, "there is no key key_absent that is not revoked")
}

func TestOrganisationsAreCreatedAndListed(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	made, _, err := verb(t, "", "organisations", "create", "Initech", "--database-url", database)
	require.NoError(t, err)
	require.Regexp(t, `^org_\w+\n$`, made)
	createKey(t, database, "--organisation", strings.TrimSpace(made))
	out, _, err := verb(t, "", "organisations", "list", "--database-url", database)
	require.NoError(t, err)
	require.Regexp(t, strings.TrimSpace(made)+` +20\d\d-\S+Z +for ever +Initech\n`, out)
	require.Len(t, strings.Split(strings.TrimSpace(out), "\n"), 2, "a heading, and no other was made for the key")
}

func TestKeyMayDoWhatItsScopesSay(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	p := serve(t, database, encryptionKey())
	customer, _ := createKey(t, database)
	engine, _ := createKey(t, database, "--scopes", "qualifications:write,candidates:write")
	all, _ := createKey(t, database, "--scopes", "all")

	delivery := p.at(customer).must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"CRM"}`)["id"].(string)
	qualify := "/api/v1/deliveries/" + delivery + "/qualifications"
	refused := p.at(customer).must(t, http.StatusForbidden, http.MethodPost, qualify, qualification("comp_1"))
	require.Equal(t, "AUTHORIZATION_ERROR", refused["code"])
	require.Equal(t, []any{"qualifications:write"}, refused["details"].(map[string]any)["required_scopes"])
	require.Equal(t, http.StatusForbidden, p.at(engine).status(t.Context(), "/api/v1/deliveries"))
	p.at(engine).must(t, http.StatusOK, http.MethodPost, qualify, qualification("comp_1"))
	info := p.at(all).must(t, http.StatusOK, http.MethodGet, "/api/v1/auth/validate", "")
	require.Len(t, info["scopes"], len(apikey.Scopes()))
	require.Equal(t, http.StatusOK, p.at(customer).status(t.Context(), "/api/v1/deliveries/"+delivery+"/companies"))
}

func TestKeyHasTheRequestsOfItsTier(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	p := serve(t, database, encryptionKey())
	limited, own := createKey(t, database, "--limit-per-hour", "2")
	_, pro := createKey(t, database, "--tier", "pro")
	_, plain := createKey(t, database)
	for _, want := range []int{http.StatusOK, http.StatusOK, http.StatusTooManyRequests} {
		require.Equal(t, want, p.at(limited).status(t.Context(), "/api/v1/deliveries"))
	}
	keys := listKeys(t, database)
	require.Regexp(t, ` enterprise +2 `, keys[own])
	require.Regexp(t, ` pro +1000 `, keys[pro])
	require.Regexp(t, ` enterprise +any `, keys[plain])
	for fault, flags := range map[string][]string{
		"--limit-per-hour must not be negative":           {"--limit-per-hour=-1"},
		"--limit-per-hour goes with --tier enterprise":    {"--limit-per-hour", "5", "--tier", "free"},
		`--tier must be one of "free","pro","enterprise"`: {"--tier", "gold"},
	} {
		_, _, err := verb(t, "", append([]string{"keys", "create", "--organisation", "Acme", "--database-url", database}, flags...)...)
		require.ErrorContains(t, err, fault)
	}
}

func TestUnknownScopeIsRefusedBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	_, _, err := verb(t, "", "keys", "create", "--organisation", "Acme", "--scopes", "deliveries:reed", "--database-url", database)
	require.ErrorContains(t, err, `--scopes: there is no scope "deliveries:reed"; there are deliveries:read,`)
	_, _, err = verb(t, "", "keys", "list", "--organisation", "Acme", "--database-url", database)
	require.EqualError(t, err, `there is no organisation "Acme"`)
}
