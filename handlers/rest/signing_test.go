package rest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// ownSecret is a signing secret as customers bring it.
const ownSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestRotatedSecretIsShownOnceAndTheFormerOneSignsOn(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/destinations"
	created := c.call(t, http.StatusCreated, "POST", path, sampleDestination)
	one := path + "/" + created.field(t, "id")

	rotated := c.call(t, http.StatusOK, "POST", one+"/rotate-secret", "")
	secret := rotated.field(t, "signing_secret")
	require.Regexp(t, `^whsec_[A-Za-z0-9+/]{43}=$`, secret)
	require.NotEqual(t, created.field(t, "signing_secret"), secret)
	require.Contains(t, f.vault.texts(), secret)
	ends, err := time.Parse(time.RFC3339, rotated.field(t, "former_secret_signs_until"))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), ends, time.Minute)
	require.NotEqual(t, created.header.Get("ETag"), rotated.header.Get("ETag"))
	read := c.call(t, http.StatusOK, "GET", one, "")
	require.NotContains(t, read.json(t), "signing_secret", "it is shown once")
	require.Equal(t, rotated.header.Get("ETag"), read.header.Get("ETag"))

	own := c.call(t, http.StatusOK, "POST", one+"/rotate-secret", `{"signing_secret":"`+ownSecret+`","overlap_seconds":0}`)
	require.NotContains(t, own.json(t), "signing_secret", "the caller has it")
	require.NotContains(t, own.json(t), "former_secret_signs_until")
	require.Contains(t, f.vault.texts(), ownSecret)
	require.NotContains(t, f.everyEvent(t), ownSecret)
	require.NotContains(t, f.everyEvent(t), secret)
	require.NotContains(t, f.log.String(), "whsec_")
}

func TestRotationThatCannotBeMade(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/destinations"
	one := path + "/" + c.call(t, http.StatusCreated, "POST", path, sampleDestination).field(t, "id")
	pulled := path + "/" + c.call(t, http.StatusCreated, "POST", path, `{"type":"api"}`).field(t, "id")
	before := len(f.vault.texts())

	for body, fields := range map[string][]string{
		`{"overlap_seconds":-1}`:                             {"overlap_seconds"},
		`{"overlap_seconds":604801}`:                         {"overlap_seconds"},
		`{"overlap_seconds":1.5}`:                            {"overlap_seconds"},
		`{"signing_secret":"secret"}`:                        {"signing_secret"},
		`{"signing_secret":"whsec_c2hvcnQ=","overlap":1}`:    {"overlap"},
		`{"signing_secret":"whsec_c2hvcnQ="}`:                {"signing_secret"},
		`{"signing_secret":null,"overlap_seconds":"1 hour"}`: {"signing_secret", "overlap_seconds"},
	} {
		a := c.call(t, http.StatusUnprocessableEntity, "POST", one+"/rotate-secret", body)
		require.ElementsMatch(t, fields, a.faults(t), body)
		require.NotContains(t, string(a.body), "c2hvcnQ")
	}
	require.Equal(t, "CONFLICT", c.call(t, http.StatusConflict, "POST", pulled+"/rotate-secret", "").field(t, "code"))
	c.call(t, http.StatusNotFound, "POST", path+"/dst_none/rotate-secret", "")
	f.foreigner(t).call(t, http.StatusNotFound, "POST", one+"/rotate-secret", "")
	require.Len(t, f.vault.texts(), before, "what is refused leaves no secret behind")
}

func TestDisabledDestinationIsEnabled(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	delivery := c.createDelivery(t, sampleDelivery)
	path := "/api/v1/deliveries/" + delivery + "/destinations"
	created := c.call(t, http.StatusCreated, "POST", path, sampleDestination)
	one := path + "/" + created.field(t, "id")

	unchanged := c.call(t, http.StatusOK, "POST", one+"/enable", "")
	require.Equal(t, created.header.Get("ETag"), unchanged.header.Get("ETag"))
	require.Empty(t, unchanged.header.Get("Ledger-Position"), "nothing was recorded")

	_, err := eventstore.Execute(t.Context(), f.store, domain.DisableDestination{
		Delivery: domain.DeliveryID(delivery), Destination: domain.DestinationID(created.field(t, "id")), Reason: "410 Gone",
	})
	require.NoError(t, err)
	c.call(t, http.StatusPreconditionFailed, "POST", one+"/enable", "", "If-Match", created.header.Get("ETag"))
	c.call(t, http.StatusPreconditionFailed, "POST", one+"/rotate-secret", "", "If-Match", created.header.Get("ETag"))
	enabled := c.call(t, http.StatusOK, "POST", one+"/enable", "")
	require.Equal(t, "active", enabled.field(t, "status"))
	require.NotContains(t, enabled.json(t), "disabled_reason")
	require.Equal(t, enabled.body, c.call(t, http.StatusOK, "GET", one, "").body, "one reads what one wrote")
	c.call(t, http.StatusNotFound, "POST", path+"/dst_none/enable", "")
	f.foreigner(t).call(t, http.StatusNotFound, "POST", one+"/enable", "")
}

// texts returns all secrets that were kept.
func (v *memoryVault) texts() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b strings.Builder
	for _, text := range v.secrets {
		b.WriteString(text + "\n")
	}
	return b.String()
}

// everyEvent returns all that the log holds, as text.
func (f *fixtures) everyEvent(t *testing.T) string {
	t.Helper()
	var text string
	require.NoError(t, f.pool.QueryRow(t.Context(), `SELECT string_agg(e::text, E'\n') FROM events e`).Scan(&text))
	return text
}
