package domain

import "time"

// A RequalificationStatus says how far a requalification has come.
type RequalificationStatus string

// The statuses of a requalification.
const (
	RequalificationRunning   RequalificationStatus = "running"
	RequalificationDone      RequalificationStatus = "ended"
	RequalificationStopped   RequalificationStatus = "stopped" // by an obstacle
	RequalificationCalledOff RequalificationStatus = "cancelled"
)

// An Obstacle is why a requalification cannot go on. The empty Obstacle is none.
type Obstacle string

// The obstacles.
const (
	RulesChanged   Obstacle = "rules_changed" // those that it began with are not in force any more
	DeliveryIsGone Obstacle = "delivery_deleted"
)

// A RequalificationFilter says which of a delivery's companies are judged again: those whose last
// judgement, as of when the job was started, was that they do not qualify.
type RequalificationFilter struct {
	Since *time.Time `json:"since,omitempty"` // judged then or later
	Until *time.Time `json:"until,omitempty"` // judged before
}

// Check returns an Invalid error with all that is wrong with the filter.
func (r RequalificationFilter) Check() error {
	var f faults
	f.checkSpan(r.Since, r.Until)
	return f.err()
}

// Requalification is what the events of one job add up to. The zero Requalification was never started.
type Requalification struct {
	ID       RequalificationID
	Delivery DeliveryID
	Status   RequalificationStatus
	Filter   RequalificationFilter
	Profile  int64
	UpTo     int64 // where the log ended when the job was started
	Progress RequalificationProgress
}

// RequalificationProgress says how far a requalification has come, and what came of it. A company is
// looked at once, at its last disqualification; one that was handed over meanwhile is counted nowhere.
type RequalificationProgress struct {
	Number       int64 `json:"number"` // of the last disqualification that was looked at, among the delivery's
	Seen         int64 `json:"seen"`   // disqualifications that were looked at
	Qualified    int64 `json:"qualified"`
	Disqualified int64 `json:"disqualified"` // by the rules, still
	Excluded     int64 `json:"excluded"`
}

// Evaluated returns how many companies were judged.
func (p RequalificationProgress) Evaluated() int64 { return p.Qualified + p.Disqualified + p.Excluded }

// With returns the progress after a company was judged, which is then in that state.
func (p RequalificationProgress) With(h HandOver) RequalificationProgress {
	switch {
	case h.ID != "":
		p.Qualified++
	case h.Disqualified.Excluded != nil:
		p.Excluded++
	default:
		p.Disqualified++
	}
	return p
}

// RequalificationStream names the stream that holds the job's events.
func RequalificationStream(id RequalificationID) string { return "requalification/" + string(id) }

// Evolve returns the job after event. Events of other streams leave it unchanged.
func (r Requalification) Evolve(event Event) Requalification {
	switch e := event.(type) {
	case RequalificationStarted:
		return Requalification{
			ID: e.Requalification, Delivery: e.Delivery, Status: RequalificationRunning, Filter: e.Filter, Profile: e.Profile, UpTo: e.UpTo,
		}
	case RequalificationAdvanced:
		r.Progress = e.Progress
	case RequalificationEnded:
		r.Status = e.Status()
	case RequalificationCancelled:
		r.Status = RequalificationCalledOff
	}
	return r
}

// Status returns that of the job from then on.
func (e RequalificationEnded) Status() RequalificationStatus {
	if e.Obstacle != "" {
		return RequalificationStopped
	}
	return RequalificationDone
}

// Obstacle returns what keeps the job from going on under the delivery d.
func (r Requalification) Obstacle(d Delivery) Obstacle {
	switch {
	case d.Deleted:
		return DeliveryIsGone
	case d.Profile.Version != r.Profile:
		return RulesChanged
	}
	return ""
}

// StartRequalification begins a job that judges the companies again that a delivery's rules, or what its
// organisation excludes, have kept from being handed over. It goes by the rules as they are then.
type StartRequalification struct {
	ID       RequalificationID
	Delivery Delivery // as it stood: where its rules have changed since, the job stops at once
	Filter   RequalificationFilter
	UpTo     int64 // where the log ends
	Count    int64 // of disqualifications that were found
}

// Stream names the stream the command is about.
func (c StartRequalification) Stream() string { return RequalificationStream(c.ID) }

// Decide returns what starting adds: nothing when the job was started already.
func (c StartRequalification) Decide(r Requalification, _ time.Time) ([]Event, error) {
	if r.ID != "" {
		return nil, nil
	}
	if !c.Delivery.Judges() {
		return nil, ErrNoRules(string(c.Delivery.ID))
	}
	if err := c.Filter.Check(); err != nil {
		return nil, err
	}
	return []Event{RequalificationStarted{
		Requalification: c.ID, Delivery: c.Delivery.ID, Filter: c.Filter, Profile: c.Delivery.Profile.Version, UpTo: c.UpTo, Count: c.Count,
	}}, nil
}

// AdvanceRequalification notes what came of all up to a place. It is also taken of a job that was cancelled
// in the middle of that: what was handed over by then counts.
type AdvanceRequalification struct {
	ID       RequalificationID
	Progress RequalificationProgress
}

// Stream names the stream the command is about.
func (c AdvanceRequalification) Stream() string { return RequalificationStream(c.ID) }

// Decide returns what the progress adds: nothing when there is no job, or it is there already.
func (c AdvanceRequalification) Decide(r Requalification, _ time.Time) ([]Event, error) {
	if r.ID == "" || c.Progress.Number <= r.Progress.Number {
		return nil, nil
	}
	return []Event{RequalificationAdvanced{Requalification: c.ID, Delivery: r.Delivery, Progress: c.Progress}}, nil
}

// EndRequalification notes that nothing is left to judge again, or what keeps the job from going on.
type EndRequalification struct {
	ID       RequalificationID
	Obstacle Obstacle
}

// Stream names the stream the command is about.
func (c EndRequalification) Stream() string { return RequalificationStream(c.ID) }

// Decide returns what the end adds: nothing when the job does not run.
func (c EndRequalification) Decide(r Requalification, _ time.Time) ([]Event, error) {
	if r.Status != RequalificationRunning {
		return nil, nil
	}
	return []Event{RequalificationEnded{Requalification: c.ID, Delivery: r.Delivery, Obstacle: c.Obstacle}}, nil
}

// CancelRequalification ends a job early. What it had handed over by then stays handed over.
type CancelRequalification struct {
	ID       RequalificationID
	Delivery DeliveryID
}

// Stream names the stream the command is about.
func (c CancelRequalification) Stream() string { return RequalificationStream(c.ID) }

// Decide returns what cancelling adds: nothing when the job is cancelled already.
func (c CancelRequalification) Decide(r Requalification, _ time.Time) ([]Event, error) {
	switch {
	case r.ID == "" || r.Delivery != c.Delivery:
		return nil, ErrNoRequalification(c.ID)
	case r.Status == RequalificationCalledOff:
		return nil, nil
	case r.Status != RequalificationRunning:
		return nil, Errorf(Conflict, "CONFLICT", "requalification %s has ended", c.ID)
	}
	return []Event{RequalificationCancelled{Requalification: c.ID, Delivery: c.Delivery}}, nil
}

// ErrNoRequalification returns what is said of a job that is not there.
func ErrNoRequalification(id RequalificationID) error {
	return Errorf(NotFound, "ENTITY_NOT_FOUND", "there is no requalification %s", id)
}
