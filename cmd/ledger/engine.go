package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/eventstore/shred"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/handlers/rest"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/handlers/rest/erase"
	"github.com/openprospect/delivery-ledger/handlers/rest/idempotency"
	"github.com/openprospect/delivery-ledger/handlers/rest/requalify"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/handlers/webhooks/replay"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/personal"
)

// engineFlags adjust what serve and dev have in common.
type engineFlags struct {
	egressFlags
	Listen                 string          `default:"127.0.0.1:8080" help:"Address of the API, and of /healthz, /readyz and /metrics."`
	RetrySchedule          []time.Duration `placeholder:"WAIT" help:"Waits before the attempts after the first, such as 1s,2s,4s. Default: 1m,5m,15m,1h,6h."`
	Attempts               int             `default:"4096" help:"Webhook attempts that this process has under way at most; those of one organisation leave as many free as they take."`
	AttemptsPerDestination int             `default:"64" help:"Attempts under way to one destination at most, unless its max_in_flight is less."`
	DisableAfterDispatches int             `default:"5" help:"Dispatches in a row that failed for good after which their destination is disabled. 0: none is."`
	DisableAfterTime       time.Duration   `default:"24h" help:"Time that a destination must have failed, too, to be disabled."`
	CheckpointInterval     time.Duration   `default:"1m" help:"How often the state of the log is signed while it grows. 0: only when somebody asks."`
	CORSOrigin             []string        `name:"cors-origin" placeholder:"ORIGIN" help:"Origin whose pages may call the API from browsers, such as https://app.example.com, or * for all. May be repeated. Default: none."`
	LogFormat              string          `enum:"text,json" default:"text" help:"text or json."`
}

// logger returns a log to w.
func (f engineFlags) logger(w io.Writer, level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// Validate is called by kong. It refuses values that mean nothing.
func (f engineFlags) Validate() error {
	if f.Attempts < 1 || f.AttemptsPerDestination < 1 {
		return errors.New("--attempts and --attempts-per-destination must be at least 1")
	}
	if f.DisableAfterDispatches < 0 || f.DisableAfterTime <= 0 {
		return errors.New("--disable-after-dispatches must not be negative, and --disable-after-time more than nothing")
	}
	if f.CheckpointInterval < 0 {
		return errors.New("--checkpoint-interval must not be negative")
	}
	for _, wait := range f.RetrySchedule {
		if wait <= 0 {
			return fmt.Errorf("--retry-schedule must be waits such as 1s,2s,4s: %s is none", wait)
		}
	}
	return f.check()
}

// tolerance says for how long a destination may fail.
func (f engineFlags) tolerance() domain.Tolerance {
	if f.DisableAfterDispatches == 0 {
		return domain.Tolerance{Dispatches: -1}
	}
	return domain.Tolerance{Dispatches: f.DisableAfterDispatches, Time: f.DisableAfterTime}
}

// The roles of a process.
const (
	roleAPI     = "api"
	roleFollow  = "follow"
	roleAttempt = "attempt"
)

// An engine is the ledger in one process.
type engine struct {
	engineFlags
	pool      *pgxpool.Pool
	keys      []vault.Key // of the secrets; the first seals
	roles     []string
	private   bool                  // destinations may be at private addresses
	observe   func(webhooks.Report) // may be nil
	listening func(net.Addr)        // called when the API takes requests; may be nil
	log       *slog.Logger

	store     *eventstore.Store
	subjects  *shred.Keys
	keyring   *personal.Keyring
	vault     *vault.Vault
	notary    *proof.Notary
	sender    *webhooks.Sender
	followers []*follower.Follower
	attempts  *webhooks.Attempts // nil: it makes none
	metrics   *prometheus.Registry
	tracer    trace.Tracer // nil: nothing is traced
}

// Bounds of a clean stop. What is under way may end; a second signal ends the program.
const (
	requestGrace = 20 * time.Second
	attemptGrace = 65 * time.Second // an attempt may take a minute
)

// run renews the read models and runs the roles until ctx is done, and then stops cleanly: nothing more is attempted, requests
// under way end, then attempts under way and the followers. Each part goes on through a loss of the database; an error means
// that one could not start, or had to give up.
func (e *engine) run(ctx context.Context) error {
	tracer, stopTracing, err := startTracing(ctx, e.log)
	if err != nil {
		return err
	}
	defer stopTracing()
	e.assemble(tracer)
	if e.notary, err = proof.NewNotary(ctx, e.pool, e.store, e.vault); err != nil {
		return err
	}
	e.sender = webhooks.NewSender(webhooks.Route{Guard: e.guard(e.private), Proxy: e.EgressProxy}, buildVersion())
	e.metrics = prometheus.NewRegistry()
	e.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), e.store, eventstore.NewLagCollector(e.store))

	switch err := e.renew(ctx); {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	router, err := e.router(ctx)
	if err != nil {
		return err
	}
	api, err := e.api()
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", e.Listen)
	if err != nil {
		return fmt.Errorf("listen for requests at the address of --listen: %w", err)
	}

	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	group.Go(func() error { return e.store.Listen(background, e.log) })
	ended := make(chan struct{}) // the router has, or could not start
	if router != nil {
		group.Go(func() error {
			defer close(ended)
			return router.Run(background)
		})
	}
	if slices.Contains(e.roles, roleAttempt) {
		replays, err := replay.New(replay.Config{Pool: e.pool, Store: e.store, Log: e.log})
		if err != nil {
			return err
		}
		group.Go(func() error { return replays.Run(ctx) })
	}
	if slices.Contains(e.roles, roleFollow) {
		requalifications, err := requalify.New(requalify.Config{Pool: e.pool, Store: e.store, Log: e.log, Keyring: e.keyring})
		if err != nil {
			return err
		}
		group.Go(func() error { return requalifications.Run(ctx) })
		erasures, err := e.eraser()
		if err != nil {
			return err
		}
		group.Go(func() error { return erasures.Run(ctx) })
		group.Go(func() error { return erasures.RunRetention(ctx) })
	}
	if slices.Contains(e.roles, roleFollow) && e.CheckpointInterval > 0 {
		group.Go(func() error { return e.notary.Run(ctx, e.CheckpointInterval, e.log) })
	}
	group.Go(func() error {
		defer stopBackground()
		err := api.Serve(ctx, listener, requestGrace)
		if router != nil && started(router, ended) {
			err = errors.Join(err, router.Close())
		}
		return err
	})
	e.log.LogAttrs(ctx, slog.LevelInfo, "listening", slog.String("address", listener.Addr().String()))
	if e.listening != nil {
		e.listening(listener.Addr())
	}
	return group.Wait()
}

