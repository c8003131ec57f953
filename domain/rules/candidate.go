package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// A Candidate is a company as rules see it.
type Candidate struct{ fields map[string]any }

// The names under which rules see a candidate.
const (
	company    = "company"
	prospects  = "prospects"
	attributes = "attributes"
)

// NewCandidate reads a candidate: a company and attributes, which are objects, and a list of
// prospects. Absent or null attributes and prospects are empty. Numbers are IEEE doubles; one that
// is too large is infinite.
func NewCandidate(companyJSON, prospectsJSON, attributesJSON json.RawMessage) (Candidate, error) {
	c := Candidate{fields: map[string]any{company: map[string]any{}, prospects: []any{}, attributes: map[string]any{}}}
	for name, raw := range map[string]json.RawMessage{company: companyJSON, prospects: prospectsJSON, attributes: attributesJSON} {
		if len(raw) == 0 {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber() // else a large number is an error
		var value any
		if err := dec.Decode(&value); err != nil {
			return Candidate{}, fmt.Errorf("read %s: %w", name, err)
		}
		if value == nil {
			continue
		}
		if _, list := value.([]any); list != (name == prospects) {
			return Candidate{}, fmt.Errorf("read %s: it is a %T", name, value)
		}
		if _, object := value.(map[string]any); !object && name != prospects {
			return Candidate{}, fmt.Errorf("read %s: it is a %T", name, value)
		}
		c.fields[name] = withDoubles(value)
	}
	return c, nil
}

// withDoubles returns a value whose numbers are float64.
func withDoubles(value any) any {
	switch v := value.(type) {
	case json.Number:
		f, err := strconv.ParseFloat(v.String(), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return math.NaN() // no JSON
		}
		return f
	case []any:
		for i := range v {
			v[i] = withDoubles(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = withDoubles(v[name])
		}
	}
	return value
}
