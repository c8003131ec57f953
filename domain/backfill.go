package domain

import "time"

// StartBackfill begins a job that has companies which were handed over under a delivery dispatched to a destination
// that they were never owed to, oldest hand-over first.
type StartBackfill struct {
	ID           ReplayID
	Delivery     Delivery // as it stood
	Organisation OrganisationID
	Destination  DestinationID
	Since, Until *time.Time // of the hand-overs; nil: no bound
	After, UpTo  int64      // positions that these came to
	Count        int64      // of those that were found
}

// Stream names the stream the command is about.
func (c StartBackfill) Stream() string { return ReplayStream(c.ID) }

// Decide returns what starting adds: nothing when the job was started already.
func (c StartBackfill) Decide(r Replay, _ time.Time) ([]Event, error) {
	if r.ID != "" {
		return nil, nil
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	return []Event{BackfillStarted{
		Replay: c.ID, Delivery: c.Delivery.ID, Destination: c.Destination, Since: c.Since, Until: c.Until, After: c.After, UpTo: c.UpTo, Count: c.Count,
	}}, nil
}

// Check returns why the job cannot be started, nil when it can.
func (c StartBackfill) Check() error {
	var f faults
	f.checkSpan(c.Since, c.Until)
	dst, err := c.Delivery.destination(c.Organisation, c.Delivery.ID, c.Destination)
	switch {
	case err != nil:
		return err
	case f.err() != nil:
		return f.err()
	case !dst.TakesCompanies():
		return Errorf(Conflict, "CONFLICT", "the destination %s is told of no companies", c.Destination)
	}
	return nil
}

// Backfills reports whether a back-fill of a destination may go on: the delivery still has it, and it is told of companies.
func (d Delivery) Backfills(id DestinationID) bool {
	dst, there := d.Destinations[id]
	return there && !d.Deleted && dst.TakesCompanies()
}

// BackfillDispatch makes a hand-over owed to a destination.
type BackfillDispatch struct {
	Dispatch    DispatchID
	Destination DestinationID
	HandOver    HandOverID
	Position    int64    // of the hand-over
	Delivery    Delivery // as it stood; whoever executes the command guards its version
	Replay      ReplayID
}

// Stream names the stream the command is about.
func (c BackfillDispatch) Stream() string { return DispatchStream(c.Dispatch) }

// Decide returns what it adds: nothing when something has become of the dispatch already. One that is owed since its
// hand-over, and was not attempted, has no events: whoever executes the command knows which those are.
func (c BackfillDispatch) Decide(d Dispatch, _ time.Time) ([]Event, error) {
	if !c.Delivery.Backfills(c.Destination) {
		return nil, Errorf(Conflict, "CONFLICT", "the destination %s was removed, or is told of no companies any more", c.Destination)
	}
	if d != (Dispatch{}) {
		return nil, nil
	}
	return []Event{DispatchBackfilled{
		Dispatch: c.Dispatch, Delivery: c.Delivery.ID, Destination: c.Destination, HandOver: c.HandOver, Position: c.Position, Replay: c.Replay,
	}}, nil
}
