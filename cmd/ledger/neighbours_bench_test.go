package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// BenchmarkBadNeighbours is like BenchmarkDispatchLatency, to 100 destinations that answer at once,
// beside others that accept and never answer, to which 100,000 dispatches are due. They time
// out while it runs, and are probed then.
func BenchmarkBadNeighbours(b *testing.B) {
	const healthy, due = 100, 100_000
	for _, hung := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("hung=%d", hung), func(b *testing.B) {
			r := newRig(b, 1)
			receiver := httptest.NewServer(http.HandlerFunc(r.receive))
			b.Cleanup(receiver.Close)
			deliveries := make([]string, healthy)
			for i := range deliveries {
				deliveries[i] = r.client.delivery(b, receiver.URL)
			}
			if hung > 0 {
				r.hang(b, hung, due)
			}
			r.pace(b, deliveries...)
		})
	}
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
	require.Eventually(b, func() bool { return r.client.caughtUp(b) }, patience, pollEvery)
}
