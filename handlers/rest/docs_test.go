package rest_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// references are what a page loads by itself: what stands in src and href of anything but a link.
var references = regexp.MustCompile(`<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)="([^"]*)"`)

// styled is what a style sheet loads.
var styled = regexp.MustCompile(`url\(\s*["']?([^)]{0,30})|@import\s+(.{0,30})`)

func TestDocsLoadFromThisServerAlone(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	anybody := client{url: c.url}
	page := anybody.call(t, http.StatusOK, "GET", "/docs", "")
	require.Equal(t, "text/html; charset=utf-8", page.header.Get("Content-Type"))
	require.Equal(t, page.body, anybody.call(t, http.StatusOK, "GET", "/docs/", "").body)

	types := map[string]string{"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "png": "image/png"}
	loads := references.FindAllStringSubmatch(string(page.body), -1)
	require.Len(t, loads, 4)
	for _, load := range loads {
		require.Regexp(t, "^/docs/", load[1], "nothing of another host")
		asset := anybody.call(t, http.StatusOK, "GET", load[1], "")
		require.NotEmpty(t, asset.body)
		require.Equal(t, types[load[1][strings.LastIndex(load[1], ".")+1:]], asset.header.Get("Content-Type"), load[1])
		require.Equal(t, "nosniff", asset.header.Get("X-Content-Type-Options"))
		if strings.HasSuffix(load[1], ".css") {
			for _, url := range styled.FindAllStringSubmatch(string(asset.body), -1) {
				require.Regexp(t, "^data:", url[1]+url[2], "nothing of another host")
			}
		}
	}
	start := anybody.call(t, http.StatusOK, "GET", "/docs/start.js", "")
	require.Contains(t, string(start.body), "url: '/openapi.json'")
	require.Contains(t, string(start.body), "validatorUrl: null", "no validator of another host")
}

func TestPolicyOfTheDocsAllowsNoOtherHost(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	for _, path := range []string{"/docs", "/docs/index.html", "/docs/start.js", "/docs/swagger-ui-bundle.js"} {
		policy := c.call(t, http.StatusOK, "GET", path, "").header.Get("Content-Security-Policy")
		rules := map[string][]string{}
		for rule := range strings.SplitSeq(policy, ";") {
			words := strings.Fields(rule)
			rules[words[0]] = words[1:]
			for _, source := range words[1:] {
				require.Contains(t, []string{"'none'", "'self'", "'unsafe-inline'", "data:"}, source)
			}
		}
		require.Equal(t, []string{"'none'"}, rules["default-src"])
		require.Equal(t, []string{"'self'"}, rules["script-src"], "only scripts of ours run")
		require.Equal(t, []string{"'self'"}, rules["connect-src"])
	}
}

func TestDocsComeAsTheCallerTakesThem(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	const bundle = "/docs/swagger-ui-bundle.js"
	plain := c.call(t, http.StatusOK, "GET", bundle, "", "Accept-Encoding", "identity")
	require.Empty(t, plain.header.Get("Content-Encoding"))
	require.Contains(t, string(plain.body), "SwaggerUIBundle")
	zipped := c.call(t, http.StatusOK, "GET", bundle, "", "Accept-Encoding", "gzip")
	require.Equal(t, "gzip", zipped.header.Get("Content-Encoding"))
	require.Less(t, len(zipped.body), len(plain.body)/2)
	require.Empty(t, c.call(t, http.StatusOK, "HEAD", bundle, "").body)

	for _, name := range []string{"none.js", "swagger-ui.css.gz", "docs", "..%2fdocs.go", "%00.js", "a%2f..%2fstart.js"} {
		c.call(t, http.StatusNotFound, "GET", "/docs/"+name, "")
	}
}
