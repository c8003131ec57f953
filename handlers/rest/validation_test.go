package rest_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest"
)

// encode returns v as JSON.
func encode(tb testing.TB, v any) string {
	tb.Helper()
	b, err := json.Marshal(v)
	require.NoError(tb, err)
	return string(b)
}

func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	c, _ := setup(t, func(cfg *rest.Config) {
		cfg.CheckURL = func(rawURL string) error {
			if strings.Contains(rawURL, "10.0.0.1") {
				return errors.New("leads to a private network")
			}
			return nil
		}
	})
	delivery := c.createDelivery(t, sampleDelivery)
	destination := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries/"+delivery+"/destinations", sampleDestination).field(t, "id")
	deliveries, one := "/api/v1/deliveries", "/api/v1/deliveries/"+delivery
	destinations := one + "/destinations"

	for name, tc := range map[string]struct {
		method, path, body string
		faults             []string
	}{
		"nothing": {"POST", deliveries, `{}`, []string{"name"}},
		"everything of a delivery": {
			"POST", deliveries, `{"name":"","status":"on","schedule":"cron","timezone":"Mars/Olympus","prospect_search_id":"a b","rate_limit":1,"Name":"x"}`,
			[]string{"name", "status", "schedule", "timezone", "prospect_search_id", "rate_limit", "Name"},
		},
		"the schema's and the domain's":  {"POST", deliveries, `{"name":"a\u0000b","status":"on"}`, []string{"name", "status"}},
		"wrong types":                    {"POST", deliveries, `{"name":1,"status":null}`, []string{"name", "status"}},
		"no object":                      {"POST", deliveries, `[]`, []string{"body"}},
		"case does not make it the same": {"POST", deliveries, `{"name":"a","NAME":"b"}`, []string{"NAME"}},
		"change of a delivery":           {"PUT", one, `{"status":"on","schedule":"cron","x":1}`, []string{"status", "schedule", "x"}},
		"day that never comes":           {"POST", deliveries, `{"name":"a","schedule":"0 0 30 2 *","timezone":"Local"}`, []string{"schedule", "timezone"}},
		"change to it":                   {"PUT", one, `{"schedule":"0 0 30 2 *","timezone":""}`, []string{"schedule", "timezone"}},
		"change the domain refuses":      {"PUT", one, `{"name":"a\u0007","prospect_search_id":"a b"}`, []string{"name", "prospect_search_id"}},
		"everything of a destination": {
			"POST", destinations, `{"type":"webhook","auth_type":"bearer","timeout_seconds":61,"max_in_flight":0,"retry_schedule":[0],
				"signing_secret":"whsec_short","headers":{"Host":"x","X-Good":"y"},"rate_limit_per_second":0}`,
			[]string{"url", "auth_token", "timeout_seconds", "max_in_flight", "retry_schedule.0", "signing_secret", "headers.Host", "rate_limit_per_second"},
		},
		"unknown auth":        {"POST", destinations, `{"type":"webhook","url":"https://a.com","auth_type":"digest","auth_token":"x"}`, []string{"auth_type"}},
		"token without auth":  {"POST", destinations, `{"type":"webhook","url":"https://a.com","auth_token":"x"}`, []string{"auth_token"}},
		"pull with a push":    {"POST", destinations, `{"type":"api","url":"https://a.com","signing_secret":"whsec_x"}`, []string{"url", "signing_secret"}},
		"pull in order":       {"POST", destinations, `{"type":"api","ordered":true}`, []string{"ordered"}},
		"pull of notices":     {"POST", destinations, `{"type":"api","events":["dispatch.failed"]}`, []string{"events"}},
		"no events":           {"POST", destinations, `{"type":"webhook","url":"https://a.com","events":[]}`, []string{"events"}},
		"unknown events":      {"POST", destinations, `{"type":"webhook","url":"https://a.com","events":["dispatch.failed","x"]}`, []string{"events.1"}},
		"events twice":        {"PUT", destinations + "/" + destination, `{"events":["dispatch.failed","dispatch.failed"]}`, []string{"events"}},
		"private address":     {"POST", destinations, `{"type":"webhook","url":"http://10.0.0.1/"}`, []string{"url"}},
		"to private address":  {"PUT", destinations + "/" + destination, `{"url":"http://10.0.0.1/"}`, []string{"url"}},
		"another type":        {"PUT", destinations + "/" + destination, `{"type":"api"}`, []string{"type"}},
		"change with secrets": {"PUT", destinations + "/" + destination, `{"auth_type":"none","auth_token":"x","signing_secret":"y"}`, []string{"auth_token", "signing_secret"}},
		"limits":              {"GET", deliveries + "?limit=0&offset=-1&status=on", "", []string{"limit", "offset", "status"}},
		"limit too high":      {"GET", deliveries + "?limit=101", "", []string{"limit"}},
		"limit is no number":  {"GET", deliveries + "?limit=abc", "", []string{"limit"}},
		"limit twice":         {"GET", deliveries + "?limit=1&limit=2", "", []string{"limit"}},
		"searches":            {"GET", "/api/v1/prospect-searches?limit=101&offset=x", "", []string{"limit", "offset"}},
		"destinations":        {"GET", destinations + "?limit=1.5", "", []string{"limit"}},
		"feed":                {"GET", one + "/companies?limit=101&offset=-1&delivered_since=yesterday", "", []string{"limit", "offset", "delivered_since"}},
		"cursor with others":  {"GET", one + "/companies?cursor=x&offset=1&delivered_since=2025-01-15T00:00:00Z", "", []string{"offset", "delivered_since"}},
		"cursor of nothing":   {"GET", one + "/companies?cursor=x", "", []string{"cursor"}},
		"qualification":       {"POST", one + "/qualifications", `{"Company":{},"prospects":{},"qualification_score":101,"match_reasons":[1]}`, []string{"Company", "company", "prospects", "qualification_score", "match_reasons"}},
		"score is no number":  {"POST", one + "/qualifications", `{"company":{"id":"a","name":"b"},"qualification_score":"85"}`, []string{"qualification_score"}},
		"company twice":       {"POST", one + "/qualifications", `{"company":{"id":"a","name":"b"},"company":{"id":"c","name":"d"},"qualification_score":1}`, []string{"company"}},
		"a number":            {"POST", one + "/qualifications", `5`, []string{"body"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := c.call(t, http.StatusUnprocessableEntity, tc.method, tc.path, tc.body)
			require.Equal(t, "VALIDATION_ERROR", a.field(t, "code"))
			require.ElementsMatch(t, tc.faults, a.faults(t), "%s", a.body)
		})
	}
}

