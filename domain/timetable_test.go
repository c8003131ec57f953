package domain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

// timetable returns one that is valid.
func timetable(t require.TestingT, schedule domain.Schedule, timezone domain.Timezone) domain.Timetable {
	table, err := domain.NewTimetable(schedule, timezone)
	require.NoError(t, err)
	return table
}

func TestScheduleNext(t *testing.T) {
	t.Parallel()
	const (
		immediate = domain.Immediate
		hourly    = domain.Hourly
		daily     = domain.Daily
		weekly    = domain.Weekly
	)
	for _, c := range []struct {
		schedule   domain.Schedule
		from, next string
	}{
		{immediate, "2026-03-04T09:30:00Z", "2026-03-04T09:30:00Z"},
		{immediate, "2026-03-04T09:30:00.000001Z", "2026-03-04T09:30:00.000001Z"},
		{immediate, "2026-03-04T09:30:00+05:30", "2026-03-04T04:00:00Z"},

		{hourly, "2026-03-04T09:30:00Z", "2026-03-04T10:00:00Z"},
		{hourly, "2026-03-04T09:59:59.999999999Z", "2026-03-04T10:00:00Z"},
		{hourly, "2026-03-04T10:00:00Z", "2026-03-04T11:00:00Z"},
		{hourly, "2026-12-31T23:00:00.000000001Z", "2027-01-01T00:00:00Z"},
		{hourly, "2026-03-04T09:30:00+05:30", "2026-03-04T05:00:00Z"}, // 04:00 UTC
		{hourly, "2026-03-04T09:20:00+05:45", "2026-03-04T04:00:00Z"}, // 03:35 UTC

		{daily, "2026-03-04T09:30:00Z", "2026-03-05T00:00:00Z"},
		{daily, "2026-03-04T23:59:59.999999999Z", "2026-03-05T00:00:00Z"},
		{daily, "2026-03-05T00:00:00Z", "2026-03-06T00:00:00Z"},
		{daily, "2028-02-28T12:00:00Z", "2028-02-29T00:00:00Z"},
		{daily, "2026-12-31T12:00:00Z", "2027-01-01T00:00:00Z"},
		{daily, "2026-03-04T23:30:00-08:00", "2026-03-06T00:00:00Z"}, // the 5th, 07:30 UTC
		{daily, "2026-03-05T01:00:00+13:00", "2026-03-05T00:00:00Z"}, // the 4th, 12:00 UTC

		{weekly, "2026-03-04T09:30:00Z", "2026-03-09T00:00:00Z"},           // Wednesday
		{weekly, "2026-03-08T23:59:59.999999999Z", "2026-03-09T00:00:00Z"}, // Sunday
		{weekly, "2026-03-09T00:00:00Z", "2026-03-16T00:00:00Z"},           // Monday
		{weekly, "2026-03-09T00:00:00.000000001Z", "2026-03-16T00:00:00Z"},
		{weekly, "2026-12-30T12:00:00Z", "2027-01-04T00:00:00Z"},
		{weekly, "2026-03-09T08:00:00+09:00", "2026-03-09T00:00:00Z"}, // still Sunday in UTC
		{weekly, "2026-03-08T20:00:00-05:00", "2026-03-16T00:00:00Z"}, // Monday already
	} {
		from, err := time.Parse(time.RFC3339Nano, c.from)
		require.NoError(t, err)
		require.Equal(t, c.next, timetable(t, c.schedule, "").Next(from).Format(time.RFC3339Nano), "%s from %s", c.schedule, c.from)
	}
}

// Whatever the time: the next one is later, by a period at most, and the same for all
// that is handed over until then, in whatever zone the clock is.
func TestScheduleNextIsTheFirstAfter(t *testing.T) {
	t.Parallel()
	periods := map[domain.Schedule]time.Duration{
		domain.Hourly: time.Hour, domain.Daily: 24 * time.Hour, domain.Weekly: 7 * 24 * time.Hour,
	}
	rapid.Check(t, func(t *rapid.T) {
		schedule := rapid.SampledFrom([]domain.Schedule{domain.Hourly, domain.Daily, domain.Weekly}).Draw(t, "schedule")
		from := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "second"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanosecond"))
		zone := time.FixedZone("", rapid.IntRange(-14*3600, 14*3600).Draw(t, "offset"))

		table := timetable(t, schedule, "")
		next := table.Next(from.In(zone))
		wait := next.Sub(from)
		require.Positive(t, wait)
		require.LessOrEqual(t, wait, periods[schedule])
		between := from.Add(time.Duration(rapid.Int64Range(0, int64(wait)-1).Draw(t, "between")))
		require.Equal(t, next, table.Next(between))
		require.Equal(t, next.Add(periods[schedule]), table.Next(next))
	})
}

