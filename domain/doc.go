// Package domain is the delivery ledger's vocabulary and its rules.
//
// A [Delivery] says where the companies that qualify for a customer go: it has
// destinations. One company delivered under one delivery is a [HandOver]. What a
// hand-over owes to one webhook destination is a [Dispatch]; it is attempted until the
// destination answers 2xx or the attempts are spent.
//
// All that happens is an [Event]. A state is what a stream of events adds up to: its
// zero value, changed by Evolve for each event. A command is a struct that names its
// stream and decides, from a state, which events to add.
//
// Everything here is pure: no I/O and no clock; time comes in as an argument. A rule
// may be run twice, since a writer that lost a race decides again.
//
// # Why
//
// No event says that a dispatch was scheduled. What is owed follows from a hand-over
// and from the destinations that stood at its position in the log; an event would only
// say so again. For the same reason nothing says that a dispatch is held: its delivery
// is paused, or its destination disabled.
package domain
