package apikey

import (
	"errors"
	"fmt"
	"slices"
)

// A Tier says how many requests an hour a key has.
type Tier string

// The tiers (contract, section 4).
const (
	Free       Tier = "free"       // 100
	Pro        Tier = "pro"        // 1,000
	Enterprise Tier = "enterprise" // a number of the key's own, or any
)

// Requests an hour of the tiers that have a number for all their keys.
const (
	freeLimit = 100
	proLimit  = 1_000
)

// Tiers returns all tiers there are.
func Tiers() []Tier { return []Tier{Free, Pro, Enterprise} }

// Limit returns how many requests an hour the key has, and false when it has any number.
func (k Key) Limit() (int64, bool) {
	switch {
	case k.Tier == Free:
		return freeLimit, true
	case k.Tier == Pro:
		return proLimit, true
	case k.LimitPerHour != nil:
		return *k.LimitPerHour, true
	}
	return 0, false
}

// check returns what is wrong with a key of the tier that has that limit of its own.
func (t Tier) check(limit *int64) error {
	switch {
	case !slices.Contains(Tiers(), t):
		return fmt.Errorf("there is no tier %q", t)
	case limit != nil && t != Enterprise:
		return fmt.Errorf("only a key of the tier %s has a limit of its own", Enterprise)
	case limit != nil && *limit < 1:
		return errors.New("a limit is at least 1 request an hour")
	}
	return nil
}
