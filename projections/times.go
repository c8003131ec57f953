package projections

import (
	"slices"
	"time"
)

// timeClasses sort durations into classes whose bounds rise by a factor of 21/19, so that a value
// that stands for a class is within 5 % of every duration in it. Class 0 is up to a millisecond,
// class n from bounds[n-1] to bounds[n]. The bounds are worked out in whole microseconds, and so
// are the same on every machine: counts by class that are stored keep their meaning.
type timeClasses struct {
	bounds []int64 // the longest duration of each class, in microseconds
}

// longestTime bounds the last class but one. What took longer is in the last.
const longestTime = 10 * 365 * 24 * time.Hour

// newTimeClasses returns the classes.
func newTimeClasses() timeClasses {
	var c timeClasses
	for bound := int64(1000); ; bound = bound * 21 / 19 {
		c.bounds = append(c.bounds, bound)
		if bound >= longestTime.Microseconds() {
			return c
		}
	}
}

// class returns the class of a duration in microseconds.
func (c timeClasses) class(us int64) int {
	n, _ := slices.BinarySearch(c.bounds, us)
	return min(n, len(c.bounds)-1)
}

// middle returns what stands for the durations of a class: no duration in it is more than 5 %
// away, or half a millisecond in the first.
func (c timeClasses) middle(n int) time.Duration {
	if n == 0 {
		return 500 * time.Microsecond
	}
	low, high := float64(c.bounds[n-1]), float64(c.bounds[n])
	return time.Duration(2 * low * high / (low + high) * float64(time.Microsecond))
}

// quantile returns a duration that q of those counted by class do not exceed, 0 when none are
// counted: the one of rank ⌈q·n⌉, as far as its class tells.
func (c timeClasses) quantile(counts []int64, percent int64) time.Duration {
	var n, seen int64
	for _, count := range counts {
		n += count
	}
	rank := (n*percent + 99) / 100
	for class, count := range counts {
		if seen += count; count > 0 && seen >= rank {
			return c.middle(class)
		}
	}
	return 0
}
