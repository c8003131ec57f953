package domain

import "time"

// A DestinationTest is what the events of one test add up to. The zero DestinationTest was not
// made yet.
type DestinationTest struct {
	Made bool
}

// TestStream names the stream that holds a test. It is none of the delivery's: a test changes
// nothing that others decide on.
func TestStream(id TestID) string { return "test/" + string(id) }

// Evolve returns the test after event. Events of other streams leave it unchanged.
func (t DestinationTest) Evolve(event Event) DestinationTest {
	if _, ok := event.(DestinationTested); ok {
		t.Made = true
	}
	return t
}

// RecordTest enters what came of a test.
type RecordTest DestinationTested

// Stream names the stream the command is about.
func (c RecordTest) Stream() string { return TestStream(c.Test) }

// Decide returns what the test adds: nothing when it is entered already.
func (c RecordTest) Decide(t DestinationTest, _ time.Time) ([]Event, error) {
	if t.Made {
		return nil, nil
	}
	return []Event{DestinationTested(c)}, nil
}

// Tested returns the destination to which org may have a test sent, be the delivery paused or
// the destination disabled.
func (d Delivery) Tested(org OrganisationID, delivery DeliveryID, id DestinationID) (Destination, error) {
	dst, err := d.destination(org, delivery, id)
	if err == nil && dst.Type != Webhook {
		err = errNotPushed(id)
	}
	return dst, err
}
