package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations"
	"github.com/openprospect/delivery-ledger/migrations/localpg"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// A rig is a ledger in a process of its own on a Postgres of its own, both as in production,
// a receiver, and somebody who sends companies.
type rig struct {
	process  *process
	postgres *localpg.Server
	client   client
	http     *http.Client
	delivery string
	arrived  chan string // IDs of companies, as the receiver gets them
}

// newRig starts a rig with n destinations on one delivery.
func newRig(b *testing.B, destinations int) *rig {
	b.Helper()
	postgres, err := localpg.Start(b.Context(), localpg.Options{
		Dir: testdb.Dir(b), Settings: map[string]string{"wal_init_zero": "off"}, // one that has been at work for long has its files
	})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, postgres.Stop(context.WithoutCancel(b.Context()))) })
	database, err := postgres.CreateDatabase(b.Context(), "ledger")
	require.NoError(b, err)
	require.NoError(b, migrations.Up(b.Context(), database))

	r := &rig{postgres: postgres, arrived: make(chan string, 1<<16)}
	receiver := httptest.NewServer(http.HandlerFunc(r.receive))
	b.Cleanup(receiver.Close)
	key := newKey(b, database)
	r.process = serve(b, database, encryptionKey())
	r.client = client{key: key, base: func() string { return r.process.base }}
	r.delivery = r.client.delivery(b, receiver.URL)
	for range destinations - 1 {
		r.client.must(b, http.StatusCreated, http.MethodPost, "/api/v1/deliveries/"+r.delivery+"/destinations",
			`{"type":"webhook","url":"`+receiver.URL+`"}`)
	}
	r.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	return r
}

// receive takes a webhook and tells of its company.
func (r *rig) receive(_ http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	_, rest, _ := bytes.Cut(body, []byte(`"company":{"id":"`))
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	r.arrived <- string(id)
}

// send sends one company, as the engine does: a request each.
func (r *rig) send(b *testing.B, delivery, company string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost,
		r.process.base+"/api/v1/deliveries/"+delivery+"/qualifications", strings.NewReader(sample(company)))
	if err != nil {
		b.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+r.client.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.http.Do(req)
	if err != nil {
		b.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.Error(resp.Status)
	}
}

// sample is a company of usual size.
func sample(company string) string {
	return `{"company":{"id":"` + company + `","name":"Acme Corp","domain":"acme.example","industry":"Software","size":"50-200",` +
		`"location":"San Francisco, CA","linkedin_url":"https://linkedin.com/company/acme-corp","technologies":["HubSpot","AWS","React"]},` +
		`"prospects":[{"id":"pros_456def","first_name":"Jane","last_name":"Doe","title":"CTO","email":"jane.doe@acme.example",` +
		`"linkedin_url":"https://linkedin.com/in/janedoe"}],"qualification_score":85,` +
		`"match_reasons":["Uses HubSpot","Revenue > $10M","Decision Maker found"]}`
}

// cpu returns the seconds of processor time that the ledger and its Postgres have used, and
// false where that cannot be told.
func (r *rig) cpu() (float64, bool) {
	const perSecond = 100 // USER_HZ, on every Linux that Go supports
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	total := 0
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		parent, _ := strconv.Atoi(fields[1])
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if pid != r.process.cmd.Process.Pid && pid != r.postgres.PID() && parent != r.postgres.PID() {
			continue
		}
		times := fields[11:13] // of its own
		if pid == r.postgres.PID() {
			times = fields[11:15] // and of its children that have ended
		}
		for _, f := range times {
			ticks, _ := strconv.Atoi(f)
			total += ticks
		}
	}
	return float64(total) / perSecond, len(stats) > 0
}

