package webhooks_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/projections"
)

// The sample of the W3C's Trace Context.
const (
	sampleTrace  = "0af7651916cd43dd8448eb211c80319c"
	sampleParent = "00-" + sampleTrace + "-b7ad6b7169203331-01"
)

// traced makes the attempts of b begin spans, which the recorder gets.
func (b *bundle) traced(opts ...sdktrace.TracerProviderOption) *tracetest.SpanRecorder {
	spans := tracetest.NewSpanRecorder()
	opts = append(opts, sdktrace.WithSpanProcessor(spans), sdktrace.WithIDGenerator(webhooks.TraceIDs{}))
	b.cfg.Tracer = sdktrace.NewTracerProvider(opts...).Tracer("test")
	return spans
}

// qualifyIn hands a company over in a trace.
func (b *bundle) qualifyIn(t *testing.T, d domain.Delivery, in eventstore.Trace) domain.HandOverID {
	t.Helper()
	o := b.qualifyEach(eventstore.WithTrace(t.Context(), in), d, names(1))[0]
	require.NoError(t, o.Err)
	return o.State.ID
}

// traces returns the trace of each event of a dispatch, once there are n.
func (b *bundle) traces(t *testing.T, id domain.DispatchID, n int) []eventstore.Trace {
	t.Helper()
	b.events(t, id, n)
	records, err := b.store.ReadStream(t.Context(), domain.DispatchStream(id))
	require.NoError(t, err)
	list := make([]eventstore.Trace, len(records))
	for i, rec := range records {
		var m eventstore.Metadata
		require.NoError(t, json.Unmarshal(rec.Metadata, &m))
		require.Equal(t, "attempter", m.Actor)
		list[i] = m.Trace
	}
	return list
}

// attributes returns those of a span.
func attributes(span sdktrace.ReadOnlySpan) map[string]any {
	all := map[string]any{}
	for _, a := range span.Attributes() {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all
}

func TestCallersTraceGoesOnToTheReceiverAlsoWhenNothingIsTraced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, failing(1, http.StatusInternalServerError))
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	in := eventstore.Trace{Parent: sampleParent, State: "congo=t61rcWkgMzE"}
	handOver := b.qualifyIn(t, d, in)
	for _, got := range r.await(t, 2) {
		require.Equal(t, []string{sampleParent}, got.header["Traceparent"])
		require.Equal(t, []string{"congo=t61rcWkgMzE"}, got.header["Tracestate"])
	}
	require.Equal(t, []eventstore.Trace{in, in}, b.traces(t, domain.DispatchIDFor(handOver, dst.ID), 2))
}

func TestAttemptIsASpanInTheTraceOfItsHandOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	spans := b.traced()
	r := newReceiver(t, failing(1, http.StatusServiceUnavailable))
	dst := destination(r.URL + "/hook/in?token=hidden")
	d := b.delivery(t, dst)
	b.work(t)
	handOver := b.qualifyIn(t, d, eventstore.Trace{Parent: sampleParent, State: "congo=t61rcWkgMzE"})
	id := domain.DispatchIDFor(handOver, dst.ID)
	got, recorded := r.await(t, 2), b.traces(t, id, 2)
	require.Len(t, spans.Ended(), 2)
	for i, span := range spans.Ended() {
		parent := "00-" + sampleTrace + "-" + span.SpanContext().SpanID().String() + "-01"
		require.Equal(t, []string{parent}, got[i].header["Traceparent"])
		require.Equal(t, []string{"congo=t61rcWkgMzE"}, got[i].header["Tracestate"])
		require.Equal(t, eventstore.Trace{Parent: parent, State: "congo=t61rcWkgMzE"}, recorded[i])
		require.Equal(t, "b7ad6b7169203331", span.Parent().SpanID().String())
		require.Equal(t, "POST", span.Name())
		require.Equal(t, trace.SpanKindClient, span.SpanKind())
		a := attributes(span)
		require.Equal(t, "POST", a["http.request.method"])
		require.Equal(t, r.URL+"/hook/in", a["url.full"], "what a URL asks for may be a secret")
		require.Equal(t, "127.0.0.1", a["server.address"])
		require.Positive(t, a["server.port"])
		require.Equal(t, string(id), a["ledger.dispatch"])
		require.Equal(t, string(handOver), a["ledger.hand_over"])
		require.Equal(t, string(d.ID), a["ledger.delivery"])
		require.Equal(t, string(dst.ID), a["ledger.destination"])
		require.Equal(t, int64(i+1), a["ledger.attempt"])
	}
	failed, succeeded := spans.Ended()[0], spans.Ended()[1]
	require.Equal(t, codes.Error, failed.Status().Code)
	require.Equal(t, "503", attributes(failed)["error.type"])
	require.Equal(t, int64(503), attributes(failed)["http.response.status_code"])
	require.Equal(t, codes.Unset, succeeded.Status().Code)
	require.Equal(t, int64(200), attributes(succeeded)["http.response.status_code"])
	require.Equal(t, int64(1), attributes(succeeded)["http.request.resend_count"])
	require.NotContains(t, attributes(succeeded), "error.type")
}

