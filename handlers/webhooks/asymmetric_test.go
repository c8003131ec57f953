package webhooks_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

// keyPair returns a private key as it is kept, and a public one as it is shown, of a seed of one byte.
func keyPair(seed byte) (private, public string) {
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(seed), ed25519.SeedSize)))
	return "whsk_" + base64.StdEncoding.EncodeToString(key), "whpk_" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

// verifies reports whether one of the signatures of what was received is that of a public key, as the
// specification has it.
func verifies(tb testing.TB, got received, public string) bool {
	tb.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(public, "whpk_"))
	require.NoError(tb, err)
	message := got.header.Get("Webhook-Id") + "." + got.header.Get("Webhook-Timestamp") + "." + got.body
	for _, one := range strings.Fields(got.header.Get("Webhook-Signature")) {
		encoded, ok := strings.CutPrefix(one, "v1a,")
		if !ok {
			continue
		}
		signature, err := base64.StdEncoding.DecodeString(encoded)
		require.NoError(tb, err)
		if ed25519.Verify(key, []byte(message), signature) {
			return true
		}
	}
	return false
}

func TestPrivateKeySignsAndItsPublicKeyVerifies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	first, firstPublic := keyPair(1)
	second, secondPublic := keyPair(2)
	dst := destination(r.URL)
	dst.SigningSecret = b.secret(t, firstSecret)
	d := b.delivery(t, dst)
	b.work(t)
	rotate := func(private, public string) {
		execute(t, b, domain.RotateSigningSecret{
			Delivery: d.ID, Organisation: org, Destination: dst.ID, Secret: b.secret(t, private), PublicKey: public, Overlap: time.Hour,
		})
		b.settle(t)
	}

	rotate(first, firstPublic)
	b.qualify(t, d, "comp_1")
	got := r.await(t, 1)[0]
	require.True(t, verifies(t, got, firstPublic))
	require.False(t, verifies(t, got, secondPublic))
	require.Equal(t, []string{firstSecret}, signedBy(t, got), "the secret that it replaces signs on, in its own scheme")
	altered := got
	altered.body += " "
	require.False(t, verifies(t, altered, firstPublic))

	rotate(second, secondPublic)
	b.qualify(t, d, "comp_2")
	got = r.await(t, 2)[1]
	require.True(t, verifies(t, got, firstPublic))
	require.True(t, verifies(t, got, secondPublic))
	require.Empty(t, signedBy(t, got))
	require.Regexp(t, `^v1a,[A-Za-z0-9+/]{86}== v1a,[A-Za-z0-9+/]{86}==$`, got.header.Get("Webhook-Signature"))

	rotate(thirdSecret, "")
	b.qualify(t, d, "comp_3")
	got = r.await(t, 3)[2]
	require.Equal(t, []string{thirdSecret}, signedBy(t, got))
	require.True(t, verifies(t, got, secondPublic))
	b.settleIn(t, "deliveries")
	shown, err := b.views.Destination(t.Context(), d.ID, dst.ID)
	require.NoError(t, err)
	require.Empty(t, shown.PublicKey)
}
