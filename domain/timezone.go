package domain

import (
	"errors"
	"slices"
	"sort"
	"strings"
	"time"
	_ "time/tzdata" // the zones, where the machine has none
)

// A Timezone is the name of a time zone in the database of IANA, such as "Europe/Berlin". Empty,
// it is UTC.
type Timezone string

// maxTimezone is the longest name of a time zone, in bytes.
const maxTimezone = 64

// errNoTimezone tells what a time zone may be.
var errNoTimezone = errors.New("must be the name of a time zone, such as Europe/Berlin")

// location returns the time zone. Names that only mean something on a machine are refused, and
// those of clocks that count leap seconds.
func (z Timezone) location() (*time.Location, error) {
	first, _, _ := strings.Cut(string(z), "/")
	if len(z) > maxTimezone || slices.Contains([]string{"Local", "localtime", "posixrules", "posix", "right"}, first) {
		return nil, errNoTimezone
	}
	zone, err := time.LoadLocation(string(z))
	if err != nil {
		return nil, errNoTimezone
	}
	return zone, nil
}

// canonical returns z as it is kept: UTC by its name is the empty one.
func (z Timezone) canonical() Timezone {
	if z == "UTC" {
		return ""
	}
	return z
}

// dateOf returns the date that t shows, as its midnight in UTC.
func dateOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// reach returns the first moment at which the clocks of zone show wall or later; wall's own zone
// has no meaning. A time that they skip is reached at the moment after the gap, one that they
// show twice the first time.
//
// It takes the clocks to change once in two days at most. It does without [time.Time.ZoneBounds],
// whose end of a zone lies before its beginning on the last days of leap years.
func reach(wall time.Time, zone *time.Location) time.Time {
	const farthest = 24 * time.Hour // of any zone from UTC
	before, after := offset(wall.Add(-farthest), zone), offset(wall.Add(farthest), zone)
	if early := wall.Add(-before); offset(early, zone) == before {
		return early
	}
	if late := wall.Add(-after); offset(late, zone) == after {
		return late
	}
	change := sort.Search(int(2*farthest/time.Second), func(seconds int) bool {
		return offset(wall.Add(time.Duration(seconds)*time.Second-farthest), zone) != before
	})
	return wall.Add(time.Duration(change)*time.Second - farthest)
}

// offset returns how far the clocks of zone are ahead of UTC.
func offset(at time.Time, zone *time.Location) time.Duration {
	_, seconds := at.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}