func TestFaultsSayWhatWasProvided(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	a := c.call(t, http.StatusUnprocessableEntity, "POST", "/api/v1/deliveries", `{"name":"x","status":"on"}`)
	require.JSONEq(t, `[{"field":"status","error":"must be one of active, paused","provided":"on"}]`,
		encode(t, a.json(t)["details"].(map[string]any)["validation_errors"]))
	a = c.call(t, http.StatusUnprocessableEntity, "GET", "/api/v1/deliveries?limit=500", "")
	require.JSONEq(t, `[{"field":"limit","error":"must be from 1 to 100","provided":500}]`,
		encode(t, a.json(t)["details"].(map[string]any)["validation_errors"]))
}

func TestBodiesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	delivery := c.createDelivery(t, sampleDelivery)
	for _, path := range []string{"/api/v1/deliveries", "/api/v1/deliveries/" + delivery + "/qualifications"} {
		for _, body := range []string{`{`, `{"name":"a"} x`, "{\"name\":\"\xff\"}", `nonsense`, ` `} {
			a := c.call(t, http.StatusBadRequest, "POST", path, body)
			require.Equal(t, "INVALID_JSON", a.field(t, "code"))
		}
		c.call(t, http.StatusBadRequest, "POST", path, "", "Content-Type", "application/json")
		a := c.call(t, http.StatusUnsupportedMediaType, "POST", path, `name=a`, "Content-Type", "application/x-www-form-urlencoded")
		require.Equal(t, "UNSUPPORTED_MEDIA_TYPE", a.field(t, "code"))
		c.call(t, http.StatusUnsupportedMediaType, "POST", path, "", "Content-Type", "")
		c.call(t, http.StatusUnsupportedMediaType, "POST", path, `{}`, "Content-Encoding", "br")
		a = c.call(t, http.StatusRequestEntityTooLarge, "POST", path, `{"name":"`+strings.Repeat("x", 10<<20)+`"}`)
		require.Equal(t, "PAYLOAD_TOO_LARGE", a.field(t, "code"))
	}
	c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", sampleDelivery, "Content-Type", "Application/JSON; charset=utf-8")
}

func TestSecretsAreNeverSaid(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	const token, header, signing = "tok-3f9c", "hdr-77ab", "whsec_c2lnLTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2"
	destinations := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/destinations"
	with := func(more string) string {
		return `{"type":"webhook","url":"https://user:` + token + `@a.com","auth_type":"bearer","auth_token":"` + token + `","signing_secret":"` + signing + `"` + more + `}`
	}
	var said []answer
	say := func(status int, method, path, body string) {
		said = append(said, c.call(t, status, method, path, body))
	}
	const refused = http.StatusUnprocessableEntity
	say(refused, "POST", destinations, with(`,"timeout_seconds":0`))
	say(refused, "POST", destinations, with(`,"password":"`+token+`"`))
	say(refused, "POST", destinations, with(`,"headers":{"X-Key":"`+header+`\n"}`))
	say(refused, "POST", destinations, with(`,"headers":["`+header+`"]`))
	say(refused, "POST", destinations, `{"type":"webhook","auth_token":["`+token+`"],"signing_secret":"`+token+`"}`)
	say(refused, "POST", destinations, `{"type":"webhook","url":"https://a.com","auth_type":"bearer","auth_token":"`+token+`\u0000"}`)
	say(refused, "POST", destinations, `{"type":"webhook","auth_token":73519462,"headers":{"X-Key":73519462},"url":73519462,"token":73519462}`)
	ok := strings.ReplaceAll(with(""), "user:"+token+"@", "")
	say(http.StatusCreated, "POST", destinations, ok)
	id := said[len(said)-1].field(t, "id")
	say(http.StatusOK, "PUT", destinations+"/"+id, `{"auth_token":"`+token+`2","signing_secret":"`+signing+`"}`)
	say(http.StatusOK, "GET", destinations+"/"+id, "")
	say(http.StatusOK, "GET", destinations, "")
	say(http.StatusBadRequest, "POST", destinations, ok[:len(ok)-1])

	for _, a := range said {
		for _, secret := range []string{token, header, signing, "73519462"} {
			require.NotContains(t, string(a.body), secret)
		}
	}
	for _, secret := range []string{token, signing, c.key} {
		require.NotContains(t, f.log.String(), secret)
	}
	var inLog int
	require.NoError(t, f.pool.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE data::text LIKE '%tok-3f9c%' OR data::text LIKE '%whsec_%'`).Scan(&inLog))
	require.Zero(t, inLog, "events name secrets and hold none")
	var kept []string
	for _, secret := range f.vault.secrets {
		kept = append(kept, secret)
	}
	require.ElementsMatch(t, []string{token, signing, token + "2", signing}, kept, "nothing was kept of what was refused")
}
