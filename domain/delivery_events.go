package domain

import (
	"time"

	"github.com/openprospect/delivery-ledger/domain/rules"
)

// DeliveryCreated opens a delivery's stream.
type DeliveryCreated struct {
	Delivery     DeliveryID     `json:"delivery"`
	Organisation OrganisationID `json:"organisation"`
	Name         string         `json:"name"`
	Status       DeliveryStatus `json:"status"`
	Schedule     Schedule       `json:"schedule"`
	Timezone     Timezone       `json:"timezone,omitempty"`
	Search       SearchID       `json:"prospect_search"`
}

// DeliveryUpdated gives a delivery new values. It carries all of them, changed or not,
// but for the status, which has events of its own.
type DeliveryUpdated struct {
	Delivery DeliveryID `json:"delivery"`
	Name     string     `json:"name"`
	Schedule Schedule   `json:"schedule"`
	Timezone Timezone   `json:"timezone,omitempty"`
	Search   SearchID   `json:"prospect_search"`
}

// RulesSet gives a delivery its rules and threshold. Its version in the delivery's stream is the
// version of the profile, which judgements name.
type RulesSet struct {
	Delivery  DeliveryID   `json:"delivery"`
	Rules     []rules.Rule `json:"rules"`
	Threshold int          `json:"threshold"`
}

// DeliveryPaused holds a delivery's pushes. Companies are still recorded.
type DeliveryPaused struct {
	Delivery DeliveryID `json:"delivery"`
}

// DeliveryResumed lets go what was held, in order.
type DeliveryResumed struct {
	Delivery DeliveryID `json:"delivery"`
}

// DeliveryDeleted ends a delivery: what it owes is cancelled, nothing more is sent.
type DeliveryDeleted struct {
	Delivery DeliveryID `json:"delivery"`
}

// DestinationAdded gives a delivery one more destination. What was handed over before is
// not owed to it, unless it is back-filled.
type DestinationAdded struct {
	Delivery    DeliveryID  `json:"delivery"`
	Destination Destination `json:"destination"`
}

// DestinationChanged replaces a destination's settings, also for what is owed already,
// and enables it if it was disabled.
type DestinationChanged struct {
	Delivery    DeliveryID  `json:"delivery"`
	Destination Destination `json:"destination"`
}

// DestinationRemoved ends a destination: what is owed to it is cancelled.
type DestinationRemoved struct {
	Delivery    DeliveryID    `json:"delivery"`
	Destination DestinationID `json:"destination"`
}

// DestinationDisabled holds what is owed to a destination that asked for no more, or failed for too long.
type DestinationDisabled struct {
	Delivery     DeliveryID    `json:"delivery"`
	Destination  DestinationID `json:"destination"`
	Reason       string        `json:"reason"`
	Exhausted    int           `json:"exhausted,omitempty"`     // dispatches in a row that failed for good; absent: it asked for no more
	FailingSince *time.Time    `json:"failing_since,omitempty"` // of those, when the first attempt that came to nothing was recorded
}

// EventType returns the event's name in storage.
func (DeliveryCreated) EventType() string { return "delivery.created" }

// EventType returns the event's name in storage.
func (DeliveryUpdated) EventType() string { return "delivery.updated" }

// EventType returns the event's name in storage.
func (RulesSet) EventType() string { return "delivery.rules_set" }

// EventType returns the event's name in storage.
func (DeliveryPaused) EventType() string { return "delivery.paused" }

// EventType returns the event's name in storage.
func (DeliveryResumed) EventType() string { return "delivery.resumed" }

// EventType returns the event's name in storage.
func (DeliveryDeleted) EventType() string { return "delivery.deleted" }

// EventType returns the event's name in storage.
func (DestinationAdded) EventType() string { return "destination.added" }

// EventType returns the event's name in storage.
func (DestinationChanged) EventType() string { return "destination.changed" }

// EventType returns the event's name in storage.
func (DestinationRemoved) EventType() string { return "destination.removed" }

// EventType returns the event's name in storage.
func (DestinationDisabled) EventType() string { return "destination.disabled" }

func (DeliveryCreated) event()     {}
func (DeliveryUpdated) event()     {}
func (RulesSet) event()            {}
func (DeliveryPaused) event()      {}
func (DeliveryResumed) event()     {}
func (DeliveryDeleted) event()     {}
func (DestinationAdded) event()    {}
func (DestinationChanged) event()  {}
func (DestinationRemoved) event()  {}
func (DestinationDisabled) event() {}