// The clocks of Berlin go from 2:00 to 3:00 on 29 March 2026, and from 3:00 to 2:00 on 25 October.
func TestTimetableWhereClocksChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		schedule domain.Schedule
		timezone domain.Timezone
		runs     string // the first is the time before
	}{
		{"30 9 * * *", "Europe/Berlin", "03-27T10:00 03-28T09:30 03-29T09:30 03-30T09:30"},
		{"30 2 * * *", "Europe/Berlin", "03-28T00:00 03-28T02:30 03-29T03:00 03-30T02:30"},
		{"0 3 * * *", "Europe/Berlin", "03-28T03:00 03-29T03:00 03-30T03:00"},
		{"15,30,45 2 * * *", "Europe/Berlin", "03-28T02:30 03-28T02:45 03-29T03:00 03-30T02:15"},
		{"30 2,3 * * *", "Europe/Berlin", "03-28T03:30 03-29T03:00 03-29T03:30 03-30T02:30"},
		{"30 2 * * *", "Europe/Berlin", "10-24T02:30 10-25T02:30 10-26T02:30"},
		{"*/30 2 * * *", "Europe/Berlin", "10-24T02:30 10-25T02:00 10-25T02:30 10-26T02:00"},
		{"0 */2 * * *", "Europe/Berlin", "03-29T00:00 03-29T03:00 03-29T04:00 03-29T06:00"},
		{"0 * * * *", "Europe/Berlin", "03-29T01:00 03-29T03:00 03-29T04:00"},
		{"0 * * * *", "Europe/Berlin", "10-25T01:00 10-25T02:00 10-25T02:00+01 10-25T03:00"},
		{"hourly", "Europe/Berlin", "10-25T01:00 10-25T02:00 10-25T02:00+01 10-25T03:00"},
		{"*/20 * * * *", "Europe/Berlin", "03-29T01:40 03-29T03:00 03-29T03:20"},
		{"*/20 * * * *", "Europe/Berlin", "10-25T02:40 10-25T02:00+01 10-25T02:20+01 10-25T02:40+01 10-25T03:00"},
		{"daily", "Europe/Berlin", "03-28T00:00 03-29T00:00 03-30T00:00"},
		{"weekly", "Europe/Berlin", "03-23T00:00 03-30T00:00 04-06T00:00"},
		{"daily", "Africa/Cairo", "04-23T00:00 04-24T01:00 04-25T00:00"},    // skips midnight
		{"daily", "America/Havana", "10-31T00:00 11-01T00:00 11-02T00:00"},  // shows it twice
		{"0 * * * 0", "Asia/Beirut", "10-24T12:00 10-25T00:00 10-25T01:00"}, // shows Saturday's end twice
		{"*/30 * * * 6", "Asia/Beirut", "10-24T23:30 10-24T23:00+02 10-24T23:30+02 10-31T00:00"},
		{"0 9 * * 1-5", "Asia/Kolkata", "03-06T09:00 03-09T09:00 03-10T09:00"},
		{"0 9 29 2 *", "Asia/Kathmandu", "03-06T09:00 2028-02-29T09:00 2032-02-29T09:00"},
		{"0 12 13 * 5", "UTC", "02-13T13:00 02-20T12:00 02-27T12:00 03-06T12:00 03-13T12:00 03-20T12:00"},
		{"0 12 13 * 7", "UTC", "03-08T12:00 03-13T12:00 03-15T12:00"},
		{"0 0 1 JAN,jul *", "UTC", "03-08T12:00 07-01T00:00 2027-01-01T00:00"},
	} {
		table := timetable(t, c.schedule, c.timezone)
		zone, err := time.LoadLocation(string(c.timezone))
		require.NoError(t, err)
		var before time.Time
		for i, run := range strings.Fields(c.runs) {
			want := onClock(t, run, zone)
			if i > 0 {
				require.Equal(t, want.UTC(), table.Next(before), "%s in %s after %s", c.schedule, c.timezone, before.In(zone))
			}
			before = want
		}
	}
}