// assemble makes what the parts stand on.
func (e *engine) assemble(tracer trace.Tracer) {
	e.tracer = tracer
	e.vault = vault.New(e.pool, e.keys[0], e.keys[1:]...)
	e.subjects = shred.New(e.pool, e.vault, shred.Options{})
	e.keyring = personal.NewKeyring(e.subjects)
	e.store = eventstore.New(e.pool, eventstore.NewRegistry(domain.Events()...), eventstore.Options{Tracer: tracer, Seal: e.keyring.Seal})
}

// eraser returns what carries out erasures.
func (e *engine) eraser() (*erase.Runner, error) {
	return erase.New(erase.Config{Pool: e.pool, Store: e.store, Keys: e.subjects, Vault: e.vault, Log: e.log})
}

// started waits until the router has started, and reports whether it did. One that did not would
// wait, when it is closed, for handlers that never run.
func started(router *message.Router, ended <-chan struct{}) bool {
	select {
	case <-router.Running():
		return true
	case <-ended:
		return false
	}
}

// api returns the server of the API; without that role, of the status alone.
func (e *engine) api() (*rest.Server, error) {
	return rest.New(rest.Config{
		Store: e.store, Views: projections.NewViews(e.pool), Keys: apikey.New(e.pool), Vault: e.vault,
		Tester: webhooks.NewTester(e.store, e.vault, e.sender), Idempotency: idempotency.New(e.pool, e.vault), Notary: e.notary,
		CheckURL: e.guard(e.private).CheckURL, Ready: e.ready, Metrics: e.metrics, Tracer: e.tracer, Log: e.log, Origins: e.CORSOrigin,
		Keyring: e.keyring, StatusOnly: !slices.Contains(e.roles, roleAPI),
	})
}

// router returns a router with the handlers of the process' roles, nil when it has none. Once
// ctx is done nothing more is attempted.
func (e *engine) router(ctx context.Context) (*message.Router, error) {
	follow, attempt := slices.Contains(e.roles, roleFollow), slices.Contains(e.roles, roleAttempt)
	if !follow && !attempt {
		return nil, nil
	}
	quiet := slog.New(leveled{e.log.Handler(), slog.LevelError}) // Watermill tells much
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: attemptGrace + 5*time.Second}, watermill.NewSlogLogger(quiet))
	if err != nil {
		return nil, fmt.Errorf("make router: %w", err)
	}
	if follow {
		configs := []follower.Config{proof.Follower()}
		tail := projections.NewTail(e.reader())
		for _, p := range projections.All() {
			configs = append(configs, p.Follower(tail))
		}
		for _, cfg := range configs {
			f, err := follower.Add(router, e.pool, e.store, cfg, e.log)
			if err != nil {
				return nil, err
			}
			e.followers = append(e.followers, f)
		}
	}
	if attempt {
		attempts, err := webhooks.Add(ctx, router, webhooks.Config{
			Pool: e.pool, Store: e.store, Vault: e.vault, Log: e.log, Keyring: e.keyring,
			Sender: e.sender, Retries: e.RetrySchedule, Workers: e.Attempts, Share: e.AttemptsPerDestination,
			Tolerance: e.tolerance(), Grace: attemptGrace, Tracer: e.tracer, Observe: e.observe,
		})
		if err != nil {
			return nil, err
		}
		e.metrics.MustRegister(attempts)
		e.attempts = attempts
	}
	return router, nil
}

// reader reads events in the clear.
func (e *engine) reader() personal.Reader {
	return personal.Reader{Registry: e.store.Registry(), Keyring: e.keyring}
}

// leveled is a handler that passes on what is at least at a level.
type leveled struct {
	slog.Handler
	least slog.Level
}

// Enabled reports whether the handler wants records of the level.
func (l leveled) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= l.least && l.Handler.Enabled(ctx, level)
}

// WithAttrs returns the handler with attributes.
func (l leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{l.Handler.WithAttrs(attrs), l.least}
}

// WithGroup returns the handler in a group.
func (l leveled) WithGroup(name string) slog.Handler {
	return leveled{l.Handler.WithGroup(name), l.least}
}
