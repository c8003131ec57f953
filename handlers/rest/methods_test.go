package rest_test

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest"
)

// exchange sends a request as it is, and returns the answer as it came.
func exchange(t *testing.T, key, method, url string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r) // follows nothing
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{status: res.StatusCode, header: res.Header, body: b}
}

// TestEveryPathAnswersEveryMethod walks the paths of the contract, as they are and with a final
// slash: HEAD says what GET does, OPTIONS and whatever is not allowed say what is.
func TestEveryPathAnswersEveryMethod(t *testing.T) {
	t.Parallel()
	const origin = "https://app.example.com"
	c, f := setup(t, func(cfg *rest.Config) { cfg.Origins = []string{origin} })
	things := c.things(t)
	f.settled(t)
	for path, item := range contract().doc.Paths.Map() {
		allowed := append(slices.Collect(maps.Keys(item.Operations())), http.MethodOptions)
		if item.Get != nil {
			allowed = append(allowed, http.MethodHead)
		}
		for _, slash := range []string{"", "/"} {
			url := c.url + fill(t, path, things) + slash
			if item.Get != nil {
				testHead(t, c.key, url, origin)
			}
			for _, method := range []string{"OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"} {
				if method != "OPTIONS" && slices.Contains(allowed, method) {
					continue
				}
				a := exchange(t, c.key, method, url)
				require.Equal(t, map[bool]int{true: http.StatusNoContent, false: http.StatusMethodNotAllowed}[method == "OPTIONS"], a.status, "%s %s", method, url)
				require.ElementsMatch(t, allowed, strings.Split(a.header.Get("Allow"), ", "), "%s %s", method, url)
				require.NotEmpty(t, a.header.Get("X-Request-Id"))
				if method != "OPTIONS" && method != "HEAD" {
					require.Equal(t, "METHOD_NOT_ALLOWED", a.field(t, "code"))
				}
			}
		}
	}
}

// testHead holds HEAD to what GET answers, to all who may ask differently, and both to saying what
// their answer depends on.
func testHead(t *testing.T, key, url, origin string) {
	t.Helper()
	for _, header := range [][]string{
		nil,
		{"Accept-Encoding", "gzip"},
		{"Accept-Encoding", "gzip;q=0, identity"},
		{"Origin", origin},
		{"Origin", "https://other.example.com"},
		{"If-None-Match", "*"},
		{"Authorization", "none"},
	} {
		got := exchange(t, key, http.MethodGet, url, header...)
		head := exchange(t, key, http.MethodHead, url, header...)
		require.Empty(t, head.body, "%s %q", url, header)
		require.Equal(t, got.status, head.status, "%s %q", url, header)
		require.Equal(t, inCommon(got.header), inCommon(head.header), "%s %q", url, header)
		vary := strings.Split(strings.Join(got.header.Values("Vary"), ", "), ", ")
		depends := []string{"Accept-Encoding", "Origin"}
		if strings.Contains(url, "/metrics") { // which have more than one form
			depends = append(depends, "Accept")
		}
		require.ElementsMatch(t, depends, vary, "%s %q", url, header)
		if slices.Contains(header, "gzip") {
			continue
		}
		require.Empty(t, got.header.Get("Content-Encoding"), "%s %q", url, header)
		require.True(t, got.status == http.StatusNotModified || len(got.body) > 0)
	}
}

// inCommon returns what two answers to the same question have in common.
func inCommon(header http.Header) http.Header {
	kept := header.Clone()
	for _, name := range []string{"Date", "X-Request-Id", "Content-Length"} { // of what is not sent, the length need not be known
		kept.Del(name)
	}
	return kept
}
