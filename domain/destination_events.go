package domain

import "time"

// DestinationEnabled lets go what was held for a destination that had been disabled.
type DestinationEnabled struct {
	Delivery    DeliveryID    `json:"delivery"`
	Destination DestinationID `json:"destination"`
}

// SigningSecretRotated gives a destination another signing secret. It names secrets and holds
// none.
type SigningSecretRotated struct {
	Delivery      DeliveryID    `json:"delivery"`
	Destination   DestinationID `json:"destination"`
	SigningSecret SecretID      `json:"signing_secret"`
	FormerSecret  SecretID      `json:"former_signing_secret,omitempty"` // absent: it signs no more
	FormerEnds    *time.Time    `json:"former_signing_ends,omitempty"`
}

// EventType returns the event's name in storage.
func (DestinationEnabled) EventType() string { return "destination.enabled" }

// EventType returns the event's name in storage.
func (SigningSecretRotated) EventType() string { return "destination.secret_rotated" }

func (DestinationEnabled) event()   {}
func (SigningSecretRotated) event() {}
