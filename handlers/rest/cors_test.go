package rest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest"
)

func TestPagesOfConfiguredOriginsMayCall(t *testing.T) {
	t.Parallel()
	const mine, other = "https://app.example.com", "https://evil.example.com"
	c, _ := setup(t, func(cfg *rest.Config) { cfg.Origins = []string{mine} })
	anonymous := client{url: c.url}

	a := anonymous.call(t, http.StatusNoContent, "OPTIONS", "/api/v1/deliveries", "",
		"Origin", mine, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,idempotency-key")
	require.Equal(t, mine, a.header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, a.header.Get("Access-Control-Allow-Methods"), "POST")
	require.Contains(t, a.header.Get("Access-Control-Allow-Headers"), "Idempotency-Key")
	require.Empty(t, a.header.Get("Access-Control-Allow-Credentials"))

	for status, path := range map[int]string{http.StatusOK: "/api/v1/deliveries", http.StatusNotFound: "/api/v1/deliveries/dcf_absent"} {
		a = c.call(t, status, "GET", path, "", "Origin", mine)
		require.Equal(t, mine, a.header.Get("Access-Control-Allow-Origin"), "a page can read a refusal, too")
		require.Contains(t, a.header.Get("Access-Control-Expose-Headers"), "ETag")
		require.Contains(t, a.header.Values("Vary"), "Origin")
		a = c.call(t, status, "GET", path, "", "Origin", other)
		require.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
	}
	a = anonymous.call(t, http.StatusNoContent, "OPTIONS", "/api/v1/deliveries", "", "Origin", other, "Access-Control-Request-Method", "POST")
	require.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
	a = anonymous.call(t, http.StatusNoContent, "OPTIONS", "/api/v1/deliveries", "")
	require.Contains(t, a.header.Get("Allow"), "POST", "who is no page asks as before")
}

func TestNoPageMayCallUnlessConfigured(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	a := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "", "Origin", "https://app.example.com")
	require.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
	for _, origin := range []string{"", "app.example.com", "https://app.example.com/", "https://app.example.com/page", "null"} {
		_, err := rest.New(f.config(func(cfg *rest.Config) { cfg.Origins = []string{origin} }))
		require.ErrorContains(t, err, "must be * or as https://app.example.com")
	}
}
