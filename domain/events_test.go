package domain_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

// The files in testdata/events are what the log holds, written by hand. A type of event
// that no longer fits its file can't read what is stored: it needs a new version, not a
// new file. A field that was added, and may be absent, is in a further file of the version;
// the files before it show that events without the field are read and stored as they were.
func TestEveryEventIsStoredAsItsGoldenFilesSay(t *testing.T) {
	t.Parallel()
	for _, zero := range domain.Events() {
		t.Run(zero.EventType(), func(t *testing.T) {
			t.Parallel()
			var event domain.Event
			for _, path := range goldenPaths(t, zero.EventType()) {
				data, err := os.ReadFile(path)
				require.NoError(t, err)
				event = decode(t, zero, data)
				require.JSONEq(t, string(data), encode(t, event), path)
			}
			requireSet(t, reflect.ValueOf(event), zero.EventType())
		})
	}
}

func TestEveryGoldenFileIsOfAnEvent(t *testing.T) {
	t.Parallel()
	var want, files []string
	for _, event := range domain.Events() {
		want = append(want, goldenPaths(t, event.EventType())...)
	}
	files, err := filepath.Glob("testdata/events/*")
	require.NoError(t, err)
	require.ElementsMatch(t, want, files)
}

// The compiler does not tell when an event is declared but not listed: the log would
// take it and never read it again.
func TestEventsListsEveryEvent(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var declared []string
	for _, source := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.Name == "EventType" {
				declared = append(declared, f.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	var listed []string
	for _, event := range domain.Events() {
		listed = append(listed, reflect.TypeOf(event).Name())
	}
	require.ElementsMatch(t, declared, listed)
}

func TestEventsOfOtherStreamsChangeNoState(t *testing.T) {
	t.Parallel()
	all := map[string][]domain.Event{} // by the stream they are of
	for _, zero := range domain.Events() {
		event := decode(t, zero, golden(t, zero.EventType()))
		kind, _, _ := strings.Cut(event.EventType(), ".")
		stream := map[string]string{"destination": "delivery", "attempt": "dispatch"}[kind]
		if stream == "" {
			stream = kind
		}
		all[stream] = append(all[stream], event)
	}
	require.Len(t, all, 6)

	delivery := domain.Delivery{ID: dcf, Organisation: acme, Status: domain.Active}
	handOver := domain.HandOver{ID: "del_1", Company: "comp_1"}
	dispatch := domain.Dispatch{Attempts: 1, Status: domain.Retrying}
	exclusion := domain.Exclusion{Excluded: domain.Excluded{Exclusion: "exc_1"}, Stands: true}
	replay := domain.Replay{ID: "rpl_1", Delivery: dcf, Status: domain.ReplayRunning}
	requalification := domain.Requalification{ID: "rql_1", Delivery: dcf, Status: domain.RequalificationRunning}
	for stream, events := range all {
		for _, event := range events {
			if stream != "delivery" {
				counted := delivery
				counted.Revision++
				require.Equal(t, counted, delivery.Evolve(event), event.EventType())
			}
			if stream != "company" {
				require.Equal(t, handOver, handOver.Evolve(event), event.EventType())
			}
			if stream != "dispatch" {
				require.Equal(t, dispatch, dispatch.Evolve(event), event.EventType())
			}
			if stream != "exclusion" {
				require.Equal(t, exclusion, exclusion.Evolve(event), event.EventType())
				require.Equal(t, domain.Exclusions{}, domain.Exclusions{}.Evolve(event), event.EventType())
			}
			if stream != "replay" {
				require.Equal(t, replay, replay.Evolve(event), event.EventType())
			}
			if stream != "requalification" {
				require.Equal(t, requalification, requalification.Evolve(event), event.EventType())
			}
		}
	}
}

// goldenPath names the file of the first version of a type of event.
func goldenPath(eventType string) string { return "testdata/events/" + eventType + ".v1.json" }

// goldenPaths names all files of a type of event, the one with the last added fields last.
func goldenPaths(t *testing.T, eventType string) []string {
	t.Helper()
	added, err := filepath.Glob("testdata/events/" + eventType + ".v1.*[0-9].json")
	require.NoError(t, err)
	return append([]string{goldenPath(eventType)}, added...)
}

// golden returns what is stored of an event.
func golden(t *testing.T, eventType string) []byte {
	t.Helper()
	data, err := os.ReadFile(goldenPath(eventType))
	require.NoError(t, err)
	return data
}

// decode returns the event that data holds, which is of zero's type and has no field
// that the type does not know.
func decode(t *testing.T, zero domain.Event, data []byte) domain.Event {
	t.Helper()
	event := reflect.New(reflect.TypeOf(zero))
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(event.Interface()))
	require.False(t, dec.More(), "one event to a file")
	return event.Elem().Interface().(domain.Event)
}

// encode returns v in JSON, as it is stored.
func encode(t *testing.T, v any) string {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	require.NoError(t, enc.Encode(v))
	return b.String()
}

// requireSet fails t where something that is stored of v is zero or empty.
func requireSet(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	require.False(t, v.IsZero(), "%s is not set", path)
	if v.Type() == reflect.TypeFor[time.Time]() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		requireSet(t, v.Elem(), path)
	case reflect.Slice, reflect.Map:
		require.NotZero(t, v.Len(), "%s is empty", path)
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.Tag.Get("json") != "-" {
				requireSet(t, v.Field(i), path+"."+field.Name)
			}
		}
	default:
	}
}
