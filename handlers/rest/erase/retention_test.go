package erase_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/handlers/rest/erase"
	"github.com/openprospect/delivery-ledger/handlers/rest/requalify"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

// retain erases by age once, as it is after a time.
func (b *bundle) retain(t *testing.T, later time.Duration) {
	t.Helper()
	runner, err := erase.New(erase.Config{
		Pool: b.pool, Store: b.store, Keys: b.keys, Vault: b.vault, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Now().Add(later) },
	})
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `UPDATE organisations SET retention_applied_at = NULL`)
	require.NoError(t, err)
	require.NoError(t, runner.Retain(t.Context()))
}

func TestWhatIsTooOldIsErased(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	b := setup(t)
	org, err := apikey.New(b.pool).CreateOrganisation(t.Context(), "Acme")
	require.NoError(t, err)
	_, _, err = apikey.New(b.pool).Retain(t.Context(), org.ID, new(30))
	require.NoError(t, err)
	d, other := b.delivery(t, org.ID), b.delivery(t, theirs)
	before := *b
	before.store = projectionstest.NewStore(t, b.pool)
	before.tell(t, d, "c0", 60, "jane")
	h := b.tell(t, d, "c1", 60, "jane", "john")
	b.tell(t, d, "c2", 10, "jane")
	b.tell(t, other, "c1", 60, "jane")
	answered := b.answer(t, d, h, "stored Secret jane")
	want := b.feed(t, d)
	b.retain(t, 30*day-time.Minute)
	require.Equal(t, want, b.feed(t, d), "it is not too old")

	b.retain(t, 30*day+time.Minute) // the day's key still opens what is younger
	require.Equal(t, map[domain.CompanyID]string{"c0": "[]", "c1": "[]"}, b.feed(t, d))
	b.sound(t)
	b.retain(t, 31*day+2*time.Hour)
	for _, company := range []domain.CompanyID{"c0", "c1"} {
		event, _ := b.opened(t, domain.HandOverStream(d.ID, company))
		require.Equal(t, "[]", string(event.(domain.CompanyQualified).Prospects), company)
	}
	event, _ := b.opened(t, domain.HandOverStream(d.ID, "c2"))
	require.Equal(t, "[]", string(event.(domain.CompanyDisqualified).Prospects))
	event, _ = b.opened(t, domain.DispatchStream(answered))
	require.Empty(t, event.(domain.AttemptFailed).ResponseBody)
	require.Equal(t, map[domain.CompanyID]string{"c1": string(list("jane"))}, b.feed(t, other), "another organisation keeps for ever")
	b.tell(t, d, "c3", 60, "jane")
	require.Equal(t, string(list("jane")), b.feed(t, d)["c3"], "what comes is sealed by another key")
	b.sound(t)
}

func TestACompanyIsJudgedAgainWithoutWhoWasErased(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.delivery(t, ours)
	b.tell(t, d, "c1", 10, "jane", "john")
	b.run(t)
	b.await(t, b.start(t, domain.ErasureSubject{Prospect: "jane"}))
	d = execute(t, b, domain.UpdateDelivery{ID: d.ID, Organisation: ours, Threshold: new(0)}).State
	b.settle(t)
	runner, err := requalify.New(requalify.Config{Pool: b.pool, Store: b.store, Log: slog.New(slog.DiscardHandler), Keyring: b.reader().Keyring, Poll: 20 * time.Millisecond})
	require.NoError(t, err)
	go func() { _ = runner.Run(t.Context()) }()
	head, err := b.store.Head(t.Context())
	require.NoError(t, err)
	execute(t, b, domain.StartRequalification{ID: domain.NewRequalificationID(), Delivery: d, UpTo: int64(head), Count: 1})
	require.Eventually(t, func() bool { return b.feed(t, d)["c1"] == string(list("john")) }, patience, 20*time.Millisecond)
	b.sound(t)
}
