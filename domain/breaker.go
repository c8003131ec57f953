package domain

import "time"

// The breaker of a destination opens when BreakerOpens attempts in a row came to nothing.
// Then one attempt at a time is made, a probe, each after a wait that is as long as the destination has
// failed by then, but from BreakerFirstWait to BreakerLastWait: so waits double. A probe that succeeds
// closes the breaker.
const (
	BreakerOpens     = 10
	BreakerFirstWait = time.Second
	BreakerLastWait  = 5 * time.Minute
)

// A BreakerState says what is attempted at a destination.
type BreakerState string

// The states of a breaker.
const (
	BreakerClosed   BreakerState = "closed"    // whatever is due
	BreakerOpen     BreakerState = "open"      // nothing, until the next probe
	BreakerHalfOpen BreakerState = "half_open" // a probe
)
