package webhooks_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
)

// secrets returns the secrets that are kept, of those given.
func (b *bundle) secrets(t *testing.T, ids ...domain.SecretID) (kept []domain.SecretID) {
	t.Helper()
	for _, id := range ids {
		if _, err := b.vault.Open(t.Context(), string(id)); err == nil {
			kept = append(kept, id)
		}
	}
	return kept
}

// age makes all secrets, and all marks of them, two hours older.
func (b *bundle) age(t *testing.T) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(),
		`UPDATE secrets SET created_at = created_at - interval '2 hours', unneeded_since = unneeded_since - interval '2 hours'`)
	require.NoError(t, err)
}

// sweep looks through the secrets, as workers do.
func (b *bundle) sweep(t *testing.T) {
	t.Helper()
	require.NoError(t, webhooks.SweepSecrets(t.Context(), b.pool))
}

func TestSecretsThatNothingNeedsAreDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	kept, replaced, orphan := destination("https://a.example"), destination("https://b.example"), b.secret(t, "of no event")
	removed, rotated := destination("https://c.example"), destination("https://d.example")
	for _, d := range []*domain.Destination{&kept, &replaced, &removed, &rotated} {
		d.AuthType, d.AuthSecret, d.SigningSecret = domain.AuthBearer, b.secret(t, "token"), b.secret(t, firstSecret)
	}
	d := b.delivery(t, kept, replaced, removed, rotated)
	gone := destination("https://e.example")
	gone.SigningSecret = b.secret(t, firstSecret)
	deleted := b.delivery(t, gone)
	stop := b.work(t)
	fresh := b.secret(t, "another token")
	b.change(t, d, replaced.ID, func(d *domain.Destination) { d.AuthSecret = fresh })
	b.rotate(t, d, rotated.ID, secondSecret, time.Hour)
	execute(t, b, domain.RemoveDestination{Delivery: d.ID, Organisation: org, Destination: removed.ID})
	execute(t, b, domain.DeleteDelivery{ID: deleted.ID, Organisation: org})
	b.settle(t)
	stop()

	needed := []domain.SecretID{
		kept.AuthSecret, kept.SigningSecret, replaced.SigningSecret, fresh, rotated.AuthSecret, rotated.SigningSecret,
	}
	unneeded := []domain.SecretID{replaced.AuthSecret, removed.AuthSecret, removed.SigningSecret, gone.SigningSecret, orphan}
	b.sweep(t)
	require.Equal(t, unneeded, b.secrets(t, unneeded...), "an event may still come to name a fresh one")
	b.age(t)
	b.sweep(t)
	require.Equal(t, unneeded, b.secrets(t, unneeded...), "an attempt under way may still need one")
	b.age(t)
	b.sweep(t)
	require.Empty(t, b.secrets(t, unneeded...))
	require.Equal(t, needed, b.secrets(t, needed...))
}

func TestSecretsOfTheLedgerItselfAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.vault.Put(t.Context(), "checkpoint_key", "that no destination names"))
	b.delivery(t)
	b.work(t)
	b.settle(t)
	for range 3 {
		b.sweep(t)
		b.age(t)
	}
	require.NotEmpty(t, b.secrets(t, "checkpoint_key"))
}

func TestNoSecretIsDeletedWhileTheReadModelIsBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dst := destination("https://a.example")
	dst.SigningSecret = b.secret(t, firstSecret)
	b.delivery(t, dst)
	for range 3 { // nobody follows the log
		b.sweep(t)
		b.age(t)
	}
	require.NotEmpty(t, b.secrets(t, dst.SigningSecret))
}

func TestWorkersSweepSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	orphan := b.secret(t, "of no event")
	b.age(t)
	b.delivery(t)
	stop := b.work(t)
	b.settle(t)
	stop()
	b.sweep(t)
	b.age(t)
	b.work(t)
	require.Eventually(t, func() bool { return len(b.secrets(t, orphan)) == 0 }, patience, 10*time.Millisecond)
}
