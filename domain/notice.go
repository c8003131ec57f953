package domain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A WebhookEvent names what a webhook tells of. A destination gets those that it is subscribed to.
type WebhookEvent string

// What webhooks tell of. All but the first are operational: they tell of webhooks and destinations.
const (
	OnCompanyQualified     WebhookEvent = "delivery.company_qualified"
	OnDispatchFailed       WebhookEvent = "dispatch.failed"
	OnDestinationDisabled  WebhookEvent = "destination.disabled"
	OnDestinationRecovered WebhookEvent = "destination.recovered"
)

// webhookEvents are those that a destination may subscribe to.
var webhookEvents = []WebhookEvent{OnCompanyQualified, OnDispatchFailed, OnDestinationDisabled, OnDestinationRecovered}

// NoticeIDFor returns the ID of the one dispatch to a destination of the operational event at a position
// of the log. It is a function of its arguments, like [DispatchIDFor], and sorts by position.
func NoticeIDFor(position int64, d DestinationID) DispatchID {
	sum := sha256.Sum256([]byte(strconv.FormatInt(position, 10) + "/" + string(d)))
	return DispatchID(fmt.Sprintf("dsp_%012x", position) + hex.EncodeToString(sum[:9]))
}

// notice is what a destination gets of an operational event (contract, section 7).
type notice struct {
	Event     WebhookEvent `json:"event"`
	Timestamp string       `json:"timestamp"`
	Data      any          `json:"data"`
}

// failedDispatch is the data of a dispatch that failed for good.
type failedDispatch struct {
	Dispatch      DispatchID    `json:"dispatch_id"`
	HandOver      HandOverID    `json:"delivery_id"`
	Configuration DeliveryID    `json:"delivery_configuration_id"`
	Destination   DestinationID `json:"destination_id"`
	Attempts      int           `json:"attempts"`
	Reason        string        `json:"reason"`
}

// disabledDestination is the data of a destination that was disabled.
type disabledDestination struct {
	Configuration DeliveryID    `json:"delivery_configuration_id"`
	Destination   DestinationID `json:"destination_id"`
	Reason        string        `json:"reason"`
	Exhausted     int           `json:"failed_dispatches"`
	FailingSince  *time.Time    `json:"failing_since,omitempty"`
}

// recoveredDestination is the data of a destination that recovered.
type recoveredDestination struct {
	Configuration DeliveryID    `json:"delivery_configuration_id"`
	Destination   DestinationID `json:"destination_id"`
	FailingSince  time.Time     `json:"failing_since"`
}

// PayloadOf returns the body of the webhooks that tell of an event, which was recorded at a time: a
// function of these alone. It fails for events that no webhook tells of.
func PayloadOf(event Event, recordedAt time.Time) ([]byte, error) {
	n := notice{Timestamp: stamp(recordedAt)}
	switch e := event.(type) {
	case CompanyQualified:
		return e.Payload(recordedAt)
	case DispatchFailed:
		n.Event, n.Data = OnDispatchFailed, failedDispatch{e.Dispatch, e.HandOver, e.Delivery, e.Destination, e.Attempts, e.Error}
	case DestinationDisabled:
		n.Event, n.Data = OnDestinationDisabled, disabledDestination{e.Delivery, e.Destination, e.Reason, e.Exhausted, e.FailingSince}
	case DestinationRecovered:
		n.Event, n.Data = OnDestinationRecovered, recoveredDestination{e.Delivery, e.Destination, e.FailingSince}
	default:
		return nil, fmt.Errorf("write payload: no webhook tells of %T", event)
	}
	return marshal(n)
}

// marshal returns v in JSON, as it is sent: "Revenue > $10M" stays as it is.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write payload: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// stamp returns a time as webhooks tell it.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05Z") }

// subscription returns events in their order, empty when they are what a destination has that says
// nothing.
func subscription(events []WebhookEvent) []WebhookEvent {
	if len(events) == 0 || slices.Equal(events, []WebhookEvent{OnCompanyQualified}) {
		return nil
	}
	events = slices.Clone(events)
	slices.Sort(events)
	return events
}

// checkEvents notes events that cannot be subscribed to. They are in order.
func (f *faults) checkEvents(events []WebhookEvent) {
	for i, event := range events {
		switch {
		case !slices.Contains(webhookEvents, event):
			f.add("events", event, "must be of %v", webhookEvents)
		case i > 0 && events[i-1] == event:
			f.add("events", event, "is given twice")
		}
	}
}
