package rest

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// join returns a context in the caller's trace, if the request tells of one as W3C's Trace Context
// asks for, and ctx if not. Events that the request causes carry it.
func join(ctx context.Context, header http.Header) context.Context {
	parent := header["Traceparent"]
	if len(parent) != 1 {
		return ctx
	}
	return eventstore.WithTrace(ctx, eventstore.Trace{Parent: parent[0], State: strings.Join(header["Tracestate"], ",")})
}

// begin begins the span of a request to the API, if requests are traced.
func (s *Server) begin(ctx context.Context, c echo.Context, id string) (context.Context, trace.Span) {
	none := trace.SpanFromContext(context.Background()) // of no effect
	if s.cfg.Tracer == nil {
		return ctx, none
	}
	method := c.Request().Method
	op := s.contract.operation(method, c.Path())
	if op == nil || !strings.HasPrefix(op.template, "/api/") {
		return ctx, none
	}
	return s.cfg.Tracer.Start(ctx, method+" "+op.template, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", method), attribute.String("http.route", op.template),
		attribute.String("url.scheme", c.Scheme()), attribute.String("url.path", c.Request().URL.Path),
		attribute.String("ledger.request", id),
	))
}

// end ends the span of a request that was answered with status.
func end(span trace.Span, status int) {
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetAttributes(attribute.String("error.type", strconv.Itoa(status)))
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
}
