package webhooks

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections/personal"
)

// Config adjusts the attempts.
type Config struct {
	Pool   *pgxpool.Pool     // Required.
	Store  *eventstore.Store // Required.
	Vault  Vault             // Required.
	Sender *Sender           // Required.
	Log    *slog.Logger      // Required.

	// Keyring opens what is personal in events. Default: only what is in the clear can be opened.
	Keyring *personal.Keyring

	// Retries is the schedule of destinations that have none of their own. Default
	// [domain.DefaultRetries].
	Retries domain.RetrySchedule

	// Tolerance says for how long a destination may fail before it is disabled. Default
	// [domain.DefaultTolerance]; of negative Dispatches none is disabled.
	Tolerance domain.Tolerance

	// Workers is how many attempts this process has under way at most. Those of one organisation
	// leave as many free as they take. Default 4096.
	Workers int

	// Share is how many of all processes' attempts one destination has under way at most,
	// unless it sets less. Default 64.
	Share int

	// Poll is how late a retry may start after its due time, unless so many destinations are owed
	// something that looking at them all takes longer. Default 200 ms.
	Poll time.Duration

	// Grace is how long attempts under way are waited for when the router closes. It should
	// exceed the longest time-out of a destination. Default 65 s.
	Grace time.Duration

	// Now is the clock. Default [time.Now].
	Now func() time.Time

	// Tracer begins a span for each attempt. The IDs of its provider should be those of
	// [TraceIDs]. Default: there are none.
	Tracer trace.Tracer

	// Observe, if set, is called after each attempt that was recorded, from many goroutines.
	Observe func(Report)
}

// A Report tells of an attempt.
type Report struct {
	HandOver    domain.CompanyQualified // that it told of
	Event       domain.WebhookEvent     // operational, that it told of instead; empty: of a hand-over
	Destination domain.DestinationID
	Dispatch    domain.DispatchID
	Attempt     int
	Status      int    // 0: no answer
	Fault       string // empty: it succeeded
	Took        time.Duration
}

// Add puts the attempts on router. They are made while it runs, and none is begun once ctx is
// done, so that a process may stop attempting before it stops the rest. What it returns tells
// of them. The router's own close time-out must exceed cfg.Grace.
func Add(ctx context.Context, router *message.Router, cfg Config) (*Attempts, error) {
	if cfg.Pool == nil || cfg.Store == nil || cfg.Vault == nil || cfg.Sender == nil || cfg.Log == nil {
		return nil, errors.New("attempts need a pool, a store, a vault, a sender and a log")
	}
	if len(cfg.Retries) == 0 {
		cfg.Retries = domain.DefaultRetries
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Tolerance.Dispatches = cmp.Or(cfg.Tolerance.Dispatches, domain.DefaultTolerance.Dispatches)
	cfg.Tolerance.Time = cmp.Or(cfg.Tolerance.Time, domain.DefaultTolerance.Time)
	cfg.Workers = cmp.Or(cfg.Workers, 4096)
	cfg.Share = cmp.Or(cfg.Share, 64)
	cfg.Poll = cmp.Or(cfg.Poll, 200*time.Millisecond)
	cfg.Grace = cmp.Or(cfg.Grace, 65*time.Second)

	worker := uuid.New()
	stopped, stop := context.WithCancel(ctx)
	metrics := newMetrics()
	queue := &subscriber{
		cfg: cfg, log: cfg.Log, metrics: metrics, stop: stop, stopped: stopped,
		leases: leases{pool: cfg.Pool, worker: worker, share: cfg.Share}, presence: presence{pool: cfg.Pool, worker: worker},
		shown: cfg.Store.Mark("dispatches"),
		load:  newLoad(cfg.Workers), search: newSearch(cfg.Poll), held: map[attemptKey]bool{}, freed: make(chan struct{}, 1),
	}
	a := &attempter{
		cfg: cfg, queue: queue, metrics: metrics, log: cfg.Log, failures: pacer{now: cfg.Now},
		endpoints: &endpoints{pool: cfg.Pool, vault: cfg.Vault, now: cfg.Now, known: map[domain.DestinationID]endpoint{}},
	}
	router.AddConsumerHandler("attempts", "due", queue, a.handle)
	return &Attempts{queue: queue, metrics: metrics, backlog: &backlog{pool: cfg.Pool, now: cfg.Now}}, nil
}
