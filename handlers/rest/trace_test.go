package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest"
)

// The sample of the W3C's Trace Context.
const (
	sampleTrace  = "0af7651916cd43dd8448eb211c80319c"
	sampleParent = "00-" + sampleTrace + "-b7ad6b7169203331-01"
)

// traceOfNew makes a delivery with the given headers, and returns the trace of its event.
func (f *fixtures) traceOfNew(t *testing.T, c client, header ...string) eventstore.Trace {
	t.Helper()
	id := c.call(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"CRM"}`, header...).field(t, "id")
	records, err := f.store.ReadStream(t.Context(), domain.DeliveryStream(domain.DeliveryID(id)))
	require.NoError(t, err)
	var m eventstore.Metadata
	require.NoError(t, json.Unmarshal(records[0].Metadata, &m))
	require.NotEmpty(t, m.Actor)
	return m.Trace
}

func TestEventsCarryTheCallersTrace(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	require.Zero(t, f.traceOfNew(t, c))
	require.NotContains(t, f.log.String(), `"trace"`)
	require.Equal(t, eventstore.Trace{Parent: sampleParent, State: "congo=t61rcWkgMzE"},
		f.traceOfNew(t, c, "traceparent", sampleParent, "tracestate", "congo=t61rcWkgMzE"))
	require.Contains(t, f.log.String(), `"trace":"`+sampleTrace+`"`)
	require.Zero(t, f.traceOfNew(t, c, "tracestate", "congo=t61rcWkgMzE"), "a state alone says nothing")
	for _, invalid := range []string{
		"x", strings.ToUpper(sampleParent), "ff" + sampleParent[2:], sampleParent + "-01", "00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01",
	} {
		require.Zero(t, f.traceOfNew(t, c, "traceparent", invalid), invalid)
	}
}

func TestRequestIsASpanInTheCallersTrace(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	c, f := setup(t, func(cfg *rest.Config) { cfg.Tracer = tracer })
	got := f.traceOfNew(t, c, "traceparent", sampleParent, "x-request-id", "req-1")
	require.Equal(t, sampleTrace, got.ID())
	require.Eventually(t, func() bool { return len(spans.Ended()) == 1 }, waitFor, tick) // it ends when it is answered
	span := spans.Ended()[0]
	require.Equal(t, "b7ad6b7169203331", span.Parent().SpanID().String())
	require.Contains(t, got.Parent, span.SpanContext().SpanID().String())
	require.Equal(t, "POST /api/v1/deliveries", span.Name())
	require.Equal(t, trace.SpanKindServer, span.SpanKind())
	attributes := map[string]any{}
	for _, a := range span.Attributes() {
		attributes[string(a.Key)] = a.Value.AsInterface()
	}
	require.Equal(t, map[string]any{
		"http.request.method": "POST", "http.route": "/api/v1/deliveries", "url.path": "/api/v1/deliveries", "url.scheme": "http",
		"http.response.status_code": int64(http.StatusCreated), "ledger.request": "req-1",
	}, attributes)

	require.NotEqual(t, sampleTrace, f.traceOfNew(t, c).ID(), "a request of no trace begins one")
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/nowhere"} {
		c.send(t, http.MethodGet, path, "")
	}
	f.traceOfNew(t, c)
	require.Eventually(t, func() bool { return len(spans.Ended()) >= 3 }, waitFor, tick)
	for _, span := range spans.Ended() {
		require.Equal(t, "POST /api/v1/deliveries", span.Name(), "what is asked all the time is not traced")
	}
}
