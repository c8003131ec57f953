package main

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestWebhooksGoWhereFlagsAllowByTheProxyThatAFlagNames(t *testing.T) {
	t.Parallel()
	var asked, unwanted atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	environment := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { unwanted.Add(1) }))
	t.Cleanup(environment.Close)
	database, key := testdb.URL(t), encryptionKey()
	env := []string{"HTTP_PROXY=" + environment.URL, "HTTPS_PROXY=" + environment.URL, "ALL_PROXY=" + environment.URL}
	start := func(args ...string) client {
		return startWith(t, env, append([]string{
			"serve", "--database-url", database, "--encryption-key", key, "--listen", "127.0.0.1:0", "--log-format", "json", "--roles", "api,follow,attempt",
		}, args...)...).at(newKey(t, database))
	}
	test := func(c client, delivery, url string) string {
		destinations := "/api/v1/deliveries/" + delivery + "/destinations"
		id := c.must(t, http.StatusCreated, http.MethodPost, destinations, `{"type":"webhook","url":"`+url+`"}`)["id"].(string)
		failure, _ := c.must(t, http.StatusOK, http.MethodPost, destinations+"/"+id+"/test", "")["error"].(string)
		return failure
	}

	direct := start("--allow-destination", "127.0.0.1/32")
	r := newReceiver(t, ok)
	delivery := direct.delivery(t, r.url)
	direct.qualify(t, delivery, "comp_1")
	direct.awaitCount(t, delivery, "delivered", 1)
	direct.must(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/v1/deliveries/"+delivery+"/destinations",
		`{"type":"webhook","url":"http://127.0.0.2/hook"}`)
	require.Contains(t, test(direct, delivery, "http://nobody.invalid/hook"), "nobody.invalid")
	require.Zero(t, unwanted.Load(), "proxies of the environment are not used")

	proxied := start("--allow-destination", "127.0.0.1/32", "--egress-proxy", proxy.URL)
	require.Equal(t, "the egress proxy answered 403 Forbidden", test(proxied, delivery, r.url))
	require.EqualValues(t, 1, asked.Load())
	require.Zero(t, unwanted.Load())
}

func TestEgressFlagsThatMeanNothingAreRefused(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{
		"--allow-destination=10.1.0.0":             "no '/'",
		"--allow-destination=::ffff:10.1.0.0/112":  "write IPv4 addresses as such",
		"--egress-proxy=ftp://user:s3cret@host":    "an egress proxy is http://HOST:PORT",
		"--egress-proxy=http://user:s3cret@host/p": "an egress proxy is http://HOST:PORT",
	} {
		_, _, err := verb(t, "", "serve", "--database-url", "postgres://127.0.0.1:1/none", "--encryption-key", encryptionKey(), flag)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "s3cret")
	}
}
