package testdb

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// PeakMemory returns what tells how much memory the process had in use at most since then, in MiB: 0 where that cannot be told.
func PeakMemory(tb testing.TB) (peak func() float64) {
	tb.Helper()
	const forgetPeak = "5"
	debug.FreeOSMemory() // of what was done before
	if os.WriteFile("/proc/self/clear_refs", []byte(forgetPeak), 0) != nil {
		return func() float64 { return 0 }
	}
	return func() float64 {
		status, err := os.ReadFile("/proc/self/status")
		require.NoError(tb, err)
		_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
		line, _, _ := bytes.Cut(rest, []byte(" kB"))
		kib, err := strconv.Atoi(string(bytes.TrimSpace(line)))
		require.NoError(tb, err)
		return float64(kib) / 1024
	}
}
