package domain

import (
	"errors"
	"fmt"
	"math/bits"
	"regexp"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// A Schedule says when what a delivery hands over becomes due to be pushed: one of those below,
// or a cron expression of five fields.
type Schedule string

// The schedules that have a name. All but Immediate come due at the next full hour, midnight or
// Monday midnight.
const (
	Immediate Schedule = "immediate"
	Hourly    Schedule = "hourly"
	Daily     Schedule = "daily"
	Weekly    Schedule = "weekly"
)

// A Timetable is a schedule in a time zone. Days and hours are those of the zone, so that a day
// on which its clocks change has 23 hours, or 25. The times of a schedule that names hours are
// each come to once: one that the clocks skip comes at the moment after the gap, several as one,
// and one that they show twice comes the first time. Where every hour is named, time goes
// on as it passes: at each moment at which the clock shows a minute that is named.
//
// The zero Timetable is of Immediate. A Timetable is a value, safe for concurrent use.
type Timetable struct {
	schedule Schedule
	timezone Timezone
	calendar calendar
	zone     *time.Location
}

// NewTimetable returns the timetable of a schedule in a time zone; empty ones are Immediate and
// UTC. Its error is Invalid, with what is wrong with either.
func NewTimetable(schedule Schedule, timezone Timezone) (Timetable, error) {
	var f faults
	t := f.checkTimetable(schedule, timezone)
	return t, f.err()
}

// checkTimetable notes what is wrong with a schedule or a time zone, and returns their timetable.
func (f *faults) checkTimetable(schedule Schedule, timezone Timezone) Timetable {
	c, err := schedule.calendar()
	if err != nil {
		f.add("schedule", schedule, "%s", err)
	}
	zone, err := timezone.location()
	if err != nil {
		f.add("timezone", timezone, "%s", err)
	}
	return Timetable{schedule: schedule, timezone: timezone, calendar: c, zone: zone}
}

// of reports whether t is the timetable of that schedule and time zone.
func (t Timetable) of(schedule Schedule, timezone Timezone) bool {
	return t.schedule == schedule && t.timezone == timezone
}

// Next returns when something handed over at t comes due: at once for Immediate, else at the
// first time of the schedule after at. It is in UTC.
func (t Timetable) Next(at time.Time) time.Time {
	switch at = at.UTC(); {
	case t.calendar == calendar{}:
		return at
	case t.calendar.hours == everyHour:
		return t.nextElapsed(at)
	default:
		return t.nextOnClock(at)
	}
}

// nextElapsed returns the next moment at which the clock shows a minute of a named day.
func (t Timetable) nextElapsed(at time.Time) time.Time {
	for next := at.Truncate(time.Minute).Add(time.Minute); ; {
		local := next.In(t.zone)
		day := dateOf(local)
		switch soonest := next.Add(time.Minute); {
		case !t.calendar.hasDay(day):
			next = reach(t.calendar.firstDay(day), t.zone)
			if next.Before(soonest) { // the clock shows the day again
				next = soonest
			}
		case !has(t.calendar.minutes, local.Minute()):
			next = soonest
		default:
			return next
		}
	}
}

// nextOnClock returns the next time that is named, as the clock comes to it.
func (t Timetable) nextOnClock(at time.Time) time.Time {
	const lag = 2 // days, at most, by which a skipped time comes late
	for day := t.calendar.firstDay(dateOf(at.In(t.zone)).AddDate(0, 0, -lag)); ; day = t.calendar.firstDay(day.AddDate(0, 0, 1)) {
		for hours := t.calendar.hours; hours != 0; hours &= hours - 1 {
			hour := day.Add(time.Duration(bits.TrailingZeros64(hours)) * time.Hour)
			if last := 63 - bits.LeadingZeros64(t.calendar.minutes); !reach(hour.Add(time.Duration(last)*time.Minute), t.zone).After(at) {
				continue
			}
			for minutes := t.calendar.minutes; minutes != 0; minutes &= minutes - 1 {
				next := reach(hour.Add(time.Duration(bits.TrailingZeros64(minutes))*time.Minute), t.zone)
				if next.After(at) {
					return next
				}
			}
		}
	}
}

// A calendar is the times that a schedule names, each field a set of numbers, as bits. The zero
// calendar names none: it is Immediate's.
type calendar struct {
	minutes, hours, days, months, weekdays uint64
}

// Sets of all there are.
const (
	everyHour    uint64 = 1<<24 - 1
	everyDay     uint64 = 1<<32 - 1<<1
	everyMonth   uint64 = 1<<13 - 1<<1
	everyWeekday uint64 = 1<<7 - 1
)

// maxSchedule is the longest schedule, in bytes.
const maxSchedule = 200

// expression is what a cron expression is written with. The parser takes more: seconds, names such
// as @daily, and time zones of its own.
var expression = regexp.MustCompile(`^[0-9A-Za-z*,/-]+( [0-9A-Za-z*,/-]+){4}$`)

// errNoSchedule tells what a schedule may be.
var errNoSchedule = errors.New("must be immediate, hourly, daily, weekly or a cron expression of five fields, such as 30 9 * * 1-5")

// calendar returns the times that the schedule names.
func (s Schedule) calendar() (calendar, error) {
	const first uint64 = 1 << 0
	switch s {
	case Immediate, "":
		return calendar{}, nil
	case Hourly:
		return calendar{first, everyHour, everyDay, everyMonth, everyWeekday}, nil
	case Daily:
		return calendar{first, first, everyDay, everyMonth, everyWeekday}, nil
	case Weekly:
		return calendar{first, first, everyDay, everyMonth, 1 << time.Monday}, nil
	}
	if len(s) > maxSchedule || !expression.MatchString(string(s)) {
		return calendar{}, errNoSchedule
	}
	parsed, err := cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(string(s))
	spec, ok := parsed.(*cron.SpecSchedule)
	if err != nil || !ok {
		return calendar{}, fmt.Errorf("is no cron expression of five fields: %s", strings.TrimSpace(fmt.Sprint(err)))
	}
	c := calendar{
		spec.Minute & (1<<60 - 1), spec.Hour & everyHour, spec.Dom & everyDay, spec.Month & everyMonth,
		cron.NormalizeDOW(spec.Dow) & everyWeekday,
	}
	if !c.everComes() {
		return calendar{}, errors.New("must name a day that comes")
	}
	return c, nil
}

// hasDay reports whether the day is named. Of days of the month and days of the week, where both
// are restricted, either is enough, as cron has it.
func (c calendar) hasDay(day time.Time) bool {
	inMonth, inWeek := has(c.days, day.Day()), has(c.weekdays, int(day.Weekday()))
	if c.days != everyDay && c.weekdays != everyWeekday {
		return has(c.months, int(day.Month())) && (inMonth || inWeek)
	}
	return has(c.months, int(day.Month())) && inMonth && inWeek
}

// firstDay returns day, or the first one after it that is named.
func (c calendar) firstDay(day time.Time) time.Time {
	for !c.hasDay(day) {
		if has(c.months, int(day.Month())) {
			day = day.AddDate(0, 0, 1)
		} else {
			day = time.Date(day.Year(), day.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		}
	}
	return day
}

// everComes reports whether there is a day that is named: in a leap year, if at all.
func (c calendar) everComes() bool {
	const leap = 2024
	for day := time.Date(leap, time.January, 1, 0, 0, 0, 0, time.UTC); day.Year() == leap; day = day.AddDate(0, 0, 1) {
		if c.hasDay(day) {
			return true
		}
	}
	return false
}

// has reports whether n is in set.
func has(set uint64, n int) bool { return set>>n&1 == 1 }
