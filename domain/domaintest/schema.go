package domaintest

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/openprospect/delivery-ledger/domain"
)

// Fits returns an error unless data is what the schema of a version of a type of event says, with no field besides
// those that it describes.
func Fits(eventType string, version int, data []byte) error {
	compiled, err := compileSchemas()
	if err != nil {
		return err
	}
	schema, ok := compiled[schemaName(eventType, version)]
	if !ok {
		return fmt.Errorf("there is no schema of %s version %d", eventType, version)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("read data of %s: %w", eventType, err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("validate data of %s: %w", eventType, err)
	}
	return nil
}

// schemaName names what a schema is of.
func schemaName(eventType string, version int) string {
	return fmt.Sprintf("%s.v%d", eventType, version)
}

// compileSchemas compiles all schemas, made strict.
var compileSchemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	compiled := map[string]*jsonschema.Schema{}
	for _, s := range domain.Schemas() {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(s.Document))
		if err != nil {
			return nil, fmt.Errorf("read schema of %s: %w", s.Type, err)
		}
		refuseOthers(document)
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		name := schemaName(s.Type, s.Version)
		if err := c.AddResource(name, document); err != nil {
			return nil, fmt.Errorf("read schema of %s: %w", s.Type, err)
		}
		if compiled[name], err = c.Compile(name); err != nil {
			return nil, fmt.Errorf("compile schema of %s: %w", s.Type, err)
		}
	}
	return compiled, nil
})

// refuseOthers has every object in a schema take no properties but those that are described.
func refuseOthers(schema any) {
	fields, _ := schema.(map[string]any)
	for _, field := range fields {
		refuseOthers(field)
	}
	if _, ok := fields["properties"].(map[string]any); ok && fields["type"] == "object" {
		fields["additionalProperties"] = false
	}
}
