package rest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

const organisations = "/api/v1/admin/organisations"

func TestKeyLivesFromItsCreationToItsRevocation(t *testing.T) {
	t.Parallel()
	admin, f := setup(t)
	created := admin.call(t, http.StatusCreated, "POST", organisations, `{"name":"Globex"}`)
	org := created.header.Get("Location")
	require.Equal(t, organisations+"/"+created.field(t, "id"), org)
	require.JSONEq(t, string(created.body), string(admin.call(t, http.StatusOK, "GET", org, "").body))

	a := admin.call(t, http.StatusCreated, "POST", org+"/keys", `{"name":"CRM","scopes":["deliveries:read"],"tier":"free","expires_at":"2099-01-01T00:00:00+01:00"}`)
	key, path := client{url: f.url, key: a.field(t, "key")}, a.header.Get("Location")
	require.Regexp(t, "^lnc_live_", key.key)
	require.Equal(t, "2098-12-31T23:00:00Z", a.field(t, "expires_at"))
	require.Equal(t, created.field(t, "id"), a.field(t, "organisation_id"))
	require.Empty(t, key.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "").items(t))
	require.EqualValues(t, 100, limitsOf(t, key.call(t, http.StatusOK, "GET", whoami, "")).limit)
	listed := admin.call(t, http.StatusOK, "GET", org+"/keys", "")
	require.NotContains(t, string(listed.body), key.key, "it is shown once")
	require.Equal(t, "active", listed.items(t)[0]["status"])

	changed := admin.call(t, http.StatusOK, "PUT", path, `{"name":"New CRM","tier":"enterprise","limit_per_hour":7,"never_expires":true}`)
	require.Equal(t, "New CRM", changed.field(t, "name"))
	require.NotContains(t, changed.json(t), "expires_at")
	require.JSONEq(t, string(changed.body), string(admin.call(t, http.StatusOK, "GET", path, "").body))
	require.EqualValues(t, 7, limitsOf(t, key.call(t, http.StatusOK, "GET", whoami, "")).limit)
	changed = admin.call(t, http.StatusOK, "PUT", path, `{}`)
	require.EqualValues(t, 7, changed.json(t)["limit_per_hour"], "what is absent stays")
	changed = admin.call(t, http.StatusOK, "PUT", path, `{"tier":"enterprise"}`)
	require.NotContains(t, changed.json(t), "limit_per_hour")

	changed = admin.call(t, http.StatusOK, "PUT", path, `{"expires_at":"2020-01-01T00:00:00Z"}`)
	require.Equal(t, "expired", changed.field(t, "status"))
	key.call(t, http.StatusUnauthorized, "GET", whoami, "")
	admin.call(t, http.StatusOK, "PUT", path, `{"never_expires":true}`)
	key.call(t, http.StatusOK, "GET", whoami, "")

	admin.call(t, http.StatusNoContent, "DELETE", path, "")
	key.call(t, http.StatusUnauthorized, "GET", whoami, "")
	require.Equal(t, "ENTITY_NOT_FOUND", admin.call(t, http.StatusNotFound, "DELETE", path, "").field(t, "code"))
	admin.call(t, http.StatusNotFound, "PUT", path, `{"never_expires":true}`)
	require.Equal(t, "revoked", admin.call(t, http.StatusOK, "GET", path, "").field(t, "status"))
}

func TestForHowLongPersonalDataIsKeptIsSet(t *testing.T) {
	t.Parallel()
	admin, _ := setup(t)
	org := admin.call(t, http.StatusCreated, "POST", organisations, `{"name":"Globex"}`).header.Get("Location")
	other := admin.call(t, http.StatusCreated, "POST", organisations, `{"name":"Globex"}`).header.Get("Location")
	set := admin.call(t, http.StatusOK, "PUT", org+"/retention", `{"days":30}`)
	require.EqualValues(t, 30, set.json(t)["retention_days"])
	shown := admin.call(t, http.StatusOK, "GET", org, "")
	require.JSONEq(t, string(set.body), string(shown.body))
	require.Equal(t, set.header.Get("ETag"), shown.header.Get("ETag"))
	require.NotContains(t, admin.call(t, http.StatusOK, "GET", other, "").json(t), "retention_days", "another of the same name")
	for _, body := range []string{`{"days":0}`, `{"days":36501}`, `{"days":null}`, `{}`} {
		require.Equal(t, []string{"days"}, admin.call(t, http.StatusUnprocessableEntity, "PUT", org+"/retention", body).faults(t), body)
	}
	for range 2 {
		admin.call(t, http.StatusNoContent, "DELETE", org+"/retention", "")
		require.NotContains(t, admin.call(t, http.StatusOK, "GET", org, "").json(t), "retention_days")
	}
	admin.call(t, http.StatusNotFound, "PUT", organisations+"/Globex/retention", `{"days":30}`)
	admin.call(t, http.StatusNotFound, "DELETE", organisations+"/org_none/retention", "")
}