// onClock returns the moment that zone's clock shows as text; where it shows it twice, the first, unless
// text ends in the offset of the second.
func onClock(t *testing.T, text string, zone *time.Location) time.Time {
	t.Helper()
	if strings.Count(text, "-") == 1 {
		text = "2026-" + text
	}
	text, second, again := strings.Cut(text, "+")
	if again {
		at, err := time.Parse("2006-01-02T15:04Z07", text+"+"+second)
		require.NoError(t, err)
		require.Equal(t, text, at.In(zone).Format("2006-01-02T15:04"))
		return at
	}
	at, err := time.ParseInLocation("2006-01-02T15:04", text, zone)
	require.NoError(t, err)
	if earlier := at.Add(-time.Hour); earlier.In(zone).Format("15:04") == at.Format("15:04") {
		return earlier
	}
	return at
}

// changing are zones whose clocks change: by an hour, half of one, at midnight, twice for Ramadan,
// or by a day.
var changing = []domain.Timezone{
	"", "Europe/Berlin", "Europe/London", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "America/Havana",
	"America/Scoresbysund", "America/Nuuk", "America/Caracas", "Africa/Cairo", "Africa/Casablanca", "Asia/Beirut", "Asia/Tehran",
	"Asia/Pyongyang", "Australia/Lord_Howe", "Antarctica/Troll", "Pacific/Apia", "Pacific/Chatham",
}

// aMoment draws one, most often near a change of the zone's clocks.
func aMoment(t *rapid.T, zone *time.Location) time.Time {
	at := time.Unix(rapid.Int64Range(3e8, 2.2e9).Draw(t, "second"), 0).In(zone)
	if _, change := at.ZoneBounds(); !change.IsZero() && rapid.IntRange(0, 4).Draw(t, "near a change") > 0 {
		at = change.Add(time.Duration(rapid.IntRange(-30*60, 30*60).Draw(t, "minutes from it")) * time.Minute)
	}
	return at.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)-1).Draw(t, "nanoseconds"))).In(zone)
}

// A plain reference goes by minutes. Of hours that are named, each time that the clock comes to for the first
// time counts, and those that it skips on the way; else each minute that it shows.
func TestTimetableIsAsAClockThatIsWatched(t *testing.T) {
	t.Parallel()
	field := func(values ...string) *rapid.Generator[string] { return rapid.SampledFrom(values) }
	rapid.Check(t, func(t *rapid.T) {
		timezone := rapid.SampledFrom(changing).Draw(t, "zone")
		zone, err := time.LoadLocation(string(timezone))
		require.NoError(t, err)
		minute := field("0", "30", "*/5", "59", "*", "10-20/3", "7,41").Draw(t, "minute")
		hour := field("*", "0", "2", "23", "*/2", "1-3", "0,1,2,3", "22-2").Draw(t, "hour")
		week := field("*", "0", "1-5", "6,7", "sun").Draw(t, "day of week")
		table := timetable(t, domain.Schedule(minute+" "+hour+" * * "+week), timezone)
		days := timetable(t, domain.Schedule(minute+" "+hour+" * * "+week), "") // whose clock shows what is named

		at := aMoment(t, zone)
		got := table.Next(at)
		require.True(t, got.After(at))
		require.Equal(t, got, table.Next(got.Add(-1)), "up to its own moment")
		wall := func(at time.Time) time.Time {
			l := at.In(zone)
			return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC)
		}
		reached := wall(at.Add(-72 * time.Hour)) // the latest that the clock showed
		for now := at.Add(-72 * time.Hour).Truncate(time.Minute); ; now = now.Add(time.Minute) {
			shown, named := wall(now), false
			if hour == "*" {
				named = days.Next(shown.Add(-1)).Equal(shown)
			} else if shown.After(reached) {
				named = !days.Next(reached).After(shown)
			}
			if reached.Before(shown) {
				reached = shown
			}
			if named && now.After(at) {
				require.Equal(t, now.UTC(), got, "after %s", at)
				return
			}
			require.False(t, now.After(got), "%s is no time of it", got.In(zone))
		}
	})
}

