package rest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

// A request is what is known of the one under way.
type request struct {
	id            string
	key           apikey.Key // zero until it is authenticated
	preconditions preconditions
	url           *url.URL     // as it was asked for
	seed          *domain.Seed // nil unless it is made under an Idempotency-Key
}

// requestKey is the context key of a request.
type requestKey struct{}

// requestFrom returns the request under way.
func requestFrom(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	if r == nil {
		return &request{}
	}
	return r
}

// saneID matches IDs of requests that are taken as they come.
var saneID = regexp.MustCompile(`^[A-Za-z0-9._:/+=-]{1,128}$`)

// observe names and traces the request, and when it is answered logs and counts it.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := s.now()
		r := c.Request()
		id := r.Header.Get(echo.HeaderXRequestID)
		if !saneID.MatchString(id) {
			id = uuid.NewString()
		}
		r.Header[echo.HeaderXRequestID] = []string{id}
		c.Response().Header()[echo.HeaderXRequestID] = []string{id}
		asked := *r.URL // validation enters defaults in the other one
		request := &request{id: id, url: &asked, preconditions: newPreconditions(r.Header)}
		ctx, span := s.begin(join(context.WithValue(r.Context(), requestKey{}, request), r.Header), c, id)
		defer span.End() // should the request be aborted
		c.SetRequest(r.WithContext(ctx))

		err := next(c)
		if err != nil {
			s.refuse(c, err)
		}
		end(span, c.Response().Status)
		s.report(c, request, err, s.now().Sub(start))
		return nil
	}
}

// report logs and counts an answered request.
func (s *Server) report(c echo.Context, r *request, err error, took time.Duration) {
	status, method := c.Response().Status, c.Request().Method
	template, counted := "none", "any" // callers choose methods and paths freely
	if op := s.contract.operation(method, c.Path()); op != nil {
		template, counted = op.template, method
	}
	s.metrics.count(template, counted, status, took)

	level := slog.LevelInfo
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs,
		slog.String("method", method), slog.String("route", template), slog.Int("status", status),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.String("request", r.id), slog.String("key", r.key.ID))
	if t := trace.SpanContextFromContext(c.Request().Context()); t.IsValid() {
		attrs = append(attrs, slog.String("trace", t.TraceID().String()))
	}
	if err != nil && status >= http.StatusInternalServerError {
		level = slog.LevelError
		attrs = append(attrs, slog.Any("error", err))
	}
	s.cfg.Log.LogAttrs(c.Request().Context(), level, "request", attrs...)
}

// recover turns a panic into an error.
func (s *Server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler: // net/http's way to give up an answer
				panic(p)
			default:
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		return next(c)
	}
}

// metrics are what the server tells of its requests.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// newMetrics returns metrics at zero.
func newMetrics() metrics {
	return metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ledger_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ledger_http_request_duration_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method"}),
	}
}

// register adds the metrics to r.
func (m metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.requests, m.seconds} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// count counts one request.
func (m metrics) count(template, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(template, method, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(template, method).Observe(took.Seconds())
}
