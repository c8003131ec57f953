package domain

// ReplayStarted begins a job that has dispatches attempted again.
type ReplayStarted struct {
	Replay   ReplayID     `json:"replay"`
	Delivery DeliveryID   `json:"delivery"`
	Filter   ReplayFilter `json:"filter"`
	After    int64        `json:"after"` // position before the first hand-over that is concerned
	UpTo     int64        `json:"up_to"` // that of the last
	Count    int64        `json:"count"` // of what was found to be replayed
}

// ReplayAdvanced notes how far a job has come. How many dispatches it had attempted again, their own
// events tell.
type ReplayAdvanced struct {
	Replay   ReplayID    `json:"replay"`
	Delivery DeliveryID  `json:"delivery"`
	Place    ReplayPlace `json:"place"`
}

// ReplayEnded ends a job that has seen to all.
type ReplayEnded struct {
	Replay   ReplayID   `json:"replay"`
	Delivery DeliveryID `json:"delivery"`
}

// ReplayCancelled ends a job on somebody's request.
type ReplayCancelled struct {
	Replay   ReplayID   `json:"replay"`
	Delivery DeliveryID `json:"delivery"`
}

// EventType returns the event's name in storage.
func (ReplayStarted) EventType() string { return "replay.started" }

// EventType returns the event's name in storage.
func (ReplayAdvanced) EventType() string { return "replay.advanced" }

// EventType returns the event's name in storage.
func (ReplayEnded) EventType() string { return "replay.ended" }

// EventType returns the event's name in storage.
func (ReplayCancelled) EventType() string { return "replay.cancelled" }

func (ReplayStarted) event()   {}
func (ReplayAdvanced) event()  {}
func (ReplayEnded) event()     {}
func (ReplayCancelled) event() {}
