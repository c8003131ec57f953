package domain

import "time"

// RetryDispatch has a dispatch attempted again soon, with a schedule of retries of its own.
// One that had ended is owed again; one that still is owed is due now.
type RetryDispatch struct {
	Dispatch    DispatchID
	Destination DestinationID
	Delivery    Delivery // as it stood; whoever executes the command guards its version
	Replay      ReplayID // the job that asks, which leaves alone what is owed anyway; empty: somebody asks for this one
}

// Stream names the stream the command is about.
func (c RetryDispatch) Stream() string { return DispatchStream(c.Dispatch) }

// Decide returns what retrying adds: nothing when the dispatch has been asked to be retried and
// was not attempted since. Only one whose destination is gone is refused: removing that has
// cancelled what was owed to it, though the dispatch's own events do not say so.
func (c RetryDispatch) Decide(d Dispatch, _ time.Time) ([]Event, error) {
	if _, there := c.Delivery.Destinations[c.Destination]; !there || c.Delivery.Deleted {
		return nil, Errorf(Conflict, "CONFLICT", "the destination of dispatch %s was removed", c.Dispatch)
	}
	asked := d.Status == Pending && d.Replay == ""
	if asked || c.Replay != "" && !d.Settled() {
		return nil, nil
	}
	return []Event{DispatchRetried{
		Dispatch: c.Dispatch, Delivery: c.Delivery.ID, Destination: c.Destination, Attempts: d.Attempts, Replay: c.Replay,
	}}, nil
}
