package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/handlers/rest/erase"
	"github.com/openprospect/delivery-ledger/handlers/rest/idempotency"
	"github.com/openprospect/delivery-ledger/handlers/rest/requalify"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/personal"
)

// A Vault keeps secrets out of the log.
type Vault interface {
	// Put keeps secret under id, a fresh one, before any event names it.
	Put(ctx context.Context, id, secret string) error

	// Keep keeps one under id that may be there.
	Keep(ctx context.Context, id, fresh string) (string, error)
}

// A Tester sends destinations a webhook by which their owners see that they work.
type Tester interface {
	// Test sends d, of that delivery, one webhook, and records what came of it: a failure too. It
	// takes as long as the destination's time-out at most.
	Test(ctx context.Context, delivery domain.DeliveryID, d domain.Destination) (domain.DestinationTested, eventstore.Commit, error)
}

// Config says what a server stands on.
type Config struct {
	// Store is the log that commands go to. Required.
	Store *eventstore.Store

	// Views answer the reading requests. Whether a reader sees what it has just written
	// depends on the "deliveries" follower, in this or another process: a write waits for
	// it, but for two seconds at most. Required.
	Views *projections.Views

	// Keys tell who is calling. Required.
	Keys *apikey.Keys

	// Vault gets the secrets of destinations: auth tokens as they are, signing secrets
	// with their prefix whsec_. Required.
	Vault Vault

	// Tester makes the tests of destinations. Required.
	Tester Tester

	// Idempotency keeps the answers to requests that may be repeated. Required.
	Idempotency *idempotency.Keys

	// Notary signs what the log is, and proves what is in it. Required.
	Notary *proof.Notary

	// Keyring opens what is personal in events. Default: only what is in the clear can be opened.
	Keyring *personal.Keyring

	// CheckURL refuses addresses that webhooks must not go to. Its error is shown to the
	// caller as the fault of the field url. Default: every address is accepted.
	CheckURL func(rawURL string) error

	// Ready is asked at each /readyz, and must return soon. Default: always ready.
	Ready func(ctx context.Context) ReadyReport

	// StatusOnly leaves out the API: only /healthz, /readyz and /metrics are answered. It is
	// for processes that do other work. Default: everything is.
	StatusOnly bool

	// Origins are those whose pages may call the API from browsers, as browsers write them
	// (https://app.example.com); "*" stands for all. Default: none.
	Origins []string

	// Metrics gets the server's metrics, and is what /metrics shows. Default: a registry
	// of its own.
	Metrics *prometheus.Registry

	// Tracer begins a span for each request to the API. Default: there are none.
	Tracer trace.Tracer

	// Log gets a line for each request. Default: nothing is logged.
	Log *slog.Logger

	// Patience bounds the work on the database that a request causes, or each chunk of a
	// long one. After it the answer is 503. Default 5 s.
	Patience time.Duration

	// MaxListed bounds, in bytes, what an answer lists of companies that were sent. What came of
	// further ones is counted alone. Of each answer, what is more than 1 MiB lies in the folder
	// for temporary files until it is taken. Default 256 MiB, some two million companies.
	MaxListed int64
}

// Bounds of a connection.
const (
	headerTimeout = 5 * time.Second   // for the request's header
	readTimeout   = 30 * time.Second  // for the whole request; for each part of a streamed one
	writeTimeout  = 60 * time.Second  // from the header's end to the answer's; likewise
	idleTimeout   = 120 * time.Second // between requests
	maxHeader     = 64 << 10
)

// cachedDeliveries is how many deliveries' states are kept for qualifications.
const cachedDeliveries = 10_000

// A Server answers the API's requests. It is safe for concurrent use.
type Server struct {
	cfg        Config
	contract   *contract
	deliveries *eventstore.Cache[domain.Delivery, domain.Event]
	exclusions *eventstore.Lookup[domain.Exclusion, domain.Event]
	anew       *requalify.Judge // of what was judged before
	finder     *erase.Finder    // of what tells of somebody
	excluding  sync.Map         // the organisations that are known to have begun to exclude
	echo       *echo.Echo
	metrics    metrics
	now        func() time.Time
}

// New returns a server. It fails when cfg lacks what is required.
func New(cfg Config) (*Server, error) {
	if cfg.Store == nil || cfg.Views == nil || cfg.Keys == nil || cfg.Vault == nil || cfg.Tester == nil || cfg.Idempotency == nil || cfg.Notary == nil {
		return nil, errors.New("make server: Store, Views, Keys, Vault, Tester, Idempotency and Notary are required")
	}
	if cfg.CheckURL == nil {
		cfg.CheckURL = func(string) error { return nil }
	}
	if cfg.Ready == nil {
		cfg.Ready = func(context.Context) ReadyReport { return ReadyReport{} }
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Patience == 0 {
		cfg.Patience = 5 * time.Second
	}
	if cfg.MaxListed == 0 {
		cfg.MaxListed = 256 << 20
	}
	if err := checkOrigins(cfg.Origins); err != nil {
		return nil, fmt.Errorf("make server: %w", err)
	}
	contract, err := loadContract()
	if err != nil {
		return nil, fmt.Errorf("make server: %w", err)
	}
	s := &Server{
		cfg: cfg, contract: contract, metrics: newMetrics(), now: time.Now,
		deliveries: eventstore.NewCache[domain.Delivery, domain.Event](cfg.Store, cachedDeliveries),
		exclusions: eventstore.NewLookup[domain.Exclusion, domain.Event](cfg.Store),
		anew:       requalify.NewJudge(cfg.Store, cfg.Views, cfg.Keyring),
		finder:     erase.NewFinder(cfg.Store, cfg.Views, cfg.Keyring),
	}
	if err := s.metrics.register(cfg.Metrics); err != nil {
		return nil, fmt.Errorf("make server: %w", err)
	}
	s.echo = s.routes()
	return s, nil
}

// routes returns the router with the contract's routes.
func (s *Server) routes() *echo.Echo {
	e := echo.New()
	e.JSONSerializer = bodies{}
	e.HTTPErrorHandler = func(err error, c echo.Context) { s.refuse(c, err) }
	e.Use(s.observe, s.recover)
	if len(s.cfg.Origins) > 0 { // none would be all to the library
		e.Use(s.cors())
	}
	e.Use(s.compress, s.revalidate, s.authenticate, s.decode, s.repeat, s.validate)
	r := router{e}
	s.addStatus(r)
	if !s.cfg.StatusOnly {
		RegisterHandlers(r, NewStrictHandler(s, nil))
		s.addContract(r)
		s.addDocs(r)
	}
	return e
}

// A router answers HEAD wherever it answers GET.
type router struct{ *echo.Echo }

// GET adds a route.
func (r router) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	r.HEAD(path, h, m...)
	return r.Echo.GET(path, h, m...)
}

// ServeHTTP answers a request. A final slash makes no difference.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path := echo.GetPath(r); len(path) > 1 && strings.HasSuffix(path, "/") {
		u := *r.URL
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
		request := *r
		request.URL = &u
		r = &request
	}
	s.echo.ServeHTTP(w, r)
}

// Serve answers requests on l until ctx is done. Then it accepts no more, lets those under
// way end, for at most grace, and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(l) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		_ = server.Close()
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}
