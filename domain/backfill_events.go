package domain

import "time"

// BackfillStarted begins a job that has companies dispatched to a destination that they were never owed to, such as
// those that were handed over before it was added. It is a replay: how far it is, and its end, are told by the events of one.
type BackfillStarted struct {
	Replay      ReplayID      `json:"replay"`
	Delivery    DeliveryID    `json:"delivery"`
	Destination DestinationID `json:"destination"`
	Since       *time.Time    `json:"since,omitempty"` // handed over then or later; absent: since ever
	Until       *time.Time    `json:"until,omitempty"` // handed over before; absent: before the start
	After       int64         `json:"after"`           // position before the first hand-over that is concerned
	UpTo        int64         `json:"up_to"`           // that of the last
	Count       int64         `json:"count"`           // of what was found not to be owed
}

// DispatchBackfilled makes a hand-over owed to a destination that it was not owed to. It opens the dispatch's stream.
type DispatchBackfilled struct {
	Dispatch    DispatchID    `json:"dispatch"`
	Delivery    DeliveryID    `json:"delivery"`
	Destination DestinationID `json:"destination"`
	HandOver    HandOverID    `json:"hand_over"`
	Position    int64         `json:"position"` // of the hand-over, which holds what is sent
	Replay      ReplayID      `json:"replay"`   // the job that asked
}

// EventType returns the event's name in storage.
func (BackfillStarted) EventType() string { return "backfill.started" }

// EventType returns the event's name in storage.
func (DispatchBackfilled) EventType() string { return "dispatch.backfilled" }

func (BackfillStarted) event()    {}
func (DispatchBackfilled) event() {}
