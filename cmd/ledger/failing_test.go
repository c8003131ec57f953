package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestDestinationIsDisabledWhenFlagsSay(t *testing.T) {
	t.Parallel()
	database, key := testdb.URL(t), encryptionKey()
	c := start(t, "serve", "--database-url", database, "--encryption-key", key, "--listen", "127.0.0.1:0", "--allow-destination", "127.0.0.1/32", "--log-format", "json",
		"--retry-schedule", "10ms", "--disable-after-dispatches", "2", "--disable-after-time", "1ms").at(newKey(t, database))
	r := newReceiver(t, func(int) int { return http.StatusInternalServerError })
	delivery := c.delivery(t, r.url)
	c.qualify(t, delivery, "comp_1")
	c.qualify(t, delivery, "comp_2")
	c.awaitCount(t, delivery, "failed", 2)
	list := "/api/v1/deliveries/" + delivery + "/destinations"
	require.Eventually(t, func() bool {
		d := c.must(t, http.StatusOK, http.MethodGet, list, "")["items"].([]any)[0].(map[string]any)
		reason, _ := d["disabled_reason"].(string)
		return d["status"] == "disabled" && strings.HasPrefix(reason, "2 dispatches in a row failed for good, over ")
	}, patience, 50*time.Millisecond)
	c.qualify(t, delivery, "comp_3")
	c.awaitCount(t, delivery, "held", 1)

	for _, flag := range []string{"--disable-after-dispatches=-1", "--disable-after-time=0s"} {
		require.ErrorContains(t, run(t.Context(), []string{"serve", "--database-url", database, "--encryption-key", key, flag}, world{}), "--disable-after")
	}
}
