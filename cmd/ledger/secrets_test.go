package main

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// newParrot starts a destination that repeats whatever it is sent, and refuses it. At /token it
// gives access tokens.
func newParrot(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/token" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"access_token":"acc3ss-t0ken","token_type":"Bearer"}`))
			return
		}
		w.Header().Set("X-Heard", req.Header.Get("Authorization")+" "+req.Header.Get("X-Api-Key"))
		w.WriteHeader(http.StatusForbidden)
		_ = req.Header.Write(w)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// everyRow returns all rows of all tables of a database, as text.
func everyRow(t *testing.T, database string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, _ := conn.Query(t.Context(), `SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'`) // CollectRows reports the error
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Greater(t, len(tables), 10)
	var all strings.Builder
	for _, table := range tables {
		rows, _ := conn.Query(t.Context(), `SELECT t::text FROM `+table+` t`) // CollectRows reports the error
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		all.WriteString(strings.Join(lines, "\n"))
	}
	return all.String()
}

func TestSecretsAreFoundNowhereButAtTheReceiver(t *testing.T) {
	t.Parallel()
	database, encryption, parrot := testdb.URL(t), encryptionKey(), newParrot(t)
	apiKey := newKey(t, database)
	p := serve(t, database, encryption, "--log-level", "debug")
	c := p.at(apiKey)
	delivery := c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"CRM"}`)["id"].(string)
	destinations := "/api/v1/deliveries/" + delivery + "/destinations"

	const own, later = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	secrets := []string{
		"b3arer-t0ken", "pa55-w0rd", "b3BlbnByb3NwZWN0OnBhNTUtdzByZA==", "h3ader-value", "cl13nt-s3cret", "acc3ss-t0ken", own, later, apiKey, encryption,
	}
	answers := &strings.Builder{}
	call := func(method, path, body string) {
		_, _, answer, err := c.do(t.Context(), method, path, "application/json", body)
		require.NoError(t, err)
		answers.Write(answer)
	}
	for _, auth := range []string{
		`"auth_type":"bearer","auth_token":"b3arer-t0ken","signing_secret":"` + own + `"`,
		`"auth_type":"basic","username":"openprospect","password":"pa55-w0rd"`,
		`"auth_type":"header","header_name":"X-Api-Key","header_value":"h3ader-value"`,
		`"auth_type":"oauth2","token_url":"` + parrot + `/token","client_id":"openprospect","client_secret":"cl13nt-s3cret"`,
	} {
		made := c.must(t, http.StatusCreated, http.MethodPost, destinations, `{"type":"webhook","url":"`+parrot+`",`+auth+`}`)
		one := destinations + "/" + made["id"].(string)
		if secret, ok := made["signing_secret"].(string); ok { // shown this once
			secrets = append(secrets, secret)
			secrets = append(secrets, c.must(t, http.StatusOK, http.MethodPost, one+"/rotate-secret", "")["signing_secret"].(string))
		} else {
			call(http.MethodPost, one+"/rotate-secret", `{"signing_secret":"`+later+`"}`)
		}
		call(http.MethodPost, one+"/test", "")
		call(http.MethodPut, one, `{"name":"`+strings.Repeat("x", 201)+`",`+auth+`}`) // is refused
		call(http.MethodPut, one, `{`+auth+`}`)
		call(http.MethodGet, one, "")
	}
	c.qualify(t, delivery, "comp_1")
	c.awaitCount(t, delivery, "retrying", 4)
	for _, path := range []string{"", "/destinations", "/companies", "/events"} {
		call(http.MethodGet, "/api/v1/deliveries/"+delivery+path, "")
	}
	require.Contains(t, answers.String(), "the destination answered 403 Forbidden")
	require.Contains(t, answers.String(), `"X-Heard":"****`)

	rows := everyRow(t, database)
	require.Contains(t, rows, "destination.tested")
	for _, secret := range secrets {
		for where, text := range map[string]string{"the database": rows, "the log": p.printed(), "the answers": answers.String()} {
			require.NotContains(t, text, secret, where)
			require.NotContains(t, text, hex.EncodeToString([]byte(secret)), where)
		}
	}
}
