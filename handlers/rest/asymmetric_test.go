package rest_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrivateSigningKeyIsMadeAndOnlyItsPublicKeyIsShown(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/destinations"
	created := c.call(t, http.StatusCreated, "POST", path, `{"type":"webhook","url":"https://a.example","signature":"v1a"}`)
	one := path + "/" + created.field(t, "id")
	public := created.field(t, "signing_public_key")
	require.Regexp(t, `^whpk_[A-Za-z0-9+/]{43}=$`, public)
	require.Equal(t, "v1a", created.field(t, "signature"))
	require.NotContains(t, created.json(t), "signing_secret", "nobody else needs it")
	require.Equal(t, public, c.call(t, http.StatusOK, "GET", one, "").field(t, "signing_public_key"))

	kept := f.vault.texts()
	_, rest, found := strings.Cut(kept, "whsk_")
	require.True(t, found)
	text, _, _ := strings.Cut(rest, "\n")
	private, err := base64.StdEncoding.DecodeString(text)
	require.NoError(t, err)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(public, "whpk_"))
	require.NoError(t, err)
	require.True(t, ed25519.Verify(key, []byte("message"), ed25519.Sign(private, []byte("message"))), "they are a pair")

	again := c.call(t, http.StatusOK, "POST", one+"/rotate-secret", "")
	require.Equal(t, "v1a", again.field(t, "signature"), "a rotation keeps the scheme")
	require.NotEqual(t, public, again.field(t, "signing_public_key"))
	require.NotContains(t, again.json(t), "signing_secret")
	require.Contains(t, again.json(t), "former_secret_signs_until")
	symmetric := c.call(t, http.StatusOK, "POST", one+"/rotate-secret", `{"signature":"v1"}`)
	require.Regexp(t, `^whsec_`, symmetric.field(t, "signing_secret"))
	require.Equal(t, "v1", symmetric.field(t, "signature"))
	require.NotContains(t, symmetric.json(t), "signing_public_key")
	require.Equal(t, "v1a", c.call(t, http.StatusOK, "POST", one+"/rotate-secret", `{"signature":"v1a"}`).field(t, "signature"))
	own := c.call(t, http.StatusOK, "PUT", one, `{"signing_secret":"`+ownSecret+`"}`)
	require.Equal(t, "v1", own.field(t, "signature"))
	require.NotContains(t, own.json(t), "signing_public_key")

	require.NotContains(t, f.everyEvent(t), "whsk_")
	require.NotContains(t, f.everyEvent(t), text)
	require.NotContains(t, f.log.String(), text)
}

func TestSignatureThatCannotBe(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/destinations"
	one := path + "/" + c.call(t, http.StatusCreated, "POST", path, sampleDestination).field(t, "id")
	before := f.vault.texts()
	for _, test := range []struct{ path, body, field string }{
		{path, `{"type":"webhook","url":"https://a.example","signature":"v2"}`, "signature"},
		{path, `{"type":"webhook","url":"https://a.example","signature":"v1a","signing_secret":"` + ownSecret + `"}`, "signing_secret"},
		{path, `{"type":"api","signature":"v1a"}`, "signature"},
		{one + "/rotate-secret", `{"signature":"v1a","signing_secret":"` + ownSecret + `"}`, "signing_secret"},
		{one + "/rotate-secret", `{"signature":"V1"}`, "signature"},
	} {
		require.Equal(t, []string{test.field}, c.call(t, http.StatusUnprocessableEntity, "POST", test.path, test.body).faults(t), test.body)
	}
	require.ElementsMatch(t, strings.Fields(before), strings.Fields(f.vault.texts()), "what is refused leaves no key behind")
}
