package domain_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/domain/domaintest"
)

var update = flag.Bool("update", false, "write the schemas of events anew, where that takes nothing away from them")

// A schema may come to allow more, in fields that may be absent, and to say more. What it said it goes
// on to say: whoever reads by it, or by a copy of it, reads on. A type that needs anything else needs a new
// version.
func TestEverySchemaSaysWhatIsStored(t *testing.T) {
	t.Parallel()
	d := newDescriber(t)
	var files []string
	for _, event := range domain.Events() {
		for i, zero := range domain.Versions(event) {
			path := fmt.Sprintf("schemas/%s.v%d.json", event.EventType(), i+1)
			want := d.schema(t, event, i+1, zero)
			if now, err := os.ReadFile(path); err == nil {
				require.Empty(t, lost(t, now, []byte(want)), "%s: the type needs a new version", path)
			}
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
			}
			require.Equal(t, want, string(read(t, path)), "make generate writes it")
			files = append(files, path)
		}
	}
	there, err := filepath.Glob("schemas/*")
	require.NoError(t, err)
	require.ElementsMatch(t, files, there)
}

// lost returns what a schema says no more, or asks for besides.
func lost(t *testing.T, before, after []byte) []string {
	t.Helper()
	var was, is any
	require.NoError(t, json.Unmarshal(before, &was))
	require.NoError(t, json.Unmarshal(after, &is))
	return compare("", was, is)
}

// compare returns the paths of what is not in both, but for what may be added, and for words.
func compare(path string, was, is any) (faults []string) {
	before, ok1 := was.(map[string]any)
	after, ok2 := is.(map[string]any)
	if !ok1 || !ok2 {
		if !reflect.DeepEqual(was, is) {
			faults = append(faults, path)
		}
		return faults
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if named := isNamed(path); named || !slices.Contains(words, name) {
			faults = append(faults, compare(path+"/"+name, before[name], after[name])...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, known := before[name]; !known && !isNamed(path) && !slices.Contains(words, name) {
			faults = append(faults, path+"/"+name)
		}
	}
	return faults
}

// words are what validates nothing.
var words = []string{"title", "description", "examples"}

// isNamed reports whether what is at path has names that events give.
func isNamed(path string) bool { return strings.HasSuffix(path, "/properties") || path == "/$defs" }

func TestASchemaGainsOptionalFieldsAndLosesNothing(t *testing.T) {
	t.Parallel()
	const before = `{"title":"x","properties":{"a":{"type":"string"},"title":{"$ref":"#/$defs/D"}},"required":["a"],` +
		`"$defs":{"D":{"properties":{"n":{"type":"integer"}}}}}`
	for _, c := range []struct{ from, to, lost string }{
		{`"title":"x"`, `"title":"y","description":"z"`, ""},
		{`"a":{"type":"string"}`, `"a":{"type":"string","examples":["q"]},"b":{"type":"string"}`, ""},
		{`"$defs":{`, `"$defs":{"E":{"type":"object"},`, ""},
		{`"n":{`, `"m":{"type":"object"},"n":{`, ""},
		{`"a":{"type":"string"},`, ``, "/properties/a"},
		{`"title":{"$ref":"#/$defs/D"}`, `"b":{}`, "/properties/title"},
		{`"a":{"type":"string"}`, `"a":{"type":["string","null"]}`, "/properties/a/type"},
		{`"a":{"type":"string"}`, `"a":{"type":"string","format":"date"}`, "/properties/a/format"},
		{`"a":{"type":"string"}`, `"a":{}`, "/properties/a/type"},
		{`"required":["a"]`, `"required":["a","title"]`, "/required"},
		{`"required":["a"],`, ``, "/required"},
		{`"integer"`, `"number"`, "/$defs/D/properties/n/type"},
	} {
		after := strings.Replace(before, c.from, c.to, 1)
		require.NotEqual(t, before, after)
		require.Equal(t, c.lost, strings.Join(lost(t, []byte(before), []byte(after)), " "), after)
	}
}

func TestEveryGoldenFileFitsItsSchema(t *testing.T) {
	t.Parallel()
	for _, event := range domain.Events() {
		for i := range domain.Versions(event) {
			for _, path := range goldenPaths(t, event.EventType(), i+1) {
				require.NoError(t, domaintest.Fits(event.EventType(), i+1, read(t, path)), path)
			}
		}
	}
	require.Error(t, domaintest.Fits("dispatch.cancelled", 1, []byte(`{"dispatch":"dsp_1","delivery":"dcf_1","destination":"dst_1"}`)), "a field lacks")
	require.Error(t, domaintest.Fits("delivery.paused", 1, []byte(`{"delivery":"dcf_1","colour":"red"}`)), "a field that is not described")
}

func TestWhateverAnEventHoldsFitsItsSchema(t *testing.T) {
	t.Parallel()
	for _, event := range domain.Events() {
		for i, zero := range domain.Versions(event) {
			rapid.Check(t, func(rt *rapid.T) {
				stored := reflect.New(reflect.TypeOf(zero)).Elem()
				fill(rt, stored, "", 0)
				data := encode(t, stored.Interface())
				require.NoError(rt, domaintest.Fits(event.EventType(), i+1, []byte(data)), data)
			})
		}
	}
}

// fill gives v any value that it may have in an event, under a name in JSON. Some of what is of variable size is left
// nil.
func fill(t *rapid.T, v reflect.Value, name string, depth int) {
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		micros := rapid.Int64Range(0, 4e15).Draw(t, name)
		v.Set(reflect.ValueOf(time.UnixMicro(micros).UTC()))
		return
	case reflect.TypeFor[json.RawMessage]():
		samples := map[string][]string{
			"object": {`{}`, `{"id":"comp_1","revenue":1e400,"nested":{"a":[null]}}`}, "array": {`[]`, `[{"id":"pros_1"}]`},
		}
		v.SetBytes([]byte(rapid.SampledFrom(samples[raw[name]]).Draw(t, name)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range reflect.VisibleFields(v.Type()) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !field.Anonymous && name != "-" {
				fill(t, v.FieldByIndex(field.Index), name, depth+1)
			}
		}
	case reflect.Pointer:
		if depth < 4 && rapid.Bool().Draw(t, name) {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), name, depth+1)
		}
	case reflect.Slice:
		if depth < 4 && rapid.Bool().Draw(t, name) {
			v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(0, 2).Draw(t, name), 2))
			for i := range v.Len() {
				fill(t, v.Index(i), name, depth+1)
			}
		}
	case reflect.Map:
		for key, value := range rapid.MapOfN(rapid.String(), rapid.String(), 0, 2).Draw(t, name) {
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			v.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(value))
		}
	case reflect.String:
		v.SetString(rapid.String().Draw(t, name))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, name))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, name))
	case reflect.Float64:
		v.SetFloat(rapid.Float64Range(-1e9, 1e9).Draw(t, name))
	case reflect.Interface:
		v.Set(reflect.ValueOf(rapid.SampledFrom([]any{"text", 7.5, true, []any{"a", 1.0}}).Draw(t, name)))
	default:
		require.Fail(t, "no value of "+v.Type().String())
	}
}
