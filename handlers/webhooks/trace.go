package webhooks

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// traceOf returns the trace context that a request goes out with: that of ctx, or else one in
// which the hand-over is the trace and the attempt a span. Both follow from their IDs, so nothing
// need be kept for all attempts to be in one trace.
func traceOf(ctx context.Context, r request) eventstore.Trace {
	if t := eventstore.TraceFrom(ctx); t.Parent != "" {
		return t
	}
	id := originTrace(r.origin)
	span := sha256.Sum256([]byte(string(r.dispatch) + "/" + strconv.Itoa(r.attempt)))
	return eventstore.Trace{Parent: "00-" + hex.EncodeToString(id[:]) + "-" + hex.EncodeToString(span[:8]) + "-01"}
}

// originTrace returns the ID of the trace that a hand-over is, or a dispatch of none.
func originTrace(id string) trace.TraceID {
	sum := sha256.Sum256([]byte(id))
	return trace.TraceID(sum[:16])
}

// originKey is the context key of the hand-over that a span is about, or of the dispatch of none.
type originKey struct{}

// TraceIDs makes the IDs of traces and spans for who traces attempts: at random, but that an attempt
// at a hand-over which was recorded in no trace is in the hand-over's own, like all others at it.
// It is OpenTelemetry's IDGenerator, and safe for concurrent use.
type TraceIDs struct{}

// NewIDs returns the IDs of a trace and of its first span.
func (g TraceIDs) NewIDs(ctx context.Context) (id trace.TraceID, span trace.SpanID) {
	if origin, ok := ctx.Value(originKey{}).(string); ok {
		id = originTrace(origin)
	}
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID returns the ID of a span.
func (TraceIDs) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// begin returns a context in the trace in which c's hand-over was recorded, or, when attempts are
// traced, in the attempt's span.
func (a *attempter) begin(ctx context.Context, c claim, w webhook, ep endpoint) (context.Context, trace.Span) {
	if c.Trace.Parent != "" {
		ctx = eventstore.WithTrace(ctx, c.Trace)
	}
	if a.cfg.Tracer == nil {
		return ctx, trace.SpanFromContext(context.Background()) // of no effect
	}
	ctx = context.WithValue(ctx, originKey{}, w.origin)
	return a.cfg.Tracer.Start(ctx, "POST", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("ledger.dispatch", string(c.Dispatch)), w.attribute(),
		attribute.String("ledger.delivery", string(c.Delivery)), attribute.String("ledger.destination", string(c.Destination)),
		attribute.Int("ledger.attempt", c.attempt()),
	), trace.WithAttributes(requestAttributes(ep)...))
}

// requestAttributes are those of OpenTelemetry's conventions for a request to ep. What a URL asks
// for may be somebody's secret, and is left out.
func requestAttributes(ep endpoint) []attribute.KeyValue {
	attributes := []attribute.KeyValue{attribute.String("http.request.method", "POST")}
	u, err := url.Parse(ep.URL)
	if err != nil {
		return attributes
	}
	port, _ := strconv.Atoi(u.Port())
	switch {
	case port != 0:
	case u.Scheme == "http":
		port = 80
	default:
		port = 443
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return append(attributes,
		attribute.String("url.full", shown.String()), attribute.String("server.address", u.Hostname()), attribute.Int("server.port", port))
}

// end ends an attempt's span.
func end(span trace.Span, c claim, got answer) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	if got.status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", got.status))
	}
	if resent := c.attempt() - 1; resent > 0 {
		span.SetAttributes(attribute.Int("http.request.resend_count", resent))
	}
	if got.fault == "" {
		return
	}
	kind := string(got.cause)
	if kind == "" {
		kind = strconv.Itoa(got.status)
	}
	span.SetAttributes(attribute.String("error.type", kind))
	span.SetStatus(codes.Error, got.fault)
}
