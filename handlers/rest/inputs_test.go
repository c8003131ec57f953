package rest_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"
)

// inputs makes values from schemas: valid ones, with their bounds before all, and with spoil
// in a hundred places ones that break them.
type inputs struct {
	*rapid.T
	spoil int
	depth int // of the object that is being made
}

// maxDepth is the depth from which on objects have nothing that could be left out: some schemas contain themselves.
const maxDepth = 5

// odds reports true so many times in a hundred.
func (in inputs) odds(percent int) bool { return rapid.IntRange(1, 100).Draw(in.T, "odds") <= percent }

// pick returns one of those values.
func pick[V any](in inputs, values ...V) V { return rapid.SampledFrom(values).Draw(in.T, "pick") }

// Texts that programs stumble over.
var oddTexts = []string{
	"", " ", "0", "-1", "1e9", "NaN", "null", "true", "\u0000", "a\u0000b", "\u0007", "\u202e", "🦄", "٣", "İ", "é", "'; --", `"`, `\`, "../..", "%", "%00",
	"{}", "<script>", "http://", "whsec_", "2025-02-30T00:00:00Z", "10000-01-01T00:00:00Z", "2025-06-30T23:59:60Z", "2025-01-15",
	"comp_1", strings.Repeat("x", 201), strings.Repeat("é", 5000),
}

// moments are times at the edges of what there is.
var moments = []string{
	"2025-01-15T00:00:00Z", "2025-01-15T00:00:00.123456789+02:00", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0000-01-01T00:00:00Z",
	"9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999-14:00", "1969-12-31T23:59:59Z", "2262-04-12T00:00:00Z", "2024-02-29t12:00:00z",
}

// anything returns a value without regard to any schema.
func (in inputs) anything() any {
	return pick[any](in, nil, true, false, 0, -1, 1.5, math.MaxInt64, 1e300, "", pick(in, oddTexts...), []any{}, []any{nil}, map[string]any{},
		map[string]any{"id": map[string]any{"id": []any{}}}, json.RawMessage("1e400"), json.RawMessage(`"\ud800"`), json.RawMessage("123456789012345678901234567890"))
}

// value returns a value of a schema.
func (in inputs) value(schema *openapi3.Schema) any {
	if in.odds(in.spoil) {
		return in.anything()
	}
	for _, choice := range [][]*openapi3.SchemaRef{schema.OneOf, schema.AnyOf} {
		if len(choice) > 0 {
			return in.value(pick(in, choice...).Value)
		}
	}
	switch {
	case len(schema.Enum) > 0:
		return pick(in, schema.Enum...)
	case schema.Type == nil:
		return in.anything()
	case schema.Type.Is("boolean"):
		return pick(in, true, false)
	case schema.Type.Is("integer"):
		return int64(in.number(schema))
	case schema.Type.Is("number"):
		return in.number(schema)
	case schema.Type.Is("array"):
		return in.list(schema)
	case schema.Type.Is("object"):
		return in.object(schema)
	default:
		return in.text(schema)
	}
}

// number returns one within the schema's bounds, or now and then right outside of them.
func (in inputs) number(schema *openapi3.Schema) float64 {
	low, high := 0.0, 1e6
	if schema.Min != nil {
		low = *schema.Min
	}
	if schema.Max != nil {
		high = *schema.Max
	}
	if in.odds(in.spoil) {
		return pick(in, low-1, high+1, -1e15, 1e15)
	}
	return pick(in, low, low+1, math.Floor((low+high)/2), high-1, high)
}

// text returns one of the schema's form and length.
func (in inputs) text(schema *openapi3.Schema) string {
	if schema.Format == "date-time" {
		return pick(in, moments...)
	}
	if schema.Pattern != "" {
		return rapid.StringMatching(schema.Pattern).Draw(in.T, "text")
	}
	if in.odds(20) {
		return pick(in, oddTexts...)
	}
	low, high := int(schema.MinLength), 40
	if schema.MaxLength != nil {
		high = int(*schema.MaxLength)
	}
	length := pick(in, low, low+1, min(high, low+12), high)
	if in.odds(in.spoil) {
		length = high + 1
	}
	return strings.Repeat(pick(in, "a", "Z", "é", "🦄", "-"), length)
}

// list returns an array of the schema's items.
func (in inputs) list(schema *openapi3.Schema) []any {
	low, high := int(schema.MinItems), int(schema.MinItems)+3
	if schema.MaxItems != nil && *schema.MaxItems <= 20 {
		high = int(*schema.MaxItems)
	}
	items := make([]any, pick(in, low, low+1, min(low+2, high), high))
	for i := range items {
		items[i] = in.value(schema.Items.Value)
	}
	return items
}

// object returns what the schema requires, and some of what it allows.
func (in inputs) object(schema *openapi3.Schema) map[string]any {
	fields := map[string]any{}
	in.depth++
	for _, name := range slices.Sorted(mapKeys(schema.Properties)) {
		property := schema.Properties[name].Value
		if required := slices.Contains(schema.Required, name); !property.ReadOnly && (required && !in.odds(in.spoil) || !required && in.depth < maxDepth && in.odds(40)) {
			fields[name] = in.value(property)
		}
	}
	more := schema.AdditionalProperties.Has == nil || *schema.AdditionalProperties.Has
	switch {
	case schema.AdditionalProperties.Schema != nil && in.odds(40):
		fields[pick(in, "X-Team", "x-a", "A_b")] = in.value(schema.AdditionalProperties.Schema.Value)
	case more && in.odds(40), in.odds(in.spoil):
		fields[pick(in, oddTexts...)] = in.anything()
	}
	return fields
}
