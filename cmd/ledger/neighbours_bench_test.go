package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// BenchmarkBadNeighbours is like BenchmarkDispatchLatency, to 100 destinations that answer at once,
// beside others that accept and never answer, to which many dispatches are due. They time
// out while it runs, and are probed then. It reports the most memory that the ledger had, too.
func BenchmarkBadNeighbours(b *testing.B) {
	const healthy = 100
	for _, bad := range []struct{ hung, due int }{{0, 0}, {1, 100_000}, {1000, 100_000}, {1000, 1_000_000}} {
		b.Run(fmt.Sprintf("hung=%d/due=%d", bad.hung, bad.due), func(b *testing.B) {
			r := newRig(b, 1)
			receiver := httptest.NewServer(http.HandlerFunc(r.receive))
			b.Cleanup(receiver.Close)
			deliveries := make([]string, healthy)
			for i := range deliveries {
				deliveries[i] = r.client.delivery(b, receiver.URL)
			}
			if bad.hung > 0 {
				r.hang(b, bad.hung, bad.due)
			}
			r.pace(b, deliveries...)
			if peak, known := r.peak(); known {
				b.ReportMetric(peak, "MiB")
			}
		})
	}
}

// peak returns the most memory that the ledger's process has had resident, in MiB, and false where
// that cannot be told.
func (r *rig) peak() (float64, bool) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.process.cmd.Process.Pid))
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	var kib float64
	_, err := fmt.Sscan(rest, &kib)
	return kib / 1024, found && err == nil
}

// hang makes destinations that never answer, and that many dispatches to them.
func (r *rig) hang(b *testing.B, destinations, dispatches int) {
	b.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	})
	b.Cleanup(func() {
		_ = listener.Close()
		accepting.Wait()
	})
	url := "http://" + listener.Addr().String()
	const most = 10 // destinations of a delivery
	var lines strings.Builder
	for i := range dispatches / destinations {
		lines.WriteString(sample(fmt.Sprintf("comp_hung_%d", i)) + "\n")
	}
	var callers errgroup.Group
	callers.SetLimit(8)
	for first := 0; first < destinations; first += most {
		callers.Go(func() error {
			delivery := r.client.delivery(b, url)
			for range min(most, destinations-first) - 1 {
				r.client.must(b, http.StatusCreated, http.MethodPost, "/api/v1/deliveries/"+delivery+"/destinations",
					`{"type":"webhook","url":"`+url+`"}`)
			}
			status, _, body, err := r.client.do(b.Context(), http.MethodPost, "/api/v1/deliveries/"+delivery+"/qualifications",
				"application/x-ndjson", lines.String())
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("%d: %s", status, body)
			}
			return err
		})
	}
	require.NoError(b, callers.Wait())
	require.Eventually(b, func() bool { return r.client.caughtUp(b) }, 10*time.Minute, time.Second)
}
