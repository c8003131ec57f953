package domain_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
)

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
