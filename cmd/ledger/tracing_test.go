package main

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// A collected is a span as an OTLP receiver got it.
type collected struct {
	service, name, trace, id, parent string
	attributes                       map[string]*common.AnyValue
}

// A spans is an OTLP receiver that keeps spans.
type spans struct {
	url string

	mu   sync.Mutex
	kept []collected
}

// newSpans starts an OTLP receiver.
func newSpans(t *testing.T) *spans {
	t.Helper()
	s := &spans{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// ServeHTTP keeps what is exported.
func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request collector.ExportTraceServiceRequest
	body, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		service := attributesOf(resource.GetResource().GetAttributes())["service.name"].GetStringValue()
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				s.kept = append(s.kept, collected{
					service: service, name: span.GetName(), attributes: attributesOf(span.GetAttributes()),
					trace: hex.EncodeToString(span.GetTraceId()), id: hex.EncodeToString(span.GetSpanId()), parent: hex.EncodeToString(span.GetParentSpanId()),
				})
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// attributesOf returns attributes by key.
func attributesOf(list []*common.KeyValue) map[string]*common.AnyValue {
	all := map[string]*common.AnyValue{}
	for _, a := range list {
		all[a.GetKey()] = a.GetValue()
	}
	return all
}

// of returns the spans of a trace by their IDs.
func (s *spans) of(trace string) map[string]collected {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]collected{}
	for _, span := range s.kept {
		if span.trace == trace {
			all[span.id] = span
		}
	}
	return all
}

// qualifyIn sends a company in, in the caller's trace.
func (c client) qualifyIn(t *testing.T, delivery, company, traceparent string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.base()+"/api/v1/deliveries/"+delivery+"/qualifications",
		strings.NewReader(qualification(company)))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", traceparent)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestACompanysWayIsOneTraceFromTheCallerToTheReceiver(t *testing.T) {
	t.Parallel()
	const caller, callerSpan = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	database, receiver := testdb.URL(t), newSpans(t)
	p := startWith(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + receiver.url, "OTEL_SERVICE_NAME=ledger-under-test"},
		"serve", "--database-url", database, "--encryption-key", encryptionKey(),
		"--listen", "127.0.0.1:0", "--allow-private-destinations", "--log-format", "json", "--retry-schedule", "50ms")
	c := p.at(newKey(t, database))
	r := newReceiver(t, func(n int) int {
		if n == 1 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	delivery := c.delivery(t, r.url)
	c.qualifyIn(t, delivery, "comp_1", "00-"+caller+"-"+callerSpan+"-01")
	c.awaitCount(t, delivery, "delivered", 1)
	require.NoError(t, p.stop(t)) // which sends what is left

	all := receiver.of(caller)
	var ways []string
	for _, w := range r.got() {
		parts := strings.Split(w.header.Get("Traceparent"), "-")
		require.Equal(t, caller, parts[1])
		way := ""
		for id := parts[2]; id != callerSpan; id = all[id].parent {
			require.Contains(t, all, id)
			require.Equal(t, "ledger-under-test", all[id].service)
			way += all[id].name + " < "
		}
		ways = append(ways, way)
		require.Equal(t, r.url, all[parts[2]].attributes["url.full"].GetStringValue())
	}
	const way = "POST < append < POST /api/v1/deliveries/{delivery_id}/qualifications < "
	require.Equal(t, []string{way, way}, ways)
}

func TestNothingIsTracedUnlessTheEnvironmentAsksForIt(t *testing.T) {
	t.Parallel()
	for want, environments := range map[bool][]map[string]string{
		false: {
			{},
			{"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"},
			{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"},
			{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"},
		},
		true: {
			{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
			{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"},
			{"OTEL_TRACES_EXPORTER": "otlp"},
			{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
		},
	} {
		for _, env := range environments {
			got, err := wantsTraces(func(name string) string { return env[name] })
			require.NoError(t, err)
			require.Equal(t, want, got, env)
		}
	}
	for want, env := range map[string]map[string]string{
		"OTEL_TRACES_EXPORTER must be otlp or none, not zipkin":          {"OTEL_TRACES_EXPORTER": "zipkin"},
		"OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, not grpc":    {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
		"OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, not http/js": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/js"},
	} {
		_, err := wantsTraces(func(name string) string { return env[name] })
		require.EqualError(t, err, want)
	}
}
