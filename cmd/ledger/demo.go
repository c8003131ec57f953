package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/openprospect/delivery-ledger/domain"
	api "github.com/openprospect/delivery-ledger/handlers/rest/client"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
)

// samples are qualified companies, one a line.
//
//go:embed demo/companies.ndjson
var samples string

// demoRetries stands in for the promised schedule, so that one can watch it.
var demoRetries = []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second}

// The pace of the demonstration.
const (
	demoChunk = 10 // companies sent at a time
	demoPause = 250 * time.Millisecond
)

// A demo feeds sample companies to the ledger and shows what its webhooks do.
type demo struct {
	out     io.Writer
	apiKey  string
	keyHint string // shell words that give the key, which is not shown again
	retries []time.Duration

	mu       sync.Mutex
	delivery domain.DeliveryID // what is counted; of others attempts may be left over
	settled  map[string]bool   // by hand-over: delivered or failed
	failed   int
	attempts int
	failures int
	all      chan struct{} // closed when every sample is settled
}

// newDemo returns a demonstration that is shown on out.
func newDemo(out io.Writer, apiKey, keyHint string, retries []time.Duration) *demo {
	return &demo{
		out: out, apiKey: apiKey, keyHint: keyHint, retries: retries,
		settled: map[string]bool{}, all: make(chan struct{}),
	}
}

