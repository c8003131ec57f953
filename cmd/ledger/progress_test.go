package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLinesOfProgressAreFewAndTellRateAndTimeLeft(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := lines{w: &out, title: "companies", unit: "events"}
	began := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for second := range 21 { // it goes on at 5,000, of which an earlier run did
		l.set(began.Add(time.Duration(second)*time.Second), int64(5000+1000*second), 50_000)
	}
	require.Equal(t, "companies: 5000 of 50000 events\n"+
		"companies: 15000 of 50000 events, 1000/s, 35s left\n"+
		"companies: 25000 of 50000 events, 1000/s, 25s left\n", out.String())
}
