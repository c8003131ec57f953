package main

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestReceiverThatFailsTwiceGetsThreeLikeRequestsOnSchedule(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	key := newKey(t, database)
	waits := []time.Duration{400 * time.Millisecond, 900 * time.Millisecond}
	c := serve(t, database, encryptionKey(), "--retry-schedule", "400ms,900ms,10ms,10ms,10ms").at(key)
	r := newReceiver(t, func(n int) int {
		if n <= 2 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	delivery := c.delivery(t, r.url)
	c.qualify(t, delivery, "comp_1")
	c.awaitCount(t, delivery, "delivered", 1)

	got := r.got()
	require.Len(t, got, 3)
	for i, w := range got {
		require.Equal(t, got[0].header.Get("Webhook-Id"), w.header.Get("Webhook-Id"))
		require.Equal(t, got[0].body, w.body, "the bodies are the same to the byte")
		require.Equal(t, strconv.Itoa(i+1), w.header.Get("Ledger-Attempt"))
		if i > 0 {
			require.WithinRange(t, w.at, got[i-1].at.Add(waits[i-1]), got[i-1].at.Add(waits[i-1]+20*time.Second), "attempt %d", i+1)
		}
	}
}

func TestReceiverThatAlwaysFailsGetsSixRequestsAndThenNone(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	key := newKey(t, database)
	p := startWith(t, []string{"LEDGER_RETRY_SCHEDULE=50ms,50ms,50ms,50ms,50ms"},
		"serve", "--database-url", database, "--encryption-key", encryptionKey(),
		"--listen", "127.0.0.1:0", "--allow-private-destinations", "--log-format", "json")
	c := p.at(key)
	bad := newReceiver(t, func(int) int { return http.StatusInternalServerError })
	delivery := c.delivery(t, bad.url)
	c.qualify(t, delivery, "comp_1")
	c.awaitCount(t, delivery, "failed", 1)

	got := bad.got()
	require.Len(t, got, 6)
	require.Equal(t, "6", got[5].header.Get("Ledger-Attempt"))
	require.Equal(t, map[string]int{"pending": 0, "retrying": 0, "held": 0, "delivered": 0, "failed": 1, "cancelled": 0},
		c.counts(t, delivery))

	good := newReceiver(t, ok) // whatever was still owed would have come before this one's
	other := c.delivery(t, good.url)
	c.qualify(t, other, "comp_1")
	c.awaitCount(t, other, "delivered", 1)
	require.Len(t, bad.got(), 6)
	c.awaitCaughtUp(t)
	page := c.must(t, http.StatusOK, http.MethodGet, "/api/v1/deliveries/"+delivery+"/companies", "")
	require.Equal(t, "failed", page["items"].([]any)[0].(map[string]any)["status"])
}
