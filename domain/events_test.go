package domain_test

import (
	"bytes"
	"encoding/json"
	"fmt"
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

// The files in testdata/events are what the log holds, written by hand. A version of a type
// that no longer fits its file can't read what is stored: the type needs a new version, not
// a new file. A field that was added, and may be absent, is in a further file of the version;
// the files before it show that events without the field are read and stored as they were.
func TestEveryEventIsStoredAsItsGoldenFilesSay(t *testing.T) {
	t.Parallel()
	for _, zero := range domain.Events() {
		for i, version := range domain.Versions(zero) {
			t.Run(fmt.Sprint(zero.EventType(), ".v", i+1), func(t *testing.T) {
				t.Parallel()
				var stored any
				for _, path := range goldenPaths(t, zero.EventType(), i+1) {
					stored = decodeFile(t, version, path)
					require.JSONEq(t, string(read(t, path)), encode(t, stored), path)
				}
				requireSet(t, reflect.ValueOf(stored), zero.EventType())
			})
		}
	}
}

// What an event of a former version is in the next one stands in a file beside each of its golden
// files, such as company.qualified.v1.2.upcast.json beside company.qualified.v1.2.json.
func TestEveryFormerVersionIsReadAsTheNextOne(t *testing.T) {
	t.Parallel()
	for _, zero := range domain.Events() {
		versions := domain.Versions(zero)
		for i := range versions[1:] {
			for _, path := range goldenPaths(t, zero.EventType(), i+1) {
				former := decodeFile(t, versions[i], path).(domain.Former)
				require.Equal(t, decodeFile(t, versions[i+1], upcastPath(path)), former.Upcast(), path)
			}
		}
	}
}

func TestEveryGoldenFileIsOfAnEvent(t *testing.T) {
	t.Parallel()
	var want, files []string
	for _, event := range domain.Events() {
		versions := domain.Versions(event)
		for i := range versions {
			paths := goldenPaths(t, event.EventType(), i+1)
			want = append(want, paths...)
			for _, path := range paths {
				if i < len(versions)-1 {
					want = append(want, upcastPath(path))
				}
			}
		}
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
		event := golden(t, zero)
		kind, _, _ := strings.Cut(event.EventType(), ".")
		stream := map[string]string{"destination": "delivery", "attempt": "dispatch", "backfill": "replay"}[kind]
		if stream == "" {
			stream = kind
		}
		all[stream] = append(all[stream], event)
	}
	require.Len(t, all, 8)

	delivery := domain.Delivery{ID: dcf, Organisation: acme, Status: domain.Active}
	handOver := domain.HandOver{ID: "del_1", Company: "comp_1"}
	dispatch := domain.Dispatch{Attempts: 1, Status: domain.Retrying}
	exclusion := domain.Exclusion{Excluded: domain.Excluded{Exclusion: "exc_1"}, Stands: true}
	replay := domain.Replay{ID: "rpl_1", Delivery: dcf, Status: domain.ReplayRunning}
	requalification := domain.Requalification{ID: "rql_1", Delivery: dcf, Status: domain.RequalificationRunning}
	erasure := domain.Erasure{ID: "ers_1", Status: domain.ErasureRunning}
	retention := domain.Retention{UpTo: 7}
	for stream, events := range all {
		for _, event := range events {
			if stream != "erasure" {
				require.Equal(t, erasure, erasure.Evolve(event), event.EventType())
			}
			if stream != "retention" {
				require.Equal(t, retention, retention.Evolve(event), event.EventType())
			}
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

// goldenPath names the first file of a version of a type of event.
func goldenPath(eventType string, version int) string {
	return fmt.Sprintf("testdata/events/%s.v%d.json", eventType, version)
}

// goldenPaths names all files of a version of a type of event, the one with the last added fields last.
func goldenPaths(t *testing.T, eventType string, version int) []string {
	t.Helper()
	first := goldenPath(eventType, version)
	added, err := filepath.Glob(strings.TrimSuffix(first, "json") + "*[0-9].json")
	require.NoError(t, err)
	return append([]string{first}, added...)
}

// upcastPath names the file that says what the event of a file is in the next version.
func upcastPath(path string) string { return strings.TrimSuffix(path, "json") + "upcast.json" }

// golden returns an event of zero's type, as the first file of its own version has it.
func golden(t *testing.T, zero domain.Event) domain.Event {
	t.Helper()
	return decodeFile(t, zero, goldenPath(zero.EventType(), len(domain.Versions(zero))))
}

// read returns what is in a file.
func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

// decodeFile returns what a file holds, as decode does.
func decodeFile[T any](t *testing.T, zero T, path string) T {
	t.Helper()
	return decode(t, zero, read(t, path))
}

// decode returns what data holds, which is of zero's type and has no field that the type
// does not know.
func decode[T any](t *testing.T, zero T, data []byte) T {
	t.Helper()
	stored := reflect.New(reflect.TypeOf(zero))
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(stored.Interface()))
	require.False(t, dec.More(), "one event to a file")
	return stored.Elem().Interface().(T)
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