// BenchmarkDispatch sends companies from 64 callers, a request each, and waits until the
// receiver has had a webhook for each of them and destination: an iteration makes as many
// webhooks as there are destinations.
func BenchmarkDispatch(b *testing.B) {
	for _, destinations := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("destinations=%d", destinations), func(b *testing.B) {
			r := newRig(b, destinations)
			before, known := r.cpu()
			b.ResetTimer()
			var next atomic.Int64
			var callers sync.WaitGroup
			for range 64 {
				callers.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						r.send(b, r.delivery, fmt.Sprintf("comp_%07d", i))
					}
				})
			}
			for range b.N * destinations {
				<-r.arrived
			}
			callers.Wait()
			b.StopTimer()
			sent := float64(b.N * destinations)
			b.ReportMetric(sent/b.Elapsed().Seconds(), "webhooks/s")
			if after, _ := r.cpu(); known {
				b.ReportMetric((after-before)/sent*1000, "cpu-s/1000")
			}
		})
	}
}

// BenchmarkDispatchLatency sends 100 companies a second, whatever becomes of them, and
// reports how long each took from the request to the receiver.
func BenchmarkDispatchLatency(b *testing.B) {
	r := newRig(b, 1)
	r.pace(b, r.delivery)
}

// pace sends 100 companies a second, to one delivery after the other, and reports how long they
// took to arrive, once the ledger has been at it for a while.
func (r *rig) pace(b *testing.B, deliveries ...string) {
	b.Helper()
	const perSecond, warm = 100, 10 // seconds, in which connections are made and statements planned
	sent := make([]time.Time, b.N)
	took := make([]time.Duration, 0, b.N)
	var callers sync.WaitGroup
	pace := time.NewTicker(time.Second / perSecond)
	defer pace.Stop()
	for i := range warm * perSecond {
		<-pace.C
		callers.Go(func() { r.send(b, deliveries[i%len(deliveries)], fmt.Sprintf("%swarm_%d", former, i)) })
	}
	b.ResetTimer()
	go func() {
		for i := range b.N {
			<-pace.C
			sent[i] = time.Now()
			callers.Go(func() { r.send(b, deliveries[i%len(deliveries)], fmt.Sprintf("comp_%07d", i)) })
		}
	}()
	for len(took) < b.N {
		company := <-r.arrived
		if strings.HasPrefix(company, former) {
			continue
		}
		i, err := strconv.Atoi(strings.TrimPrefix(company, "comp_"))
		require.NoError(b, err)
		took = append(took, time.Since(sent[i]))
	}
	callers.Wait()
	b.StopTimer()
	slices.Sort(took)
	for _, p := range []int{50, 95, 99} {
		b.ReportMetric(float64(took[(len(took)-1)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
}

// former begins the IDs of companies that are not counted.
const former = "comp_former_"

// BenchmarkReplay is like BenchmarkDispatchLatency, to a destination to which a job replays 100,000
// dispatches meanwhile. It reports how many of them a second, too.
func BenchmarkReplay(b *testing.B) {
	const before = 100_000
	r := newRig(b, 1)
	var lines strings.Builder
	for i := range before {
		lines.WriteString(sample(former+strconv.Itoa(i)) + "\n")
	}
	status, _, body, err := r.client.do(b.Context(), http.MethodPost, "/api/v1/deliveries/"+r.delivery+"/qualifications",
		"application/x-ndjson", lines.String())
	require.NoError(b, err)
	require.Equal(b, http.StatusOK, status, string(body))
	for range before {
		<-r.arrived
	}
	r.client.awaitCount(b, r.delivery, "delivered", before)
	replay := r.client.must(b, http.StatusAccepted, http.MethodPost, "/api/v1/deliveries/"+r.delivery+"/replay", `{}`)["id"].(string)
	r.pace(b, r.delivery)
	shown := r.client.must(b, http.StatusOK, http.MethodGet, "/api/v1/deliveries/"+r.delivery+"/replays/"+replay, "")
	b.ReportMetric(shown["replayed"].(float64)/b.Elapsed().Seconds(), "replayed/s")
}
