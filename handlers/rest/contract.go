package rest

import (
	"context"
	_ "embed" // for the contract
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

//go:embed openapi.yaml
var contractYAML []byte

// A contract is openapi.yaml, read.
type contract struct {
	json       []byte // as it is served
	operations map[route]*operation

	qualification, candidate, exclusion *openapi3.Schema // of an item of those that are judged singly
}

// A route is a method and a path as echo writes it.
type route struct{ method, path string }

// An operation is what the contract says of a route.
type operation struct {
	id       string
	template string         // its path, for logs and metrics
	open     bool           // needs no key
	scopes   []apikey.Scope // that a key needs, all of them
	query    []*openapi3.Parameter
	bodies   map[string]*openapi3.Schema // by media type; empty: takes none
	optional bool                        // the body may be left out
}

// scopesExtension lists the scopes that an operation needs.
const scopesExtension = "x-required-scopes"

// loadContract reads the contract, once: that takes a tenth of a second. It fails when that is no valid
// OpenAPI document, or does not say who may call an operation.
var loadContract = sync.OnceValues(func() (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(contractYAML)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("validate openapi.yaml: %w", err)
	}
	c := &contract{operations: map[route]*operation{}}
	if c.json, err = doc.MarshalJSON(); err != nil {
		return nil, fmt.Errorf("encode openapi.yaml: %w", err)
	}
	for name, schema := range map[string]**openapi3.Schema{"Qualification": &c.qualification, "Candidate": &c.candidate, "NewExclusion": &c.exclusion} {
		ref := doc.Components.Schemas[name]
		if ref == nil {
			return nil, fmt.Errorf("read openapi.yaml: it has no %s", name)
		}
		*schema = ref.Value
	}
	for path, item := range doc.Paths.Map() {
		for method, spec := range item.Operations() {
			op, err := newOperation(path, item, spec)
			if err != nil {
				return nil, fmt.Errorf("read openapi.yaml: %s %s: %w", method, path, err)
			}
			c.operations[route{method, echoPath(path)}] = op
		}
	}
	return c, nil
})

// newOperation returns what item and spec say of an operation.
func newOperation(path string, item *openapi3.PathItem, spec *openapi3.Operation) (*operation, error) {
	op := &operation{
		id: spec.OperationID, template: path, bodies: map[string]*openapi3.Schema{},
		open: spec.Security != nil && len(*spec.Security) == 0,
	}
	list, ok := spec.Extensions[scopesExtension].([]any)
	if !ok && !op.open {
		return nil, fmt.Errorf("%s is missing", scopesExtension)
	}
	for _, v := range list {
		scope := apikey.Scope(fmt.Sprint(v))
		if !scope.Known() {
			return nil, fmt.Errorf("there is no scope %s", scope)
		}
		op.scopes = append(op.scopes, scope)
	}
	for _, params := range []openapi3.Parameters{item.Parameters, spec.Parameters} {
		for _, p := range params {
			if p.Value.In == openapi3.ParameterInQuery {
				op.query = append(op.query, p.Value)
			}
		}
	}
	if spec.RequestBody != nil {
		op.optional = !spec.RequestBody.Value.Required
		for mediaType, content := range spec.RequestBody.Value.Content {
			op.bodies[mediaType] = content.Schema.Value
		}
	}
	return op, nil
}

// operation returns what the contract says of a route, nil when it does not have it.
func (c *contract) operation(method, path string) *operation {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return c.operations[route{method, path}]
}

// echoPath writes a path's parameters as echo does.
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}