// Whatever the zone and the year, a schedule of one time a day comes once for each day, and only a day that
// the clocks skip at that time comes at another.
func TestDailyScheduleComesOnceForEachDay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		timezone := rapid.SampledFrom(changing).Draw(t, "zone")
		zone, err := time.LoadLocation(string(timezone))
		require.NoError(t, err)
		hour, minute := rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute")
		table := timetable(t, domain.Schedule(time.Date(2000, 1, 1, hour, minute, 0, 0, time.UTC).Format("4 15 * * *")), timezone)
		year := rapid.IntRange(1980, 2060).Draw(t, "year")
		day := time.Date(year, 1, 1, hour, minute, 0, 0, time.UTC)
		run := table.Next(time.Date(year, 1, 1, 0, 0, 0, 0, zone).Add(-1))
		for ; day.Year() == year; day = day.AddDate(0, 0, 1) {
			shown := run.In(zone)
			if start, _ := shown.ZoneBounds(); !shown.Equal(start) {
				require.Equal(t, day.Format(time.DateTime), shown.Format(time.DateTime))
			} else {
				require.LessOrEqual(t, day.Format(time.DateTime), shown.Format(time.DateTime), "the moment after a gap")
				require.Greater(t, day.Format(time.DateTime), shown.Add(-1).Format(time.DateTime))
			}
			next := table.Next(run)
			require.True(t, next.After(run))
			run = next
		}
	})
}

func TestSchedulesAndTimezonesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schedule, timezone, fields string }{
		{"0 0 30 2 *", "", "schedule"},
		{"0 0 31 4,6,9,11 *", "", "schedule"},
		{"* * * *", "", "schedule"},
		{"* * * * * *", "", "schedule"},
		{"60 * * * *", "", "schedule"},
		{"* 24 * * *", "", "schedule"},
		{"* * 0 * *", "", "schedule"},
		{"* * * 13 *", "", "schedule"},
		{"* * * * 8", "", "schedule"},
		{"*/0 * * * *", "", "schedule"},
		{"a * * * *", "", "schedule"},
		{"@daily", "", "schedule"},
		{"TZ=UTC 0 0 * * *", "", "schedule"},
		{"CRON_TZ=Asia/Tokyo 0 0 * * *", "", "schedule"},
		{"H * * * *", "", "schedule"},
		{"0 0 L * *", "", "schedule"},
		{"0\t0 * * *", "", "schedule"},
		{" 0 0 * * *", "", "schedule"},
		{"Daily", "", "schedule"},
		{strings.Repeat("0,", 200) + "0 * * * *", "", "schedule"},
		{"daily", "Mars/Olympus", "timezone"},
		{"daily", "Local", "timezone"},
		{"daily", "localtime", "timezone"},
		{"daily", "right/Europe/Berlin", "timezone"},
		{"daily", "../etc/passwd", "timezone"},
		{"daily", "/etc/localtime", "timezone"},
		{"daily", "CEST+2", "timezone"},
		{"daily", "Europe/Berlin\x00", "timezone"},
		{"yearly", "Mars/Olympus", "schedule timezone"},
	} {
		create := domain.CreateDelivery{ID: dcf, Organisation: acme, Name: "Banks", Schedule: domain.Schedule(c.schedule), Timezone: domain.Timezone(c.timezone), Search: search}
		When(t, Given(), create).Faults(strings.Fields(c.fields)...)
	}
	_, err := domain.NewTimetable("0 0 29 2 *", "")
	require.NoError(t, err, "in leap years")
	_, err = domain.NewTimetable("0 0 30 2 1", "")
	require.NoError(t, err, "on Mondays of February")
}

func TestWhateverIsGivenForAScheduleIsRefusedOrComes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		schedule := rapid.StringMatching(`[0-9*/,A-Za-z-]{1,6}( [0-9*/,-]{1,6}){3} [0-9*/,a-z-]{1,4}`).Draw(t, "schedule")
		timezone := rapid.SampledFrom(changing).Draw(t, "zone")
		table, err := domain.NewTimetable(domain.Schedule(schedule), timezone)
		if err != nil {
			require.Equal(t, domain.Invalid, domain.KindOf(err))
			return
		}
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "second"), 0)
		next := table.Next(at)
		require.True(t, next.After(at))
		require.True(t, next.Before(at.AddDate(9, 0, 0)))
	})
}
