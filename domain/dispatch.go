package domain

import (
	"slices"
	"time"
)

// A DispatchStatus says how far a dispatch has come.
type DispatchStatus string

// The statuses of a dispatch. Held is one of an owed dispatch whose delivery is paused
// or whose destination is disabled; no event sets it.
const (
	Pending   DispatchStatus = "pending"
	Retrying  DispatchStatus = "retrying"
	Held      DispatchStatus = "held"
	Delivered DispatchStatus = "delivered"
	Failed    DispatchStatus = "failed"
	Cancelled DispatchStatus = "cancelled"
)

// statusGone is what a destination answers that wants nothing more (RFC 9110, section
// 15.5.11).
const statusGone = 410

// Dispatch is what the events of one dispatch add up to. The zero Dispatch was not
// attempted yet.
type Dispatch struct {
	Attempts int            // made so far
	Base     int            // of those, made before it was last asked to be retried: retries count from here
	Status   DispatchStatus // empty: Pending since its hand-over, and not asked to be retried
	Replay   ReplayID       // of the job that asked last; empty: none did
}

// DispatchStream names the stream that holds the dispatch's events.
func DispatchStream(id DispatchID) string { return "dispatch/" + string(id) }

// Settled reports whether no attempt is owed any more.
func (d Dispatch) Settled() bool {
	return d.Status == Delivered || d.Status == Failed || d.Status == Cancelled
}

// Evolve returns the dispatch after event. Events of other streams leave it unchanged. One that was cancelled with
// its destination while an attempt was under way stays so, unless the attempt succeeded.
func (d Dispatch) Evolve(event Event) Dispatch {
	switch e := event.(type) {
	case AttemptSucceeded:
		d.Attempts, d.Status = e.Number, Delivered
	case AttemptFailed:
		d.Attempts = e.Number
		if d.Status != Cancelled {
			d.Status = Retrying
		}
	case DispatchFailed:
		if d.Status != Cancelled {
			d.Status = Failed
		}
	case DispatchCancelled:
		d.Status = Cancelled
	case DispatchRetried:
		d.Base, d.Status, d.Replay = e.Attempts, Pending, e.Replay
	case DispatchBackfilled:
		d.Status, d.Replay = Pending, e.Replay
	}
	return d
}

// Abandoned returns the dispatch once its destination, or delivery, was removed: what is owed is cancelled. The
// dispatch's own events do not say so.
func (d Dispatch) Abandoned() Dispatch {
	if !d.Settled() {
		d.Status = Cancelled
	}
	return d
}

// StatusOf returns the status of a hand-over whose dispatches have these: what is still under way comes first, then
// what went wrong. Where there is no dispatch nothing is pushed, and it is Delivered.
func StatusOf(dispatches []DispatchStatus) DispatchStatus {
	for _, status := range []DispatchStatus{Retrying, Pending, Held, Failed, Delivered, Cancelled} {
		if slices.Contains(dispatches, status) {
			return status
		}
	}
	return Delivered
}

// RecordAttempt enters the outcome of an attempt. An outcome entered already, or one
// that comes after the dispatch was settled by another worker, records nothing.
type RecordAttempt struct {
	Attempt    Attempt
	Error      string        // why it failed; empty: it succeeded
	RetryAfter time.Duration // asked for by the destination; 0: not
	Retries    RetrySchedule
	Owed       *time.Time // when the dispatch first came due; nil: not known
}

// Stream names the stream the command is about.
func (c RecordAttempt) Stream() string { return DispatchStream(c.Attempt.Dispatch) }

// Decide returns what the attempt's outcome adds to d. After a failure the next attempt
// is due when the schedule says, or later if the destination asked for that, by 24 h at
// most; 410 Gone asks for none (contract, section 7). The schedule begins anew where the
// dispatch was asked to be retried; how long it took to deliver then means nothing.
func (c RecordAttempt) Decide(d Dispatch, now time.Time) ([]Event, error) {
	if d.Settled() || c.Attempt.Number <= d.Attempts {
		return nil, nil
	}
	if c.Error == "" {
		succeeded := AttemptSucceeded{Attempt: c.Attempt, Owed: c.Owed}
		if d.Base > 0 { // it was ended, and owed anew
			succeeded.Owed = nil
		}
		return []Event{succeeded}, nil
	}

	failed := AttemptFailed{Attempt: c.Attempt, Error: c.Error}
	wait, ok := c.Retries.After(c.Attempt.Number - d.Base)
	if !ok || c.Attempt.Status == statusGone {
		return []Event{failed, DispatchFailed{
			Dispatch: c.Attempt.Dispatch, Delivery: c.Attempt.Delivery, Destination: c.Attempt.Destination,
			Attempts: c.Attempt.Number, HandOver: c.Attempt.HandOver, Event: c.Attempt.Event, Error: c.Error,
		}}, nil
	}
	due := now.Add(max(wait, min(c.RetryAfter, maxRetryAfter)))
	failed.Due = &due
	return []Event{failed}, nil
}

// CancelDispatch ends a dispatch that can no longer be attempted.
type CancelDispatch struct {
	Dispatch    DispatchID
	Delivery    DeliveryID
	Destination DestinationID
	Reason      string
}

// Stream names the stream the command is about.
func (c CancelDispatch) Stream() string { return DispatchStream(c.Dispatch) }

// Decide returns what cancelling adds: nothing when the dispatch is settled.
func (c CancelDispatch) Decide(d Dispatch, _ time.Time) ([]Event, error) {
	if d.Settled() {
		return nil, nil
	}
	return []Event{DispatchCancelled(c)}, nil
}
