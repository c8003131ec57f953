package domain_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

// A describer makes JSON Schemas of Go types, and describes them as the types' comments do.
type describer struct {
	comments map[string]string   // of types, such as "Destination", and of fields, such as "Destination.URL"
	values   map[string][]string // of types of text, such as "AuthType"; none are declared of most
	names    *strings.Replacer   // Go's names of events, to those in storage
	defs     map[string]object   // of the structs that were met
}

// newDescriber returns one that has read the sources.
func newDescriber(t *testing.T) *describer {
	t.Helper()
	d := &describer{comments: map[string]string{}, values: map[string][]string{}}
	for _, folder := range []string{".", "rules"} {
		sources, err := filepath.Glob(folder + "/*.go")
		require.NoError(t, err)
		for _, source := range sources {
			file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.ParseComments|parser.SkipObjectResolution)
			require.NoError(t, err)
			if !strings.HasSuffix(source, "_test.go") {
				d.read(file)
			}
		}
	}
	var names []string
	for _, event := range domain.Events() {
		names = append(names, reflect.TypeOf(event).Name(), event.EventType())
	}
	d.names = strings.NewReplacer(names...)
	return d
}

// read takes comments and constants from a file.
func (d *describer) read(file *ast.File) {
	for _, decl := range file.Decls {
		general, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range general.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				doc := s.Doc.Text() + s.Comment.Text()
				if !general.Lparen.IsValid() {
					doc = general.Doc.Text()
				}
				d.comments[s.Name.Name] = doc
				if structure, ok := s.Type.(*ast.StructType); ok {
					for _, field := range structure.Fields.List {
						for _, name := range field.Names {
							d.comments[s.Name.Name+"."+name.Name] = field.Doc.Text() + field.Comment.Text()
						}
					}
				}
			case *ast.ValueSpec:
				of, named := s.Type.(*ast.Ident)
				for _, value := range s.Values {
					if literal, ok := value.(*ast.BasicLit); ok && named && literal.Kind == token.STRING {
						text, _ := strconv.Unquote(literal.Value)
						d.values[of.Name] = append(d.values[of.Name], text)
					}
				}
			}
		}
	}
}

// schema returns that of a version of a type of event, whose data is of zero's type.
func (d *describer) schema(t *testing.T, event domain.Event, version int, zero any) string {
	t.Helper()
	d.defs = map[string]object{}
	described := d.structure(reflect.TypeOf(zero))
	document := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", fmt.Sprintf("urn:delivery-ledger:event:%s:v%d", event.EventType(), version)},
		{"title", event.EventType()},
		{"description", d.about(d.comments[reflect.TypeOf(event).Name()])},
	}
	document = append(document, described...)
	if len(d.defs) > 0 {
		var defs object
		for _, name := range slices.Sorted(maps.Keys(d.defs)) {
			defs = append(defs, pair{name, d.defs[name]})
		}
		document = append(document, pair{"$defs", defs})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	require.NoError(t, enc.Encode(document))
	return b.String()
}

// structure returns what says of an object which properties it has.
func (d *describer) structure(t reflect.Type) object {
	var properties object
	required := []string{}
	for _, field := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous || name == "-" {
			continue
		}
		optional := options == "omitempty"
		properties = append(properties, pair{name, d.property(t, field, optional)})
		if !optional {
			required = append(required, name)
		}
	}
	o := object{{"type", "object"}, {"properties", properties}}
	if len(required) > 0 {
		o = append(o, pair{"required", required})
	}
	return o
}

// property returns the schema of a field, with what its comment, or else that of its type, says.
func (d *describer) property(t reflect.Type, field reflect.StructField, optional bool) object {
	owner := t
	for _, i := range field.Index[:len(field.Index)-1] {
		owner = owner.Field(i).Type
	}
	described := object{{"title", title(field.Name)}}
	comment := d.comments[owner.Name()+"."+field.Name]
	if comment == "" {
		comment = d.comments[elementOf(field.Type).Name()]
	}
	if comment != "" {
		described = append(described, pair{"description", d.about(inJSON(owner, comment))})
	}
	return append(described, d.kind(field, field.Type, optional)...)
}

