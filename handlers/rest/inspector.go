package rest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/openprospect/delivery-ledger/domain"
)

// Bounds of what is looked at in a body, or in each item of one.
const (
	maxDepth = 64 // of objects and lists within each other
	mostSaid = 10 // names that come twice; they are refused however many there are
)

// errTooDeep is returned for a body, or an item of one, that is nested too deep.
var errTooDeep = &refusal{
	status: http.StatusBadRequest, code: "INVALID_REQUEST",
	message: "objects and lists lie within each other more than " + strconv.Itoa(maxDepth) + " levels deep",
}

// A finding is what decoding a JSON value would hide: where it is nested too deep, and which names
// an object has twice, of which readers take the first, the last, or both.
type finding struct {
	faults []domain.Fault
	deep   bool
}

// An inspector reads a JSON text once. The text must be JSON that the log can keep: its texts are
// Unicode (RFC 7493, section 2.1), and no escape is half of a pair.
type inspector struct {
	dec  *jsontext.Decoder
	text string
	path []string // of the value that is being read
	finding
}

// newInspector returns an inspector of text.
func newInspector(text []byte) *inspector {
	return &inspector{
		dec:  jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true)),
		text: string(text),
	}
}

// inspect returns what is to be found in a text of one value. An object whose members schema names
// has none twice, not even in another case; no other has the very same name twice. It fails with
// errNotJSON or errTooDeep.
func inspect(text []byte, schema *openapi3.Schema) ([]domain.Fault, error) {
	in := newInspector(text)
	if in.value(schema, 0) != nil || in.end() != nil {
		return nil, errNotJSON
	}
	if in.deep {
		return nil, errTooDeep
	}
	return in.faults, nil
}

// inspectItems returns what is to be found in a list, by the places of its items: those of whom
// there is nothing to say are absent. It fails with errNotJSON.
func inspectItems(list []byte, schema *openapi3.Schema) (map[int]finding, error) {
	in := newInspector(list)
	if _, err := in.dec.ReadToken(); err != nil {
		return nil, errNotJSON
	}
	found := map[int]finding{}
	for n := 0; in.dec.PeekKind() != ']'; n++ {
		if in.value(schema, 0) != nil {
			return nil, errNotJSON
		}
		if in.deep || in.faults != nil {
			found[n] = in.finding
			in.finding = finding{}
		}
	}
	if _, err := in.dec.ReadToken(); err != nil || in.end() != nil {
		return nil, errNotJSON
	}
	return found, nil
}

// end fails unless the text is read to its end.
func (in *inspector) end() error {
	if _, err := in.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errNotJSON
	}
	return nil
}

// value reads a value that lies in so many others.
func (in *inspector) value(schema *openapi3.Schema, depth int) error {
	switch kind := in.dec.PeekKind(); {
	case kind != '{' && kind != '[':
		return in.dec.SkipValue()
	case depth == maxDepth:
		in.deep = true
		return in.dec.SkipValue()
	case kind == '{':
		return in.object(schema, depth+1)
	}
	return in.list(schema, depth+1)
}

// object reads an object.
func (in *inspector) object(schema *openapi3.Schema, depth int) error {
	if _, err := in.dec.ReadToken(); err != nil {
		return err
	}
	seen := names{folds: schema != nil && len(schema.Properties) > 0}
	for in.dec.PeekKind() != '}' {
		name, err := in.name()
		if err != nil {
			return err
		}
		in.path = append(in.path, name)
		if twin, twice := seen.add(name); twice {
			in.report(twin)
		}
		if err := in.value(member(schema, name), depth); err != nil {
			return err
		}
		in.path = in.path[:len(in.path)-1]
	}
	_, err := in.dec.ReadToken()
	return err
}

// member returns what schema says of a member, nil when it says nothing.
func member(schema *openapi3.Schema, name string) *openapi3.Schema {
	if schema == nil || schema.Properties[name] == nil {
		return nil
	}
	return schema.Properties[name].Value
}

// list reads a list.
func (in *inspector) list(schema *openapi3.Schema, depth int) error {
	if _, err := in.dec.ReadToken(); err != nil {
		return err
	}
	if schema != nil && schema.Items != nil {
		schema = schema.Items.Value
	} else {
		schema = nil
	}
	for n := 0; in.dec.PeekKind() != ']'; n++ {
		in.path = append(in.path, strconv.Itoa(n))
		if err := in.value(schema, depth); err != nil {
			return err
		}
		in.path = in.path[:len(in.path)-1]
	}
	_, err := in.dec.ReadToken()
	return err
}

// name reads the name of a member.
func (in *inspector) name() (string, error) {
	quoted, err := in.dec.ReadValue()
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(quoted, '\\') >= 0 {
		b, err := jsontext.AppendUnquote(nil, quoted)
		return string(b), err
	}
	end := int(in.dec.InputOffset())
	return in.text[end-len(quoted)+1 : end-1], nil // the decoder's own bytes do not last
}

// report notes that the member at the path has the name of an earlier one, its twin.
func (in *inspector) report(twin string) {
	if len(in.faults) == mostSaid {
		return
	}
	steps := make([]string, len(in.path))
	for i, step := range in.path {
		steps[i] = brief(step)
	}
	f := domain.Fault{Field: strings.Join(steps, "."), Error: "is given more than once"}
	if twin != in.path[len(in.path)-1] {
		f.Error = "differs from " + brief(twin) + " in case alone"
	}
	if !slices.ContainsFunc(in.faults, func(said domain.Fault) bool { return said.Field == f.Field }) {
		in.faults = append(in.faults, f)
	}
}

// brief returns name, or its beginning.
func brief(name string) string {
	if len(name) <= longestSaid {
		return name
	}
	return strings.ToValidUTF8(name[:longestSaid], "") + "…"
}

// names are those of an object's members so far.
type names struct {
	folds bool // those that differ by case alone are the same
	few   []string
	many  map[string]string // once there are many: each under what it is compared by
}

// manyNames is the number of names from which on comparing each with each takes longer.
const manyNames = 16

// add adds a name, unless it is there: then it returns the one that is there, and true.
func (n *names) add(name string) (twin string, twice bool) {
	if n.many != nil {
		if twin, twice = n.many[n.key(name)]; !twice {
			n.many[n.key(name)] = name
		}
		return twin, twice
	}
	for _, other := range n.few {
		if other == name || n.folds && strings.EqualFold(other, name) {
			return other, true
		}
	}
	if n.few = append(n.few, name); len(n.few) == manyNames {
		n.many = map[string]string{}
		for _, name := range n.few {
			n.many[n.key(name)] = name
		}
	}
	return "", false
}

// key returns what a name is compared by: where case does not count, the same for all that
// [strings.EqualFold] holds to be one.
func (n *names) key(name string) string {
	if !n.folds {
		return name
	}
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, name)
}

// beside returns first, and those of more that are about other fields.
func beside(first, more []domain.Fault) []domain.Fault {
	for _, f := range more {
		if !slices.ContainsFunc(first, func(said domain.Fault) bool { return said.Field == f.Field }) {
			first = append(first, f)
		}
	}
	return first
}
