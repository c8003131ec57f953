package webhooks_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/projections"
)

// test sends a destination of d a test.
func (b *bundle) test(t *testing.T, d domain.Delivery, id domain.DestinationID, sender *webhooks.Sender) domain.DestinationTested {
	t.Helper()
	tested, commit, err := webhooks.NewTester(b.store, b.vault, sender).Test(t.Context(), d.ID, d.Destinations[id])
	require.NoError(t, err)
	require.NotZero(t, commit.Position)
	records, err := b.store.ReadStream(t.Context(), domain.TestStream(tested.Test))
	require.NoError(t, err)
	require.Len(t, records, 1)
	recorded, err := b.store.Registry().Decode(records[0])
	require.NoError(t, err)
	require.Equal(t, tested, recorded, "it is on record")
	return tested
}

func TestTestIsAWebhookLikeEveryOtherWhateverStateTheDestinationIsIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	dst.AuthType, dst.AuthSecret = domain.AuthBearer, b.secret(t, "your-secret-token")
	dst.SigningSecret, dst.Headers = b.secret(t, firstSecret), map[string]string{"X-Team": "7"}
	d := b.delivery(t, dst)
	b.work(t)
	b.set(t, d, domain.Paused)
	execute(t, b, domain.DisableDestination{Delivery: d.ID, Destination: dst.ID, Reason: "it answered 410 Gone"})

	tested := b.test(t, d, dst.ID, b.cfg.Sender)
	require.Equal(t, http.StatusOK, tested.Status)
	require.Empty(t, tested.Error)
	require.WithinDuration(t, time.Now(), tested.StartedAt, time.Minute)
	require.Positive(t, tested.Microseconds)
	got := r.await(t, 1)[0]
	require.Equal(t, string(tested.Test), got.header.Get("Webhook-Id"))
	require.Equal(t, "Bearer your-secret-token", got.header.Get("Authorization"))
	require.Equal(t, "7", got.header.Get("X-Team"))
	require.Equal(t, "1", got.header.Get("Ledger-Attempt"))
	require.NotContains(t, got.header, "Ledger-Sequence", "it counts in no sequence")
	require.Equal(t, []string{firstSecret}, signedBy(t, got))

	var want, body map[string]any
	require.NoError(t, json.Unmarshal([]byte(sample), &want))
	require.NoError(t, json.Unmarshal([]byte(got.body), &body))
	require.Regexp(t, "^del_", body["delivery_id"])
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, body["timestamp"])
	want["event"], want["delivery_configuration_id"] = "delivery.test", string(d.ID)
	want["delivery_id"], want["timestamp"] = body["delivery_id"], body["timestamp"]
	require.Equal(t, want, body)

	b.settle(t)
	require.Equal(t, projections.Counts{}, b.counts(t, d), "it is no dispatch")
}

func TestFailedTestTellsWhyAndIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, func(w http.ResponseWriter, _ int) {
		w.Header().Set("X-Why", "your-secret-token")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte("your-secret-token is not mine"))
	})
	dst, gone := destination(r.URL), destination(newReceiver(t, always(http.StatusGone)).URL)
	dst.AuthType, dst.AuthSecret = domain.AuthBearer, b.secret(t, "your-secret-token")
	d := b.delivery(t, dst, gone)
	b.work(t)

	tested := b.test(t, d, dst.ID, b.cfg.Sender)
	require.Equal(t, http.StatusUnauthorized, tested.Status)
	require.Equal(t, "the destination answered 401 Unauthorized", tested.Error)
	require.Equal(t, "***************** is not mine", tested.ResponseBody)
	require.Equal(t, "*****************", tested.ResponseHeaders["X-Why"])
	guarded := b.test(t, d, dst.ID, webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(false)}, "test"))
	require.Zero(t, guarded.Status)
	require.Equal(t, webhooks.ErrForbidden.Error(), guarded.Error)
	require.Equal(t, http.StatusGone, b.test(t, d, gone.ID, b.cfg.Sender).Status)

	b.qualify(t, d, "comp_1")
	require.Len(t, r.await(t, 2), 2)
	require.NotEqual(t, string(tested.Test), r.all()[1].header.Get("Webhook-Id"), "the test was sent once")
}