func TestAttemptsOfAHandOverInNoTraceShareItsOwn(t *testing.T) {
	t.Parallel()
	for name, sampler := range map[string]sdktrace.Sampler{"untraced": nil, "traced": sdktrace.AlwaysSample(), "left out": sdktrace.NeverSample()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			flags := "-01"
			if sampler != nil {
				b.traced(sdktrace.WithSampler(sampler))
			}
			if name == "left out" {
				flags = "-00"
			}
			r := newReceiver(t, failing(1, http.StatusInternalServerError))
			one, other := destination(r.URL), destination(r.URL)
			d := b.delivery(t, one, other)
			b.work(t)
			handOver := b.qualify(t, d, "comp_1")[0]
			sum := sha256.Sum256([]byte(handOver))
			spans := map[string]bool{}
			for _, got := range r.await(t, 4) {
				parent := got.header.Get("Traceparent")
				require.Regexp(t, "^00-"+hex.EncodeToString(sum[:16])+"-[0-9a-f]{16}"+flags+"$", parent)
				spans[strings.Split(parent, "-")[2]] = true
				require.NotContains(t, got.header, "Tracestate")
			}
			require.Len(t, spans, 4)
			recorded := b.traces(t, domain.DispatchIDFor(handOver, one.ID), 2)
			if sampler == nil {
				require.Equal(t, make([]eventstore.Trace, 2), recorded, "what follows from an ID is not kept")
			}
		})
	}
}

func TestTestOfADestinationIsInTheCallersTrace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	ctx := eventstore.WithTrace(t.Context(), eventstore.Trace{Parent: sampleParent})
	_, _, err := webhooks.NewTester(b.store, b.vault, b.cfg.Sender).Test(ctx, d.ID, d.Destinations[dst.ID])
	require.NoError(t, err)
	require.Equal(t, sampleParent, r.all()[0].header.Get("Traceparent"))
}

func TestEachAttemptIsALineWithoutSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var log bytes.Buffer
	b.cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
	r := newReceiver(t, func(w http.ResponseWriter, nth int) {
		if nth == 1 {
			w.Header().Set("X-Heard", "hidden-token")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("hidden-token"))
		}
	})
	dst := destination(r.URL + "/?key=hidden-query")
	dst.AuthType, dst.AuthSecret = domain.AuthBearer, b.secret(t, "hidden-token")
	d := b.delivery(t, dst)
	stop := b.work(t)
	handOver := b.qualifyIn(t, d, eventstore.Trace{Parent: sampleParent})
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 1})
	stop() // and with it who writes the log

	require.NotContains(t, log.String(), "hidden")
	var lines []map[string]any
	for line := range strings.Lines(log.String()) {
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		if fields["msg"] == "attempt" {
			lines = append(lines, fields)
		}
	}
	require.Len(t, lines, 2)
	for i, want := range []map[string]any{
		{"status": 502.0, "outcome": "status_5xx", "error": "the destination answered 502 Bad Gateway"},
		{"status": 200.0, "outcome": "success"},
	} {
		took, ok := lines[i]["took"].(float64)
		require.True(t, ok)
		require.Less(t, time.Duration(took), patience)
		for _, varies := range []string{"time", "took"} {
			delete(lines[i], varies)
		}
		want["level"], want["msg"], want["attempt"] = "INFO", "attempt", float64(i+1)
		want["dispatch"], want["hand_over"] = string(domain.DispatchIDFor(handOver, dst.ID)), string(handOver)
		want["delivery"], want["destination"], want["company"] = string(d.ID), string(dst.ID), string(names(1)[0])
		want["trace"] = sampleTrace
		require.Equal(t, want, lines[i])
	}
}

// The IDs of a trace that nothing asked for are random.
func TestIDsOfTracesDiffer(t *testing.T) {
	t.Parallel()
	one, first := webhooks.TraceIDs{}.NewIDs(t.Context())
	other, second := webhooks.TraceIDs{}.NewIDs(t.Context())
	require.True(t, one.IsValid() && first.IsValid())
	require.NotEqual(t, one, other)
	require.NotEqual(t, first, second)
}