func TestRevokedAndExpiredKeysEndInEveryProcess(t *testing.T) {
	t.Parallel()
	admin, f := setup(t)
	other := f.serve(t, func(cfg *rest.Config) { cfg.Keys = apikey.New(f.pool) }).URL
	for _, end := range []func(path string){
		func(path string) { admin.call(t, http.StatusNoContent, "DELETE", path, "") },
		func(path string) { admin.call(t, http.StatusOK, "PUT", path, `{"expires_at":"2020-01-01T00:00:00Z"}`) },
	} {
		a := admin.call(t, http.StatusCreated, "POST", organisations+"/"+string(f.org)+"/keys", `{"name":"CRM","scopes":[]}`)
		key := client{url: other, key: a.field(t, "key")}
		key.call(t, http.StatusOK, "GET", whoami, "")
		end(a.header.Get("Location"))
		require.Eventually(t, func() bool {
			status, err := key.ask(t, whoami)
			return err == nil && status == http.StatusUnauthorized
		}, 15*time.Second, tick, "a second, on a busy machine")
	}
}

func TestKeysAndOrganisationsAreListedByPages(t *testing.T) {
	t.Parallel()
	admin, f := setup(t)
	keys := organisations + "/" + string(f.org) + "/keys"
	for range 3 {
		admin.call(t, http.StatusCreated, "POST", keys, `{"name":"CRM","scopes":[]}`)
		admin.call(t, http.StatusCreated, "POST", organisations, `{"name":"Globex"}`)
	}
	for _, path := range []string{keys, organisations} { // of 4 each, with what setup makes
		seen := map[any]bool{}
		for _, part := range []string{"?limit=3", "?limit=3&offset=3"} {
			a := admin.call(t, http.StatusOK, "GET", path+part, "")
			for _, item := range a.items(t) {
				seen[item["id"]] = true
			}
			require.EqualValues(t, 4, a.json(t)["total"])
			more := part == "?limit=3"
			require.Equal(t, more, a.json(t)["has_more"])
			require.Equal(t, more, a.header.Get("Link") != "")
		}
		require.Len(t, seen, 4, path)
		admin.call(t, http.StatusUnprocessableEntity, "GET", path+"?limit=101", "")
	}
}

func TestWhatNoKeyCanBe(t *testing.T) {
	t.Parallel()
	admin, f := setup(t)
	keys := organisations + "/" + string(f.org) + "/keys"
	key := admin.call(t, http.StatusCreated, "POST", keys, `{"name":"CRM","scopes":[]}`).header.Get("Location")
	for _, c := range []struct {
		method, path, body string
		faults             []string
	}{
		{"POST", organisations, `{"name":" "}`, []string{"name"}},
		{"POST", organisations, `{"name":"a\u0000"}`, []string{"name"}},
		{"POST", keys, `{"scopes":["everything"],"tier":"gold"}`, []string{"name", "scopes.0", "tier"}},
		{"POST", keys, `{"name":"\n","scopes":[],"tier":"pro","limit_per_hour":5,"expires_at":"0000-01-01T00:00:00+14:00"}`, []string{"name", "expires_at", "limit_per_hour"}},
		{"POST", keys, `{"name":"CRM","scopes":[],"limit_per_hour":0,"text":"lnc_live_mine"}`, []string{"text", "limit_per_hour"}},
		{"PUT", key, `{"limit_per_hour":5}`, []string{"limit_per_hour"}},
		{"PUT", key, `{"expires_at":"2099-01-01T00:00:00Z","never_expires":true,"scopes":["admin"]}`, []string{"scopes", "never_expires"}},
	} {
		a := admin.call(t, http.StatusUnprocessableEntity, c.method, c.path, c.body)
		require.ElementsMatch(t, c.faults, a.faults(t), c.body)
	}
	admin.call(t, http.StatusNotFound, "POST", organisations+"/Acme/keys", `{"name":"CRM","scopes":[]}`) // names are no IDs here
	admin.call(t, http.StatusNotFound, "GET", organisations+"/org_absent/keys", "")
}

func TestOnlyAdminsGiveKeys(t *testing.T) {
	t.Parallel()
	_, f := setup(t)
	c := f.customer(t)
	keys := organisations + "/" + string(f.org) + "/keys"
	c.call(t, http.StatusForbidden, "POST", keys, `{"name":"mine","scopes":["admin"]}`)
	before, err := f.keys.List(t.Context(), f.org)
	require.NoError(t, err)
	require.Len(t, before, 1)
}
