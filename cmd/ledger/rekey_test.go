package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestEncryptionKeyIsChangedWhileTheLedgerServes(t *testing.T) {
	t.Parallel()
	database, former, current := testdb.URL(t), encryptionKey(), encryptionKey()
	both := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(both, []byte(current+"\n"+former+"\n"), 0o600))
	key := newKey(t, database)
	p := serve(t, database, former+","+current)
	c := p.at(key)
	r := newReceiver(t, ok)
	delivery := c.delivery(t, r.url)
	c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries/"+delivery+"/destinations",
		`{"type":"webhook","url":"`+r.url+`","auth_type":"bearer","auth_token":"t0ken"}`)

	made := c.repeatable(t)
	c.qualify(t, delivery, "comp_1")
	c.awaitCount(t, delivery, "delivered", 2)

	check := func(want ...string) {
		out, _, err := verb(t, "", "rekey", "--check", "--database-url", database, "--encryption-key-file", both)
		require.NoError(t, err)
		for _, line := range want {
			require.Contains(t, strings.Join(strings.Fields(out), " "), line)
		}
	}
	first, err := vault.ParseKey(current)
	require.NoError(t, err)
	second, err := vault.ParseKey(former)
	require.NoError(t, err)
	check("KEY SECRETS SUBJECT KEYS REQUESTS GIVEN", first.ID()+" 0 0 0 yes, seals", second.ID()+" 5 1 1 yes")
	out, _, err := verb(t, "", "rekey", "--database-url", database, "--encryption-key-file", both)
	require.NoError(t, err)
	require.Equal(t, "Sealed anew: 5 secrets, 1 key, 1 request. All are under key "+first.ID()+".\n", out)
	check(first.ID()+" 5 1 1 yes, seals", second.ID()+" 0 0 0 yes")

	require.NoError(t, p.stop(t))
	c = serve(t, database, current).at(key)
	c.qualify(t, delivery, "comp_2")
	c.awaitCount(t, delivery, "delivered", 4)
	out, _, err = verb(t, "", "rekey", "--check", "--database-url", database, "--encryption-key", encryptionKey())
	require.NoError(t, err)
	require.Contains(t, strings.Join(strings.Fields(out), " "), first.ID()+" 5 1 1 no")
	require.Equal(t, made, c.repeatable(t), "the answer of before is there, and needs no former key")
}

// repeatable creates a delivery under an Idempotency-Key, always the same, and returns the answer.
func (c client) repeatable(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.base()+"/api/v1/deliveries", strings.NewReader(`{"name":"CRM"}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "once")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, resp.StatusCode, "%s", answer)
	return string(answer)
}