// raw are the kinds of what is stored as it was sent, by the names of fields.
var raw = map[string]string{"company": "object", "prospects": "array", "attributes": "object"}

// kind returns what says of which kind a value is. What is not optional is null where Go has nil.
func (d *describer) kind(field reflect.StructField, t reflect.Type, optional bool) object {
	nullable := func(kind string) pair {
		if optional {
			return pair{"type", kind}
		}
		return pair{"type", []string{kind, "null"}}
	}
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{{"type", "string"}, {"format", "date-time"}}
	case reflect.TypeFor[json.RawMessage]():
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		return object{nullable(raw[name])}
	case reflect.TypeFor[domain.RetrySchedule]():
		return object{nullable("array"), {"items", object{{"type", "number"}}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.kind(field, t.Elem(), optional)
	case reflect.String:
		o := object{{"type", "string"}}
		if values := d.values[t.Name()]; len(values) > 0 && t.PkgPath() != "" {
			o = append(o, pair{"examples", values})
		}
		return o
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Int, reflect.Int64:
		return object{{"type", "integer"}}
	case reflect.Float64:
		return object{{"type", "number"}}
	case reflect.Slice:
		return object{nullable("array"), {"items", d.kind(field, t.Elem(), true)}}
	case reflect.Map:
		return object{nullable("object"), {"additionalProperties", d.kind(field, t.Elem(), true)}}
	case reflect.Struct:
		d.define(t)
		return object{{"$ref", "#/$defs/" + t.Name()}}
	case reflect.Interface:
		return nil
	default:
		panic("no schema for " + t.String())
	}
}

// define makes the definition of a struct, unless it is made or on its way.
func (d *describer) define(t reflect.Type) {
	if _, ok := d.defs[t.Name()]; ok {
		return
	}
	d.defs[t.Name()] = nil
	o := object{{"description", d.about(inJSON(t, d.comments[t.Name()]))}}
	d.defs[t.Name()] = append(o, d.structure(t)...)
}

// What is in Go comments for those who read Go: names as links, and where the API's contract says it.
var (
	link = regexp.MustCompile(`\[([A-Za-z.]+)\]`)
	cite = regexp.MustCompile(` \(contract, section \d+\)`)
)

// about returns a comment as a description: on one line, with the names that events have in storage.
func (d *describer) about(comment string) string {
	text := cite.ReplaceAllString(link.ReplaceAllString(strings.Join(strings.Fields(comment), " "), "$1"), "")
	if word, _, _ := strings.Cut(text, " "); !strings.Contains(word, "_") { // it is no name
		first, size := utf8.DecodeRuneInString(text)
		text = string(unicode.ToUpper(first)) + text[size:]
	}
	text = d.names.Replace(text)
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "…") {
		text += "."
	}
	return text
}

// inJSON returns a comment with the fields of t under the names that they have in JSON.
func inJSON(t reflect.Type, comment string) string {
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if inner := strings.ToLower(field.Name[1:]) != field.Name[1:]; inner && name != "" {
			comment = regexp.MustCompile(`\b`+field.Name+`\b`).ReplaceAllString(comment, name)
		}
	}
	return comment
}

// title returns the words of a field's name.
func title(name string) string {
	words := regexp.MustCompile(`[A-Z]+[a-z]*`).FindAllString(name, -1)
	for i, word := range words[1:] {
		if strings.ToUpper(word) != word {
			words[i+1] = strings.ToLower(word)
		}
	}
	return strings.Join(words, " ")
}

// elementOf returns what a pointer or list is of.
func elementOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && t.Name() == "" {
		t = t.Elem()
	}
	return t
}

// An object is one of JSON, in an order.
type object []pair

// A pair is a name and a value.
type pair struct {
	name  string
	value any
}

// MarshalJSON writes the pairs in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, p := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(p.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(p.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
