package domain

import "time"

// A Recovery is what the events of a destination's recoveries add up to. The zero Recovery was from
// nothing yet.
type Recovery struct {
	FailingSince time.Time // of the last
}

// RecoveryStream names the stream that holds a destination's recoveries. It is none of the delivery's: a
// recovery changes nothing that others decide on.
func RecoveryStream(id DestinationID) string { return "recovery/" + string(id) }

// Evolve returns the recovery after event. Events of other streams leave it unchanged.
func (r Recovery) Evolve(event Event) Recovery {
	if e, ok := event.(DestinationRecovered); ok {
		r.FailingSince = e.FailingSince
	}
	return r
}

// RecordRecovery enters that a destination answers well again. What it had failed since tells one
// recovery from another.
type RecordRecovery DestinationRecovered

// Stream names the stream the command is about.
func (c RecordRecovery) Stream() string { return RecoveryStream(c.Destination) }

// Decide returns what the recovery adds: nothing when it is entered already, or a later one is.
func (c RecordRecovery) Decide(r Recovery, _ time.Time) ([]Event, error) {
	if !c.FailingSince.After(r.FailingSince) {
		return nil, nil
	}
	return []Event{DestinationRecovered(c)}, nil
}
