package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheSigningKeyIsChangedWhileTheLedgerServes(t *testing.T) {
	t.Parallel()
	p := newProven(t)
	former := p.key
	storage := []string{"--encryption-key", p.encryption, "--database-url", p.database}
	before, _ := p.checkpoint(t, "before.txt")
	handover := filepath.Join(p.dir, "handover.txt")
	require.NoError(t, os.WriteFile(handover, []byte(p.verb(t, append([]string{"checkpoint", "--rotate-key"}, storage...)...)), 0o600))

	out := p.verb(t, "verify-proof", "--key", former, before, handover)
	_, current, _ := strings.Cut(strings.TrimSpace(out), "it hands over to the key ")
	shown := p.verb(t, append([]string{"checkpoint", "--show-key"}, storage...)...)
	require.Regexp(t, `^\S+ since \S+Z\n\S+ since \S+Z until \S+Z\n$`, shown)
	require.True(t, strings.HasPrefix(shown, current+" since "), shown)
	require.Contains(t, shown, "\n"+former+" since ")
	require.Contains(t, p.verb(t, "verify-proof", "--key", current, handover), "it hands over to the key "+current)

	p.qualify(t, p.delivery, "comp_2") // by the process that serves since before
	after := p.save(t, "after.json", "proof?position=3")
	require.Equal(t, current, p.must(t, http.StatusOK, http.MethodGet, "/api/v1/audit/checkpoint", "")["key"])
	keys := p.must(t, http.StatusOK, http.MethodGet, "/api/v1/audit/keys", "")["items"].([]any)
	require.Len(t, keys, 2)
	require.Equal(t, current, keys[0].(map[string]any)["key"])
	require.Equal(t, former, keys[1].(map[string]any)["key"])
	note, err := os.ReadFile(handover)
	require.NoError(t, err)
	require.Equal(t, string(note), keys[0].(map[string]any)["checkpoint"])
	_, _, err = verb(t, "", "verify-proof", "--key", former, after)
	require.ErrorContains(t, err, "it is signed by none of the keys")
	require.Contains(t, p.verb(t, "verify-proof", "--key", shown, before, handover, after), "after.json: event 3, ")

	verify := []string{"verify", "--database-url", p.database, "--checkpoint", before}
	require.Contains(t, p.verb(t, append(verify, "--key", shown)...), "The log is sound: ")
	_, _, err = verb(t, "", append(verify, "--key", former)...)
	require.ErrorContains(t, err, "is forged, or a key of the ledger's was not given")
	other := encryptionKey()
	require.Contains(t, p.verb(t, "rekey", "--encryption-key", other+","+p.encryption, "--database-url", p.database), "Sealed anew: 2 secrets")
	require.Equal(t, shown, p.verb(t, "checkpoint", "--show-key", "--encryption-key", other, "--database-url", p.database))
	_, _, err = verb(t, "", append([]string{"checkpoint", "--show-key", "--rotate-key"}, storage...)...)
	require.ErrorContains(t, err, "can't be used together")
}
