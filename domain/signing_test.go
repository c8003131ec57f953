package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

func TestRotateSigningSecret(t *testing.T) {
	t.Parallel()
	rotate := domain.RotateSigningSecret{Delivery: dcf, Organisation: acme, Destination: hook.ID, Secret: "sec_3", Overlap: time.Hour}
	ends := Now().Add(time.Hour)
	rotated := domain.SigningSecretRotated{
		Delivery: dcf, Destination: hook.ID, SigningSecret: "sec_3", FormerSecret: "sec_2", FormerEnds: &ends,
	}

	t.Run("the former secret signs until the overlap ends", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, added), rotate).Then(rotated)
		d := Fold[domain.Delivery](t, Given(created, added, rotated)).Destinations[hook.ID]
		require.Equal(t, []domain.SecretID{"sec_3", "sec_2"}, []domain.SecretID{d.SigningSecret, d.FormerSecret})
		require.Equal(t, ends, *d.FormerEnds)
	})
	t.Run("a key pair's public key is known while its private key is the one that signs", func(t *testing.T) {
		t.Parallel()
		pair, then := rotate, rotated
		pair.PublicKey, then.PublicKey = "whpk_1", "whpk_1"
		When(t, Given(created, added), pair).Then(then)
		require.Equal(t, "whpk_1", Fold[domain.Delivery](t, Given(created, added, then)).Destinations[hook.ID].PublicKey)
		require.Empty(t, Fold[domain.Delivery](t, Given(created, added, then, rotated)).Destinations[hook.ID].PublicKey)
	})
	t.Run("without an overlap it signs no more", func(t *testing.T) {
		t.Parallel()
		rotate := rotate
		rotate.Overlap = 0
		When(t, Given(created, added), rotate).
			Then(domain.SigningSecretRotated{Delivery: dcf, Destination: hook.ID, SigningSecret: "sec_3"})
	})
	t.Run("where none signed before there is none to go on", func(t *testing.T) {
		t.Parallel()
		unsigned := added
		unsigned.Destination.SigningSecret = ""
		When(t, Given(created, unsigned), rotate).
			Then(domain.SigningSecretRotated{Delivery: dcf, Destination: hook.ID, SigningSecret: "sec_3"})
	})
	t.Run("rotating within an overlap drops the oldest", func(t *testing.T) {
		t.Parallel()
		again, then := rotate, rotated
		again.Secret, then.SigningSecret, then.FormerSecret = "sec_4", "sec_4", "sec_3"
		When(t, Given(created, added, rotated), again).Then(then)
	})
	t.Run("the same secret again changes nothing", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, added, rotated), rotate).Then()
	})
	t.Run("it leaves a disabled destination disabled", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, added, disabled), rotate).Then(rotated)
		require.NotEmpty(t, Fold[domain.Delivery](t, Given(created, added, disabled, rotated)).Destinations[hook.ID].DisabledReason)
	})
	t.Run("a change of other settings keeps the overlap, another secret ends it", func(t *testing.T) {
		t.Parallel()
		change := func(f func(*domain.Destination)) domain.ChangeDestination {
			return domain.ChangeDestination{Delivery: dcf, Organisation: acme, Destination: hook.ID, Change: func(d domain.Destination) domain.Destination {
				f(&d)
				return d
			}}
		}
		want := hook
		want.Name, want.SigningSecret, want.FormerSecret, want.FormerEnds = "ERP", "sec_3", "sec_2", &ends
		When(t, Given(created, added, rotated), change(func(d *domain.Destination) { d.Name = "ERP" })).
			Then(domain.DestinationChanged{Delivery: dcf, Destination: want})
		want.Name, want.SigningSecret, want.FormerSecret, want.FormerEnds = hook.Name, "sec_5", "", nil
		When(t, Given(created, added, rotated), change(func(d *domain.Destination) { d.SigningSecret = "sec_5" })).
			Then(domain.DestinationChanged{Delivery: dcf, Destination: want})
	})
	t.Run("an overlap is of at most a week", func(t *testing.T) {
		t.Parallel()
		rotate := rotate
		for _, overlap := range []time.Duration{-time.Second, 7*24*time.Hour + time.Second} {
			rotate.Overlap = overlap
			When(t, Given(created, added), rotate).Faults("overlap_seconds")
		}
		rotate.Overlap = 7 * 24 * time.Hour
		ends := Now().Add(rotate.Overlap)
		rotated := rotated
		rotated.FormerEnds = &ends
		When(t, Given(created, added), rotate).Then(rotated)
	})
	t.Run("what is pulled is not signed", func(t *testing.T) {
		t.Parallel()
		rotate := rotate
		rotate.Destination = feed.ID
		When(t, Given(created, fed), rotate).Refused(domain.Conflict, "CONFLICT")
	})
	t.Run("one that is not there, or not the caller's, has none", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, added, removed), rotate).Refused(domain.NotFound, "DESTINATION_NOT_FOUND")
		When(t, Given(created, added, deleted), rotate).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
		foreign := rotate
		foreign.Organisation = rival
		When(t, Given(created, added), foreign).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
	})
}
