package domain_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
)

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
		require.Equal(t, c.next, c.schedule.Next(from).Format(time.RFC3339Nano), "%s from %s", c.schedule, c.from)
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

		next := schedule.Next(from.In(zone))
		wait := next.Sub(from)
		require.Positive(t, wait)
		require.LessOrEqual(t, wait, periods[schedule])
		between := from.Add(time.Duration(rapid.Int64Range(0, int64(wait)-1).Draw(t, "between")))
		require.Equal(t, next, schedule.Next(between))
		require.Equal(t, next.Add(periods[schedule]), schedule.Next(next))
	})
}

func TestRetryScheduleAfter(t *testing.T) {
	t.Parallel()
	s := domain.RetrySchedule{time.Second, time.Minute}
	for n, want := range map[int]time.Duration{-1: 0, 0: 0, 1: time.Second, 2: time.Minute, 3: 0} {
		wait, ok := s.After(n)
		require.Equal(t, want, wait, n)
		require.Equal(t, want != 0, ok, n)
	}
	_, ok := domain.RetrySchedule(nil).After(1)
	require.False(t, ok)
}

func TestRetryScheduleInJSON(t *testing.T) {
	t.Parallel()
	require.Equal(t, "[60,300,900,3600,21600]\n", encode(t, domain.DefaultRetries))
	require.Equal(t, "[]\n", encode(t, domain.RetrySchedule(nil)))
	require.Equal(t, "[1.5]\n", encode(t, domain.RetrySchedule{1500 * time.Millisecond}))

	for raw, want := range map[string]domain.RetrySchedule{
		`[]`:             {},
		`[60, 300]`:      {time.Minute, 5 * time.Minute},
		`[1.001, 4.35]`:  {1001 * time.Millisecond, 4350 * time.Millisecond},
		`[0, -1]`:        {0, -time.Second},
		`[8.64e4, 1e-9]`: {24 * time.Hour, 1},
	} {
		var s domain.RetrySchedule
		require.NoError(t, json.Unmarshal([]byte(raw), &s), raw)
		require.Equal(t, want, s, raw)
	}
	for _, raw := range []string{`60`, `"60"`, `["1m"]`, `{}`, `[[60]]`} {
		require.Error(t, json.Unmarshal([]byte(raw), new(domain.RetrySchedule)), raw)
	}
}

func TestRetryScheduleKeepsEveryWaitThroughJSON(t *testing.T) {
	t.Parallel()
	wait := rapid.Map(rapid.Int64Range(0, int64(24*time.Hour)), func(ns int64) time.Duration { return time.Duration(ns) })
	rapid.Check(t, func(t *rapid.T) {
		s := domain.RetrySchedule(rapid.SliceOf(wait).Draw(t, "schedule"))
		data, err := json.Marshal(s)
		require.NoError(t, err)
		var read domain.RetrySchedule
		require.NoError(t, json.Unmarshal(data, &read))
		require.Equal(t, s, read)
	})
}
