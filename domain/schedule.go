package domain

import (
	"encoding/json"
	"math"
	"time"
)

// A RetrySchedule is the wait before each attempt after the first. In JSON it is a list
// of seconds.
type RetrySchedule []time.Duration

// DefaultRetries is the promised schedule: five retries over 7 h 21 min (contract,
// section 7).
var DefaultRetries = RetrySchedule{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour}

// maxRetryAfter is the longest wait that a destination may ask for.
const maxRetryAfter = 24 * time.Hour

// After returns the wait after attempt n, counted from 1, has failed; and false when n
// was the last.
func (s RetrySchedule) After(n int) (time.Duration, bool) {
	if n < 1 || n > len(s) {
		return 0, false
	}
	return s[n-1], true
}

// MarshalJSON writes the waits in seconds.
func (s RetrySchedule) MarshalJSON() ([]byte, error) {
	seconds := make([]float64, len(s))
	for i, d := range s {
		seconds[i] = d.Seconds()
	}
	return json.Marshal(seconds)
}

// UnmarshalJSON reads waits in seconds.
func (s *RetrySchedule) UnmarshalJSON(b []byte) error {
	var seconds []float64
	if err := json.Unmarshal(b, &seconds); err != nil {
		return err
	}
	*s = make(RetrySchedule, len(seconds))
	for i, x := range seconds {
		(*s)[i] = time.Duration(math.Round(x * float64(time.Second)))
	}
	return nil
}