// run makes a delivery to a receiver of its own at the ledger that answers at base, feeds the
// samples, and returns once all were delivered. The receiver goes on until ctx is done.
func (d *demo) run(ctx context.Context, base string) error {
	receiver, err := startReceiver(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	ledger, err := newLedgerClient(base, d.apiKey)
	if err != nil {
		return err
	}
	delivery, err := d.prepare(ctx, ledger, receiver)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nDelivery %s sends to a receiver at %s, which now and then fails on purpose.\n\n", delivery, receiver)
	fmt.Fprintf(d.out, "%-12s  %-34s  %-24s  %7s  %-6s  %6s\n", "TIME", "COMPANY", "DESTINATION", "ATTEMPT", "STATUS", "MS")
	if err := d.feed(ctx, ledger, delivery); err != nil {
		return err
	}
	select {
	case <-d.all:
	case <-ctx.Done():
		return ctx.Err()
	}
	d.summarise(base, delivery, time.Since(began))
	return nil
}

// prepare makes the delivery and its destination, as a customer would.
func (d *demo) prepare(ctx context.Context, ledger *api.ClientWithResponses, receiver string) (delivery string, err error) {
	made, err := ledger.CreateDeliveryWithResponse(ctx, nil, api.NewDelivery{Name: "Demo of " + time.Now().Format("2006-01-02 15:04:05")})
	if err != nil {
		return "", fmt.Errorf("create delivery: %w", err)
	}
	d.mu.Lock()
	d.delivery = domain.DeliveryID(made.JSON201.ID)
	d.mu.Unlock()
	bearer, token := api.Bearer, "your-secret-token"
	_, err = ledger.CreateDestinationWithResponse(ctx, made.JSON201.ID, nil, api.NewDestination{
		Type: api.Webhook, URL: &receiver, AuthType: &bearer, AuthToken: &token,
	})
	if err != nil {
		return "", fmt.Errorf("create destination: %w", err)
	}
	return made.JSON201.ID, nil
}

// feed sends the samples, a few at a time.
func (d *demo) feed(ctx context.Context, ledger *api.ClientWithResponses, delivery string) error {
	engine := ingester{ledger: ledger, delivery: delivery}
	lines := strings.SplitAfter(strings.TrimSpace(samples), "\n")
	for len(lines) > 0 {
		n := min(demoChunk, len(lines))
		got, err := engine.post(ctx, []byte(strings.Join(lines[:n], "")))
		if err != nil {
			return err
		}
		if got.Accepted != n {
			return fmt.Errorf("the ledger took %d of %d samples", got.Accepted, n)
		}
		lines = lines[n:]
		select {
		case <-time.After(demoPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// observe shows one attempt.
func (d *demo) observe(r webhooks.Report) {
	var company struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(r.HandOver.Company, &company) // the name stays empty
	status := "-"
	if r.Status != 0 {
		status = strconv.Itoa(r.Status)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, "%-12s  %s  %-24s  %7d  %-6s  %6.1f  %s\n", time.Now().Format("15:04:05.000"),
		padded(cmp.Or(company.Name, string(r.Event)), 34), string(r.Destination)[:min(24, len(r.Destination))], r.Attempt, status,
		float64(r.Took.Microseconds())/1000, d.outcomeOf(r))
	if r.HandOver.Delivery == d.delivery {
		d.count(r)
	}
}

// count enters an attempt into the sums.
func (d *demo) count(r webhooks.Report) {
	d.attempts++
	if r.Fault != "" {
		d.failures++
	}
	id, last := string(r.HandOver.HandOver), r.Attempt > len(d.retries)
	if d.settled[id] || r.Fault != "" && !last {
		return
	}
	d.settled[id] = true
	if r.Fault != "" {
		d.failed++
	}
	if len(d.settled) == strings.Count(strings.TrimSpace(samples), "\n")+1 {
		close(d.all)
	}
}

// outcomeOf says in a word what became of an attempt.
func (d *demo) outcomeOf(r webhooks.Report) string {
	switch {
	case r.Fault == "":
		return "delivered"
	case r.Attempt > len(d.retries):
		return "failed"
	default:
		return "will be retried"
	}
}

// padded returns text in exactly width columns, cut if it is longer.
func padded(text string, width int) string {
	return runewidth.FillRight(runewidth.Truncate(text, width, "…"), width)
}

// summarise says what happened and what to try next.
func (d *demo) summarise(base, delivery string, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	then := " and were made again"
	if d.failed > 0 {
		then = fmt.Sprintf("; %d companies were given up", d.failed)
	}
	fmt.Fprintf(d.out, `
%d companies delivered in %.1f s, by %d attempts, of which %d failed%s.

Try next, while this keeps running:

  KEY=%s
  curl -H "Authorization: Bearer $KEY" '%s/api/v1/deliveries/%s'
  curl -H "Authorization: Bearer $KEY" '%[7]s/api/v1/deliveries/%[8]s/companies?limit=2'
  curl -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' '%[7]s/api/v1/deliveries/%[8]s/qualifications' \
    -d '{"company":{"id":"comp_mine","name":"My Company"},"qualification_score":90,"match_reasons":["I said so"]}'

`, len(d.settled)-d.failed, took.Seconds(), d.attempts, d.failures, then, d.keyHint, base, delivery)
}

// startReceiver starts a receiver on loopback that runs until ctx is done, and returns its
// URL. Every eighth company meets a failure or two before it is taken.
func startReceiver(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("start receiver: %w", err)
	}
	server := &http.Server{Handler: &flaky{seen: map[string]int{}}, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			panic(err) // loopback listeners do not fail
		}
	}()
	return "http://" + listener.Addr().String() + "/webhooks/openprospect", nil
}

// flaky is a receiver that fails now and then.
type flaky struct {
	mu    sync.Mutex
	order int
	seen  map[string]int // requests by webhook-id
	fails map[string]int // failures still owed to a webhook-id
}

// ServeHTTP answers a webhook.
func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // nothing depends on it
	if r.Header.Get("Authorization") != "Bearer your-secret-token" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.WriteHeader(f.status(r.Header.Get("Webhook-Id")))
}

// status returns the answer to a request of that ID.
func (f *flaky) status(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[id]++; f.seen[id] == 1 {
		f.order++
		if f.fails == nil {
			f.fails = map[string]int{}
		}
		switch {
		case f.order%24 == 0:
			f.fails[id] = 2
		case f.order%8 == 0:
			f.fails[id] = 1
		}
	}
	if f.seen[id] <= f.fails[id] {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}
