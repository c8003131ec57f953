package eventstore

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// A Trace is a place in a W3C trace context: a span and the trace that it is part of. The zero
// Trace is none.
type Trace struct {
	Parent string `json:"traceparent,omitempty"` // as in the header of that name
	State  string `json:"tracestate,omitempty"`  // likewise; empty when it is too long to be kept
}

// Parts of a traceparent of version 00.
const (
	parentLength = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	traceIDBegin = len("00-")
	traceIDEnd   = traceIDBegin + 32
)

// longestState is how much of a tracestate is kept: what the standard asks for.
const longestState = 512

// ID returns the ID of the trace, "" of the zero Trace.
func (t Trace) ID() string {
	if len(t.Parent) < traceIDEnd {
		return ""
	}
	return t.Parent[traceIDBegin:traceIDEnd]
}

// WithTrace returns a context that is at t, as if from another process. When t is not valid it
// returns ctx, and when its state alone is not, it leaves that out.
func WithTrace(ctx context.Context, t Trace) context.Context {
	if len(t.Parent) < parentLength || t.Parent[:2] == "00" && len(t.Parent) != parentLength {
		return ctx
	}
	if len(t.State) > longestState {
		t.State = ""
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": t.Parent, "tracestate": t.State})
}

// TraceFrom returns where ctx is, the zero Trace if it is in no trace.
func TraceFrom(ctx context.Context) Trace {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return Trace{}
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return Trace{Parent: carrier["traceparent"], State: carrier["tracestate"]}
}

// begin begins the span of n appends, if ctx is in a trace and the store takes part in it.
func (s *Store) begin(ctx context.Context, n int) (context.Context, trace.Span) {
	if s.tracer == nil || !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, trace.SpanFromContext(context.Background()) // of no effect
	}
	return s.tracer.Start(ctx, "append", trace.WithAttributes(attribute.Int("ledger.appends", n)))
}
