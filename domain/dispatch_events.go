package domain

import "time"

// AttemptSucceeded records an attempt that the destination answered with 2xx. The
// dispatch is delivered.
type AttemptSucceeded struct {
	Attempt
	Owed *time.Time `json:"owed_since,omitempty"` // when the dispatch first came due; absent: not known, or it was attempted before it was asked to be retried
}

// AttemptFailed records an attempt that came to nothing.
type AttemptFailed struct {
	Attempt
	Error string     `json:"error"`         // why, for people
	Due   *time.Time `json:"due,omitempty"` // of the next attempt; absent: there is none
}

// DispatchFailed ends a dispatch whose attempts are spent, or whose destination wants no
// more.
type DispatchFailed struct {
	Dispatch    DispatchID    `json:"dispatch"`
	Delivery    DeliveryID    `json:"delivery"`
	Destination DestinationID `json:"destination"`
	Attempts    int           `json:"attempts"`
	HandOver    HandOverID    `json:"hand_over,omitempty"` // absent: of an operational event, or recorded before it was told
	Event       WebhookEvent  `json:"event,omitempty"`     // operational, that it was to tell of; absent: it was of a hand-over
	Error       string        `json:"error,omitempty"`     // of the last attempt; absent: recorded before it was told
}

// DispatchCancelled ends a dispatch whose destination went away while it was under way.
type DispatchCancelled struct {
	Dispatch    DispatchID    `json:"dispatch"`
	Delivery    DeliveryID    `json:"delivery"`
	Destination DestinationID `json:"destination"`
	Reason      string        `json:"reason"`
}

// DispatchRetried makes a dispatch due at once, whether it had ended or not, and begins its
// schedule of retries anew.
type DispatchRetried struct {
	Dispatch    DispatchID    `json:"dispatch"`
	Delivery    DeliveryID    `json:"delivery"`
	Destination DestinationID `json:"destination"`
	Attempts    int           `json:"attempts"`         // made before
	Replay      ReplayID      `json:"replay,omitempty"` // the job that asked; absent: somebody asked for this one
}

// Attempt is what is known of one HTTP request to a destination.
type Attempt struct {
	Dispatch        DispatchID        `json:"dispatch"`
	HandOver        HandOverID        `json:"hand_over,omitempty"` // absent: of an operational event
	Event           WebhookEvent      `json:"event,omitempty"`     // operational, that it told of; absent: it was of a hand-over
	Delivery        DeliveryID        `json:"delivery"`
	Destination     DestinationID     `json:"destination"`
	Config          int64             `json:"config"` // version of the delivery's stream that set the destination
	Number          int               `json:"attempt"`
	StartedAt       time.Time         `json:"started_at"`
	Microseconds    int64             `json:"duration_us"`
	RequestHeaders  map[string]string `json:"request_headers,omitempty"` // redacted where they hold a secret
	Status          int               `json:"status,omitempty"`          // 0: no answer
	ResponseHeaders map[string]string `json:"response_headers,omitempty"`
	ResponseBody    string            `json:"response_body,omitempty"` // its first KiB
	Organisation    OrganisationID    `json:"organisation,omitempty"`  // absent: recorded before it was told
	Key             int64             `json:"key,omitempty"`           // under which the body is sealed; absent: it is in the clear
}

// AttemptSucceededV1 is an [AttemptSucceeded] as it was recorded before answers were sealed.
type AttemptSucceededV1 struct {
	AttemptV1
	Owed *time.Time `json:"owed_since,omitempty"` // when the dispatch first came due; absent: not known, or it was attempted before it was asked to be retried
}

// AttemptFailedV1 is an [AttemptFailed] as it was recorded before answers were sealed.
type AttemptFailedV1 struct {
	AttemptV1
	Error string     `json:"error"`         // why, for people
	Due   *time.Time `json:"due,omitempty"` // of the next attempt; absent: there is none
}

// AttemptV1 is an [Attempt] as it was recorded before answers were sealed.
type AttemptV1 struct {
	Dispatch        DispatchID        `json:"dispatch"`
	HandOver        HandOverID        `json:"hand_over,omitempty"` // absent: of an operational event
	Event           WebhookEvent      `json:"event,omitempty"`     // operational, that it told of; absent: it was of a hand-over
	Delivery        DeliveryID        `json:"delivery"`
	Destination     DestinationID     `json:"destination"`
	Config          int64             `json:"config"` // version of the delivery's stream that set the destination
	Number          int               `json:"attempt"`
	StartedAt       time.Time         `json:"started_at"`
	Microseconds    int64             `json:"duration_us"`
	RequestHeaders  map[string]string `json:"request_headers,omitempty"` // redacted where they hold a secret
	Status          int               `json:"status,omitempty"`          // 0: no answer
	ResponseHeaders map[string]string `json:"response_headers,omitempty"`
	ResponseBody    string            `json:"response_body,omitempty"` // its first KiB
}

// Upcast returns the event in the clear.
func (e AttemptSucceededV1) Upcast() any {
	return AttemptSucceeded{Attempt: e.AttemptV1.upcast(), Owed: e.Owed}
}

// Upcast returns the event in the clear.
func (e AttemptFailedV1) Upcast() any {
	return AttemptFailed{Attempt: e.AttemptV1.upcast(), Error: e.Error, Due: e.Due}
}

// upcast returns the attempt in the clear.
func (a AttemptV1) upcast() Attempt {
	return Attempt{
		Dispatch: a.Dispatch, HandOver: a.HandOver, Event: a.Event, Delivery: a.Delivery, Destination: a.Destination, Config: a.Config, Number: a.Number,
		StartedAt: a.StartedAt, Microseconds: a.Microseconds, RequestHeaders: a.RequestHeaders, Status: a.Status, ResponseHeaders: a.ResponseHeaders,
		ResponseBody: a.ResponseBody,
	}
}

// Former returns what was recorded before.
func (AttemptSucceeded) Former() []Former { return []Former{AttemptSucceededV1{}} }

// Former returns what was recorded before.
func (AttemptFailed) Former() []Former { return []Former{AttemptFailedV1{}} }

// EventType returns the event's name in storage.
func (AttemptSucceeded) EventType() string { return "attempt.succeeded" }

// EventType returns the event's name in storage.
func (AttemptFailed) EventType() string { return "attempt.failed" }

// EventType returns the event's name in storage.
func (DispatchFailed) EventType() string { return "dispatch.failed" }

// EventType returns the event's name in storage.
func (DispatchCancelled) EventType() string { return "dispatch.cancelled" }

// EventType returns the event's name in storage.
func (DispatchRetried) EventType() string { return "dispatch.retried" }

func (AttemptSucceeded) event()  {}
func (AttemptFailed) event()     {}
func (DispatchFailed) event()    {}
func (DispatchCancelled) event() {}
func (DispatchRetried) event()   {}
