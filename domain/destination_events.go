package domain

import "time"

// DestinationEnabled lets go what was held for a destination that had been disabled.
type DestinationEnabled struct {
	Delivery    DeliveryID    `json:"delivery"`
	Destination DestinationID `json:"destination"`
	Replay      ReplayID      `json:"replay,omitempty"` // the job that was started with it; absent: none was
}

// DestinationRecovered says that a destination took a webhook again, whose breaker was open or which had been
// disabled, and missed companies by that.
type DestinationRecovered struct {
	Delivery     DeliveryID    `json:"delivery"`
	Destination  DestinationID `json:"destination"`
	FailingSince time.Time     `json:"failing_since"` // when the first of the attempts in a row was recorded that came to nothing
}

// SigningSecretRotated gives a destination another signing secret. It names secrets and holds
// none.
type SigningSecretRotated struct {
	Delivery      DeliveryID    `json:"delivery"`
	Destination   DestinationID `json:"destination"`
	SigningSecret SecretID      `json:"signing_secret"`
	PublicKey     string        `json:"signing_public_key,omitempty"`    // of SigningSecret; absent: that is no key pair
	FormerSecret  SecretID      `json:"former_signing_secret,omitempty"` // absent: it signs no more
	FormerEnds    *time.Time    `json:"former_signing_ends,omitempty"`
}

// DestinationTested records a webhook that was sent for the sake of a test. It is of no company
// and was not tried again.
type DestinationTested struct {
	Test            TestID            `json:"test"`
	Delivery        DeliveryID        `json:"delivery"`
	Destination     DestinationID     `json:"destination"`
	StartedAt       time.Time         `json:"started_at"`
	Microseconds    int64             `json:"duration_us"`
	Status          int               `json:"status,omitempty"` // 0: no answer
	ResponseHeaders map[string]string `json:"response_headers,omitempty"`
	ResponseBody    string            `json:"response_body,omitempty"` // its first KiB
	Error           string            `json:"error,omitempty"`         // why it failed; empty: it succeeded
}

// EventType returns the event's name in storage.
func (DestinationEnabled) EventType() string { return "destination.enabled" }

// EventType returns the event's name in storage.
func (DestinationRecovered) EventType() string { return "destination.recovered" }

// EventType returns the event's name in storage.
func (SigningSecretRotated) EventType() string { return "destination.secret_rotated" }

// EventType returns the event's name in storage.
func (DestinationTested) EventType() string { return "destination.tested" }

func (DestinationEnabled) event()   {}
func (DestinationRecovered) event() {}
func (SigningSecretRotated) event() {}
func (DestinationTested) event()    {}
