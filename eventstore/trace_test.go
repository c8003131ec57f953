package eventstore_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// The sample of the W3C's Trace Context.
const (
	sampleTrace  = "0af7651916cd43dd8448eb211c80319c"
	sampleParent = "00-" + sampleTrace + "-b7ad6b7169203331-01"
)

func TestTraceIsThatOfTheContext(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	require.Zero(t, eventstore.TraceFrom(ctx))
	require.Empty(t, eventstore.Trace{}.ID())
	for name, trace := range map[string]eventstore.Trace{
		"sampled":     {Parent: sampleParent},
		"not sampled": {Parent: strings.TrimSuffix(sampleParent, "01") + "00"},
		"with state":  {Parent: sampleParent, State: "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"},
	} {
		require.Equal(t, trace, eventstore.TraceFrom(eventstore.WithTrace(ctx, trace)), name)
		require.Equal(t, sampleTrace, trace.ID(), name)
	}
	later := eventstore.Trace{Parent: "cc" + strings.TrimPrefix(sampleParent, "00") + "-what-comes"}
	require.Equal(t, sampleParent, eventstore.TraceFrom(eventstore.WithTrace(ctx, later)).Parent, "of a later version, as this one")
	for name, state := range map[string]string{"too long": "a=" + strings.Repeat("x", 511), "no list": "a b", "twice": "a=1,a=2"} {
		got := eventstore.TraceFrom(eventstore.WithTrace(ctx, eventstore.Trace{Parent: sampleParent, State: state}))
		require.Equal(t, eventstore.Trace{Parent: sampleParent}, got, name)
	}
}

func TestInvalidTraceIsIgnored(t *testing.T) {
	t.Parallel()
	const span = "b7ad6b7169203331"
	for name, parent := range map[string]string{
		"none":             "",
		"no text":          "x",
		"version ff":       "ff-" + sampleTrace + "-" + span + "-01",
		"upper case":       "00-" + strings.ToUpper(sampleTrace) + "-" + span + "-01",
		"no hexadecimal":   "00-" + strings.Replace(sampleTrace, "0", "g", 1) + "-" + span + "-01",
		"trace of zeros":   "00-" + strings.Repeat("0", 32) + "-" + span + "-01",
		"span of zeros":    "00-" + sampleTrace + "-" + strings.Repeat("0", 16) + "-01",
		"short trace":      "00-" + sampleTrace[1:] + "-" + span + "-01",
		"no flags":         "00-" + sampleTrace + "-" + span,
		"more than it has": sampleParent + "-01",
		"an end":           sampleParent + "-",
	} {
		ctx := eventstore.WithTrace(t.Context(), eventstore.Trace{Parent: parent, State: "a=1"})
		require.Zero(t, eventstore.TraceFrom(ctx), name)
	}
}

// metadataOf returns what is stored of the one event of a stream.
func metadataOf(t *testing.T, store *eventstore.Store, stream string) (string, eventstore.Metadata) {
	t.Helper()
	records, err := store.ReadStream(t.Context(), stream)
	require.NoError(t, err)
	require.Len(t, records, 1)
	var m eventstore.Metadata
	require.NoError(t, json.Unmarshal(records[0].Metadata, &m))
	return string(records[0].Metadata), m
}

func TestEventsCarryTheTraceInWhichTheyWereRecorded(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	spans := tracetest.NewSpanRecorder()
	traced := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	plain, tracing := newStore(pool), newStore(pool, eventstore.Options{Tracer: traced})
	appendTo := func(ctx context.Context, s *eventstore.Store, stream string) {
		_, err := s.Append(ctx, note(stream, 0, "x"))
		require.NoError(t, err)
	}
	known := eventstore.WithMetadata(within(t), eventstore.Metadata{Actor: "key_1"})
	called := eventstore.WithTrace(known, eventstore.Trace{Parent: sampleParent, State: "a=1"})

	appendTo(within(t), plain, "nobody")
	appendTo(known, tracing, "untraced")
	appendTo(called, plain, "called")
	raw, _ := metadataOf(t, plain, "nobody")
	require.Equal(t, "{}", raw)
	raw, _ = metadataOf(t, plain, "untraced")
	require.JSONEq(t, `{"actor":"key_1"}`, raw, "no trace is begun for an append")
	raw, m := metadataOf(t, plain, "called")
	require.JSONEq(t, `{"actor":"key_1","traceparent":"`+sampleParent+`","tracestate":"a=1"}`, raw)
	require.Equal(t, eventstore.Trace{Parent: sampleParent, State: "a=1"}, m.Trace)
	require.Empty(t, spans.Ended())

	appendTo(called, tracing, "traced")
	_, m = metadataOf(t, plain, "traced")
	require.Len(t, spans.Ended(), 1)
	span := spans.Ended()[0]
	require.Equal(t, "append", span.Name())
	require.Equal(t, "b7ad6b7169203331", span.Parent().SpanID().String())
	require.Equal(t, "00-"+sampleTrace+"-"+span.SpanContext().SpanID().String()+"-01", m.Parent)
	require.Equal(t, "a=1", m.State)
	require.Equal(t, "key_1", m.Actor)
}
