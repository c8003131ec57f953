package main

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// listedMetrics returns the names of our metrics in the README's table, sorted.
func listedMetrics(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(readme), "\n### Metrics\n")
	require.True(t, found)
	var names []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "## ") {
			break
		}
		if cells := strings.Split(line, "|"); len(cells) > 1 {
			names = append(names, regexp.MustCompile("ledger_[a-z_]+").FindAllString(cells[1], -1)...)
		}
	}
	slices.Sort(names)
	return names
}

// scrape returns what /metrics tells, once it tells of as many attempts: each is counted after it was recorded.
func (c client) scrape(t *testing.T, attempts int) (text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		status, _, body, err := c.do(t.Context(), http.MethodGet, "/metrics", "", "")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		text = string(body)
		return int(metric(t, text, "ledger_attempts_total")) == attempts && metric(t, text, "ledger_workers_busy") == 0
	}, patience, pollEvery)
	return text
}

func TestMetricsAreThoseThatTheReadmeLists(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	c := serve(t, database, encryptionKey(), "--retry-schedule", "50ms,1h").at(newKey(t, database))
	r := newReceiver(t, func(n int) int {
		if n == 1 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	delivery := c.delivery(t, r.url)
	c.qualify(t, delivery, "comp_1")
	c.awaitCount(t, delivery, "delivered", 1)

	text := c.scrape(t, 2)
	var told []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); fields[1] == "TYPE" && strings.HasPrefix(fields[2], "ledger_") {
			told = append(told, fields[2])
		}
	}
	slices.Sort(told)
	require.Equal(t, listedMetrics(t), told)
	require.NotContains(t, text, delivery, "no metric has as many values as there are deliveries")

	require.Equal(t, 1, int(metric(t, text, `ledger_attempts_total{outcome="status_5xx"}`)))
	require.Equal(t, 1, int(metric(t, text, `ledger_attempts_total{outcome="success"}`)))
	require.Equal(t, 1, int(metric(t, text, "ledger_delivery_duration_seconds_count")))
	require.Equal(t, 2, int(metric(t, text, "ledger_attempt_duration_seconds_count")))
	require.Positive(t, metric(t, text, `ledger_http_requests_total{method="POST",route="/api/v1/deliveries",status="201"}`))
	require.Contains(t, text, `ledger_follower_lag_seconds{follower="dispatches"}`)
}
