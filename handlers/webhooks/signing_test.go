package webhooks_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

// Signing secrets of the tests, in the order in which they come into use.
const (
	firstSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secondSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	thirdSecret  = "whsec_plJ3nmyCDGBKInavdOK15jsl1xgsCSCI"
)

// rotate gives a destination another signing secret, and returns when the former one ends.
func (b *bundle) rotate(tb testing.TB, d domain.Delivery, id domain.DestinationID, secret string, overlap time.Duration) time.Time {
	tb.Helper()
	state := execute(tb, b, domain.RotateSigningSecret{
		Delivery: d.ID, Organisation: org, Destination: id, Secret: b.secret(tb, secret), Overlap: overlap,
	}).State
	b.settle(tb)
	return *state.Destinations[id].FormerEnds
}

// signedBy returns which of the secrets signed what was received, each alone and together.
func signedBy(tb testing.TB, got received) (by []string) {
	tb.Helper()
	for _, secret := range []string{firstSecret, secondSecret, thirdSecret} {
		verifier, err := standardwebhooks.NewWebhook(secret)
		require.NoError(tb, err)
		if verifier.Verify([]byte(got.body), got.header) == nil {
			by = append(by, secret)
		}
	}
	return by
}

func TestBothSecretsSignWhileOneReplacesTheOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	dst.SigningSecret = b.secret(t, firstSecret)
	d := b.delivery(t, dst)
	b.work(t)
	b.qualify(t, d, "comp_1")
	require.Equal(t, []string{firstSecret}, signedBy(t, r.await(t, 1)[0]))

	b.rotate(t, d, dst.ID, secondSecret, time.Hour)
	b.qualify(t, d, "comp_2")
	got := r.await(t, 2)[1]
	require.Equal(t, []string{firstSecret, secondSecret}, signedBy(t, got))
	signatures := strings.Split(got.header.Get("Webhook-Signature"), " ")
	require.Len(t, signatures, 2)
	newest := got
	newest.header = got.header.Clone()
	newest.header.Set("Webhook-Signature", signatures[0])
	require.Equal(t, []string{secondSecret}, signedBy(t, newest), "the new one comes first")

	b.rotate(t, d, dst.ID, thirdSecret, time.Hour)
	b.qualify(t, d, "comp_3")
	require.Equal(t, []string{secondSecret, thirdSecret}, signedBy(t, r.await(t, 3)[2]), "the oldest is dropped")
}

func TestAfterTheOverlapTheNewSecretSignsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, failing(1, http.StatusInternalServerError))
	dst := destination(r.URL)
	dst.SigningSecret = b.secret(t, firstSecret)
	d := b.delivery(t, dst)
	b.work(t)
	ends := b.rotate(t, d, dst.ID, secondSecret, 2*time.Second)
	b.qualify(t, d, "comp_1")
	for _, got := range r.await(t, 2) {
		if got.at.Before(ends) {
			require.Equal(t, []string{firstSecret, secondSecret}, signedBy(t, got))
		}
	}
	require.Eventually(t, func() bool { return time.Now().After(ends) }, patience, 10*time.Millisecond)
	b.qualify(t, d, "comp_2")
	for _, got := range r.await(t, 4)[2:] {
		require.Equal(t, []string{secondSecret}, signedBy(t, got), "though both were opened before")
	}
}

func TestEnabledDestinationGetsWhatWasHeld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	execute(t, b, domain.DisableDestination{Delivery: d.ID, Destination: dst.ID, Reason: "it answered 410 Gone"})
	b.qualify(t, d, names(3)...)
	b.awaitCounts(t, d, map[domain.DispatchStatus]int64{domain.Held: 3})
	witness(t, b)
	require.Empty(t, r.all())

	execute(t, b, domain.EnableDestination{Delivery: d.ID, Organisation: org, Destination: dst.ID})
	require.ElementsMatch(t, sequences(3), sequencesOf(r.await(t, 3)))
	b.awaitCounts(t, d, map[domain.DispatchStatus]int64{domain.Delivered: 3})
}
