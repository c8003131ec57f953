package domain

// RequalificationStarted begins a job that judges recorded companies again.
type RequalificationStarted struct {
	Requalification RequalificationID     `json:"requalification"`
	Delivery        DeliveryID            `json:"delivery"`
	Filter          RequalificationFilter `json:"filter"`
	Profile         int64                 `json:"profile_version"` // that companies are judged by
	UpTo            int64                 `json:"up_to"`           // position of the last event that is looked at
	Count           int64                 `json:"count"`           // of disqualifications that were found
}

// RequalificationAdvanced notes how far a job has come.
type RequalificationAdvanced struct {
	Requalification RequalificationID       `json:"requalification"`
	Delivery        DeliveryID              `json:"delivery"`
	Progress        RequalificationProgress `json:"progress"`
}

// RequalificationEnded ends a job that has looked at all, or cannot go on.
type RequalificationEnded struct {
	Requalification RequalificationID `json:"requalification"`
	Delivery        DeliveryID        `json:"delivery"`
	Obstacle        Obstacle          `json:"obstacle,omitempty"` // why it cannot go on
}

// RequalificationCancelled ends a job on somebody's request.
type RequalificationCancelled struct {
	Requalification RequalificationID `json:"requalification"`
	Delivery        DeliveryID        `json:"delivery"`
}

// EventType returns the event's name in storage.
func (RequalificationStarted) EventType() string { return "requalification.started" }

// EventType returns the event's name in storage.
func (RequalificationAdvanced) EventType() string { return "requalification.advanced" }

// EventType returns the event's name in storage.
func (RequalificationEnded) EventType() string { return "requalification.ended" }

// EventType returns the event's name in storage.
func (RequalificationCancelled) EventType() string { return "requalification.cancelled" }

func (RequalificationStarted) event()   {}
func (RequalificationAdvanced) event()  {}
func (RequalificationEnded) event()     {}
func (RequalificationCancelled) event() {}
