package domain

import (
	"fmt"
	"time"
)

// A Tolerance says for how long a destination may fail before it is disabled.
type Tolerance struct {
	Dispatches int           // in a row that failed for good; less than 1: any number
	Time       time.Duration // since the first of the attempts in a row that came to nothing
}

// DefaultTolerance is that of a ledger whose owner says nothing else.
var DefaultTolerance = Tolerance{Dispatches: 5, Time: 24 * time.Hour}

// GiveUpDestination holds what is owed to a destination that has failed for longer than is
// tolerated. What is known of its failing is that of a time: it may have been changed since, or enabled.
type GiveUpDestination struct {
	Delivery     DeliveryID
	Destination  DestinationID
	Revision     int64     // of the delivery, at that time
	Exhausted    int       // dispatches in a row that had failed for good
	FailingSince time.Time // when the first of the attempts in a row that came to nothing was recorded
	Tolerance    Tolerance
}

// Stream names the stream the command is about.
func (c GiveUpDestination) Stream() string { return DeliveryStream(c.Delivery) }

// Decide returns what giving up adds: nothing when the failing is tolerated, or the destination is gone,
// disabled, or of another revision by now.
func (c GiveUpDestination) Decide(d Delivery, now time.Time) ([]Event, error) {
	dst, ok := d.Destinations[c.Destination]
	if !ok || d.Deleted || dst.DisabledReason != "" || d.Revisions[c.Destination] > c.Revision {
		return nil, nil
	}
	failing := now.Sub(c.FailingSince)
	if c.Tolerance.Dispatches < 1 || c.Exhausted < c.Tolerance.Dispatches || failing < c.Tolerance.Time {
		return nil, nil
	}
	return []Event{DestinationDisabled{
		Delivery: c.Delivery, Destination: c.Destination, Exhausted: c.Exhausted, FailingSince: new(c.FailingSince.UTC()),
		Reason: fmt.Sprintf("%d dispatches in a row failed for good, over %s", c.Exhausted, roughly(failing)),
	}}, nil
}

// roughly writes a time that passed, in the largest unit of which it has two or more.
func roughly(d time.Duration) string {
	switch {
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// RecoverDestination lets go what is held for a destination that was given up, and took a webhook
// all the same: by an attempt that was under way, or recorded a moment before. It is known at a revision of
// the delivery.
type RecoverDestination struct {
	Delivery    DeliveryID
	Destination DestinationID
	Revision    int64
}

// Stream names the stream the command is about.
func (c RecoverDestination) Stream() string { return DeliveryStream(c.Delivery) }

// Decide returns what the recovery adds: nothing when the destination is gone, not disabled, or of
// another revision by now.
func (c RecoverDestination) Decide(d Delivery, _ time.Time) ([]Event, error) {
	dst, ok := d.Destinations[c.Destination]
	if !ok || d.Deleted || dst.DisabledReason == "" || d.Revisions[c.Destination] > c.Revision {
		return nil, nil
	}
	return []Event{DestinationEnabled{Delivery: c.Delivery, Destination: c.Destination}}, nil
}
