package domain

import (
	"slices"
	"time"
)

// A ReplayStatus says how far a replay has come.
type ReplayStatus string

// The statuses of a replay.
const (
	ReplayRunning   ReplayStatus = "running"
	ReplayDone      ReplayStatus = "ended"
	ReplayCalledOff ReplayStatus = "cancelled"
)

// A ReplayFilter says which of a delivery's dispatches are replayed: those that have ended, and to
// destinations that still are.
type ReplayFilter struct {
	Since       *time.Time     `json:"since,omitempty"`       // handed over then or later
	Until       *time.Time     `json:"until,omitempty"`       // handed over before
	Status      DispatchStatus `json:"status,omitempty"`      // empty: however they ended
	Destination DestinationID  `json:"destination,omitempty"` // empty: any
	Company     CompanyID      `json:"company,omitempty"`     // empty: any
	EndedSince  *time.Time     `json:"ended_since,omitempty"` // ended then or later, or again
}

// Check returns an Invalid error with all that is wrong with the filter of d's dispatches. What is known of the
// filter's company under d is h.
func (r ReplayFilter) Check(d Delivery, h HandOver) error {
	var f faults
	f.checkSpan(r.Since, r.Until)
	f.checkTime("ended_since", r.EndedSince)
	if !slices.Contains([]DispatchStatus{"", Delivered, Failed, Cancelled}, r.Status) {
		f.add("status", r.Status, "must be delivered, failed or cancelled: what is owed is attempted anyway")
	}
	if dst, there := d.Destinations[r.Destination]; r.Destination != "" && (!there || dst.Type != Webhook) {
		f.add("destination", r.Destination, "is no webhook of the delivery")
	}
	if r.Company != "" && h.ID == "" {
		f.add("company_id", r.Company, "was not handed over under the delivery")
	}
	return f.err()
}

// checkSpan notes what is wrong with the ends of a span of time, each of which may be open.
func (f *faults) checkSpan(since, until *time.Time) {
	f.checkTime("since", since)
	f.checkTime("until", until)
	if since != nil && until != nil && !since.Before(*until) {
		f.add("until", until.Format(time.RFC3339Nano), "must be after since")
	}
}

// checkTime notes a time that cannot be written in UTC.
func (f *faults) checkTime(field string, at *time.Time) {
	const last = 9999
	if at != nil && (at.UTC().Year() < 0 || at.UTC().Year() > last) {
		f.add(field, nil, "must be of the years 0 to %d in UTC", last)
	}
}

// Replay is what the events of one job add up to. The zero Replay was never started.
type Replay struct {
	ID       ReplayID
	Delivery DeliveryID
	Status   ReplayStatus
	Filter   ReplayFilter
	Backfill bool  // it makes hand-overs owed to the filter's destination, and has none attempted again
	After    int64 // the position that those to be replayed were handed over after
	UpTo     int64 // and the last one: where the log ended when the job was started
	Place    ReplayPlace
}

// A ReplayPlace says how far a replay has come: after the dispatch of that ID, which was handed over
// at that position. Places are in the order of positions, then of IDs.
type ReplayPlace struct {
	Position int64      `json:"position"`
	Dispatch DispatchID `json:"dispatch"`
}

// ReplayStream names the stream that holds the job's events.
func ReplayStream(id ReplayID) string { return "replay/" + string(id) }

// Evolve returns the job after event. Events of other streams leave it unchanged.
func (r Replay) Evolve(event Event) Replay {
	switch e := event.(type) {
	case ReplayStarted:
		return Replay{ID: e.Replay, Delivery: e.Delivery, Status: ReplayRunning, Filter: e.Filter, After: e.After, UpTo: e.UpTo}
	case BackfillStarted:
		return Replay{
			ID: e.Replay, Delivery: e.Delivery, Status: ReplayRunning, Backfill: true, After: e.After, UpTo: e.UpTo,
			Filter: ReplayFilter{Since: e.Since, Until: e.Until, Destination: e.Destination},
		}
	case ReplayAdvanced:
		r.Place = e.Place
	case ReplayEnded:
		r.Status = ReplayDone
	case ReplayCancelled:
		r.Status = ReplayCalledOff
	}
	return r
}

// StartReplay begins a job that has dispatches attempted again, oldest hand-over first.
type StartReplay struct {
	ID          ReplayID
	Delivery    Delivery // as it stood
	HandOver    HandOver // of the filter's company under it; zero: that names none
	Filter      ReplayFilter
	After, UpTo int64 // positions that the filter's times came to
	Count       int64 // of those that were found
}

// Stream names the stream the command is about.
func (c StartReplay) Stream() string { return ReplayStream(c.ID) }

// Decide returns what starting adds: nothing when the job was started already.
func (c StartReplay) Decide(r Replay, _ time.Time) ([]Event, error) {
	if r.ID != "" {
		return nil, nil
	}
	if err := c.Filter.Check(c.Delivery, c.HandOver); err != nil {
		return nil, err
	}
	return []Event{ReplayStarted{Replay: c.ID, Delivery: c.Delivery.ID, Filter: c.Filter, After: c.After, UpTo: c.UpTo, Count: c.Count}}, nil
}

// AdvanceReplay notes that all up to a place were seen to.
type AdvanceReplay struct {
	ID    ReplayID
	Place ReplayPlace
}

// Stream names the stream the command is about.
func (c AdvanceReplay) Stream() string { return ReplayStream(c.ID) }

// Decide returns what the progress adds: nothing when the job does not run, or is there already.
func (c AdvanceReplay) Decide(r Replay, _ time.Time) ([]Event, error) {
	there := c.Place.Position < r.Place.Position || c.Place.Position == r.Place.Position && c.Place.Dispatch <= r.Place.Dispatch
	if r.Status != ReplayRunning || there {
		return nil, nil
	}
	return []Event{ReplayAdvanced{Replay: c.ID, Delivery: r.Delivery, Place: c.Place}}, nil
}

// EndReplay notes that there is nothing left to replay.
type EndReplay struct{ ID ReplayID }

// Stream names the stream the command is about.
func (c EndReplay) Stream() string { return ReplayStream(c.ID) }

// Decide returns what the end adds: nothing when the job does not run.
func (c EndReplay) Decide(r Replay, _ time.Time) ([]Event, error) {
	if r.Status != ReplayRunning {
		return nil, nil
	}
	return []Event{ReplayEnded{Replay: c.ID, Delivery: r.Delivery}}, nil
}

// CancelReplay ends a job early. What it had attempted again by then stays owed.
type CancelReplay struct {
	ID       ReplayID
	Delivery DeliveryID
}

// Stream names the stream the command is about.
func (c CancelReplay) Stream() string { return ReplayStream(c.ID) }

// Decide returns what cancelling adds: nothing when the job is cancelled already.
func (c CancelReplay) Decide(r Replay, _ time.Time) ([]Event, error) {
	switch {
	case r.ID == "" || r.Delivery != c.Delivery:
		return nil, Errorf(NotFound, "ENTITY_NOT_FOUND", "there is no replay %s", c.ID)
	case r.Status == ReplayDone:
		return nil, Errorf(Conflict, "CONFLICT", "replay %s has ended", c.ID)
	case r.Status == ReplayCalledOff:
		return nil, nil
	}
	return []Event{ReplayCancelled{Replay: c.ID, Delivery: c.Delivery}}, nil
}
