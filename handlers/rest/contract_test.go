package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// bout is how many requests are made of one draw; there are a hundred draws for each operation,
// unless the command line asks for more.
const bout = 3

// A propertyTB is a test that fails as a property does, so that its input is shown and made small.
type propertyTB struct {
	testing.TB
	property *rapid.T
}

// Errorf fails the property.
func (p propertyTB) Errorf(format string, args ...any) { p.property.Errorf(format, args...) }

// FailNow ends the property.
func (p propertyTB) FailNow() { p.property.FailNow() }

// TestWhateverIsSentTheContractHolds sends each operation requests that are made from its
// schemas: valid, at the bounds, and broken. Routes that are added later are met by themselves.
func TestWhateverIsSentTheContractHolds(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	clients := []client{c, c, c, c, c, c, c, {url: c.url}, {url: c.url, key: "lnc_live_no"}, f.client(t, f.org), f.foreigner(t)}
	t.Run("operations", func(t *testing.T) {
		for path, item := range contract().doc.Paths.Map() {
			for method, spec := range item.Operations() {
				op := &bombarded{method: method, path: path, spec: spec, parameters: append(slices.Clone(item.Parameters), spec.Parameters...)}
				t.Run(spec.OperationID, func(t *testing.T) {
					t.Parallel()
					rapid.Check(t, func(rt *rapid.T) {
						for range bout {
							op.bombard(propertyTB{t, rt}, inputs{T: rt, spoil: pick(inputs{T: rt}, 0, 0, 3, 25)}, c, clients)
						}
					})
					op.judge(t)
				})
			}
		}
	})
	for line := range strings.Lines(f.log.String()) {
		require.NotContains(t, line, `"level":"ERROR"`)
	}
}

// bombarded is an operation that gets many requests.
type bombarded struct {
	method, path string
	spec         *openapi3.Operation
	parameters   openapi3.Parameters
	things       map[string]string // that its paths name

	mu       sync.Mutex
	statuses map[int]int // numbers of answers
}

// bombard sends a request that was made from the schemas, and holds the answer to them.
func (b *bombarded) bombard(tb testing.TB, in inputs, owner client, clients []client) {
	tb.Helper()
	if b.things == nil {
		b.things = owner.things(tb)
	}
	path, query, header := b.path, url.Values{}, []string{}
	for _, p := range b.parameters {
		switch name, schema := p.Value.Name, p.Value.Schema.Value; p.Value.In {
		case openapi3.ParameterInPath:
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(b.id(in, name)))
		case openapi3.ParameterInQuery:
			for in.odds(min(40, 100/len(b.parameters))) { // one of many; one that is given twice is broken
				query.Add(name, plain(in.value(schema)))
				if !in.odds(in.spoil) {
					break
				}
			}
		case openapi3.ParameterInHeader:
			if in.odds(30) {
				header = append(header, name, printable(plain(in.value(schema))))
			}
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	body, mediaType := b.body(in)
	if body != "" {
		header = append(header, "Content-Type", mediaType)
	}
	a := pick(in, clients...).send(tb, b.method, path, body, header...)
	require.Less(tb, a.status, 500, "%s %s %q: %.2000s answered %s", b.method, path, header, body, a.body)
	b.count(a.status)
	if a.status == http.StatusNoContent {
		b.things = nil // they are gone
	}
}

// id returns a value for a parameter of the path: one that is real, or none.
func (b *bombarded) id(in inputs, name string) string {
	if real, ok := b.things[name]; ok && in.odds(85) {
		return real
	}
	return pick(in, "dcf_none", "0", "6f1c2b9e-3d5a-4f7e-9a43-0b8d2c1e7f60", "a b", "a%b", "é🦄", "a/b", "\x00", "a\xffb", "'; --", "...", strings.Repeat("x", 3000))
}

// body returns a body and its media type, "" when the operation takes none.
func (b *bombarded) body(in inputs) (body, mediaType string) {
	if b.spec.RequestBody == nil {
		return "", ""
	}
	content := b.spec.RequestBody.Value.Content
	mediaType = pick(in, slices.Sorted(mapKeys(content))...)
	lines := make([]string, 1)
	if mediaType != "application/json" {
		lines = make([]string, rapid.IntRange(1, 4).Draw(in.T, "lines"))
	}
	for i := range lines {
		lines[i] = b.json(in, content["application/json"])
	}
	if in.odds(in.spoil / 5) {
		mediaType = pick(in, "", "text/plain", "application/json; charset=utf-8", "application/json;;", "APPLICATION/JSON", "*/*")
	}
	return strings.Join(lines, "\n"), mediaType
}

// json returns a JSON text: one of the schema, one of the examples, or none at all.
func (b *bombarded) json(in inputs, content *openapi3.MediaType) string {
	if in.odds(in.spoil / 5) {
		return pick(in, " ", "{", `{"a":`, "nul", "[]", `""`, "\xff", "{}{}", `{"name":"\xff"}`, strings.Repeat("[", 20_000))
	}
	value := in.value(content.Schema.Value)
	if in.odds(30) {
		value = pick(in, examples(content)...)
	}
	text, _ := json.Marshal(value) // what inputs makes can be said
	return string(text)
}

// count counts an answer.
func (b *bombarded) count(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.statuses == nil {
		b.statuses = map[int]int{}
	}
	b.statuses[status]++
}

// judge fails the test when the requests were all of one kind.
func (b *bombarded) judge(t *testing.T) {
	t.Helper()
	accepted, refused := 0, 0
	for status, n := range b.statuses {
		if status < 400 {
			accepted += n
		} else {
			refused += n
		}
	}
	t.Logf("%v", b.statuses)
	if testing.Short() {
		return // few requests may all be refused
	}
	require.GreaterOrEqual(t, accepted+refused, 30*bout, "there were few requests")
	require.NotZero(t, accepted, "nothing was accepted")
	if b.spec.Security == nil {
		require.NotZero(t, refused, "nothing was refused")
	}
}

// plain returns a value as it is written in a query.
func plain(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	return fmt.Sprint(v)
}

// printable returns what a header can carry of a text.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
}

// mapKeys yields the keys of m.
func mapKeys[M ~map[string]V, V any](m M) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
