package rest_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

// specs returns the contract's operations by their IDs.
func specs() map[string]*openapi3.Operation {
	found := map[string]*openapi3.Operation{}
	for _, item := range contract().doc.Paths.Map() {
		for _, spec := range item.Operations() {
			found[spec.OperationID] = spec
		}
	}
	return found
}

// examples returns the examples of a body: those that stand beside its schema, or the one in it.
func examples(content *openapi3.MediaType) (found []any) {
	if content.Example != nil {
		found = append(found, content.Example)
	}
	for _, name := range slices.Sorted(maps.Keys(content.Examples)) {
		found = append(found, content.Examples[name].Value.Value)
	}
	if len(found) == 0 && content.Schema != nil && content.Schema.Value.Example != nil {
		found = append(found, content.Schema.Value.Example)
	}
	return found
}

// unlisted returns the fields of v, and of what is in it, that the schema does not list
// although it lists others.
func unlisted(schema *openapi3.Schema, v any) (names []string) {
	switch v := v.(type) {
	case []any:
		if schema.Items != nil {
			for _, item := range v {
				names = append(names, unlisted(schema.Items.Value, item)...)
			}
		}
	case map[string]any:
		open := schema.AdditionalProperties.Has != nil && *schema.AdditionalProperties.Has
		for name, field := range v {
			if known := schema.Properties[name]; known != nil {
				names = append(names, unlisted(known.Value, field)...)
			} else if !open && schema.AdditionalProperties.Schema == nil && len(schema.Properties) > 0 {
				names = append(names, name)
			}
		}
	}
	return names
}

func TestEveryOperationIsExplained(t *testing.T) {
	t.Parallel()
	for id, spec := range specs() {
		require.NotEmpty(t, spec.Summary, id)
		require.NotEmpty(t, spec.Description, id)
		if spec.RequestBody != nil {
			for mediaType, content := range spec.RequestBody.Value.Content {
				require.NotEmpty(t, examples(content), "%s shows no %s", id, mediaType)
			}
		}
		for status, response := range spec.Responses.Map() {
			if status[0] != '2' {
				continue
			}
			for mediaType, content := range response.Value.Content {
				if content.Schema == nil { // a page, a script, a picture
					continue
				}
				shown := examples(content)
				require.NotEmpty(t, shown, "%s shows no answer %s of %s", id, status, mediaType)
				for _, example := range shown {
					require.NoError(t, content.Schema.Value.VisitJSON(example, openapi3.VisitAsResponse(), openapi3.MultiErrors()), "%s %s", id, status)
					require.Empty(t, unlisted(content.Schema.Value, example), "%s %s", id, status)
				}
			}
		}
	}
}

// An exampleRequest is what the contract gives as an example of a request.
type exampleRequest struct{ query, mediaType, body string }

// requiredQuery returns the query with what an operation must be given in it, as in the examples; "" for nothing.
func requiredQuery(spec *openapi3.Operation) string {
	required := url.Values{}
	for _, p := range spec.Parameters {
		if p.Value.In == openapi3.ParameterInQuery && p.Value.Required {
			required.Set(p.Value.Name, fmt.Sprint(p.Value.Example))
		}
	}
	if len(required) == 0 {
		return ""
	}
	return "?" + required.Encode()
}

// exampleRequests returns the examples of an operation's request: one with nothing that could
// be left out, each body, and each parameter of the query that has an example.
func exampleRequests(tb testing.TB, spec *openapi3.Operation) (found []exampleRequest) {
	tb.Helper()
	if spec.RequestBody == nil {
		found = append(found, exampleRequest{query: requiredQuery(spec)})
	} else {
		for mediaType, content := range spec.RequestBody.Value.Content {
			for _, example := range examples(content) {
				body, isText := example.(string)
				if !isText {
					body = encode(tb, example)
				}
				found = append(found, exampleRequest{mediaType: mediaType, body: body})
			}
		}
	}
	for _, p := range spec.Parameters {
		if p.Value.In == openapi3.ParameterInQuery && p.Value.Example != nil && !p.Value.Required {
			request := found[0]
			request.query = "?" + url.Values{p.Value.Name: {fmt.Sprint(p.Value.Example)}}.Encode()
			found = append(found, request)
		}
	}
	return found
}

// things makes one of each thing that paths name, and returns their IDs by the paths' parameters.
func (c client) things(tb testing.TB) map[string]string {
	tb.Helper()
	delivery := c.createDelivery(tb, judgedDelivery)
	destination := c.call(tb, http.StatusCreated, "POST", "/api/v1/deliveries/"+delivery+"/destinations", sampleDestination).field(tb, "id")
	handedOver := c.call(tb, http.StatusOK, "POST", "/api/v1/deliveries/"+delivery+"/qualifications", company("comp_of_things")).items(tb)[0]["delivery_id"].(string)
	dispatch := string(domain.DispatchIDFor(domain.HandOverID(handedOver), domain.DestinationID(destination)))
	require.Eventually(tb, func() bool {
		return c.send(tb, http.MethodGet, "/api/v1/dispatches/"+dispatch, "").status == http.StatusOK
	}, waitFor, tick)
	replay := c.call(tb, http.StatusAccepted, "POST", "/api/v1/deliveries/"+delivery+"/replay", `{}`).field(tb, "id")
	erasure := c.call(tb, http.StatusAccepted, "POST", "/api/v1/erasures", `{"company_id":"nobody"}`).field(tb, "id")
	requalification := c.call(tb, http.StatusAccepted, "POST", "/api/v1/deliveries/"+delivery+"/requalify", `{}`).field(tb, "id")
	exclusion := c.call(tb, http.StatusOK, "POST", "/api/v1/exclusions", `{"kind":"company","value":"comp_excluded_by_`+delivery+`"}`).items(tb)[0]["id"].(string)
	organisation := c.call(tb, http.StatusCreated, "POST", "/api/v1/admin/organisations", `{"name":"Initech"}`).field(tb, "id")
	key := c.call(tb, http.StatusCreated, "POST", "/api/v1/admin/organisations/"+organisation+"/keys", `{"name":"CRM","scopes":[]}`).field(tb, "id")
	return map[string]string{
		"delivery_id": delivery, "destination_id": destination, "dispatch_id": dispatch, "replay_id": replay, "asset": "start.js", "organisation_id": organisation, "key_id": key,
		"exclusion_id": exclusion, "company_id": "comp_of_things", "requalification_id": requalification, "erasure_id": erasure, "event_type": "exclusion.removed",
	}
}

// fill puts values into a path of the contract.
func fill(tb testing.TB, path string, values map[string]string) string {
	tb.Helper()
	for name, value := range values {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	require.NotContains(tb, path, "{", "a path has a parameter of which client.things makes none: let it make one")
	return path
}

func TestExamplesOfRequestsAreAccepted(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	for path, item := range contract().doc.Paths.Map() {
		for method, spec := range item.Operations() {
			for _, r := range exampleRequests(t, spec) {
				a := c.send(t, method, fill(t, path, c.things(t))+r.query, r.body, "Content-Type", r.mediaType)
				require.Less(t, a.status, 300, "%s %s%s: %s", spec.OperationID, r.query, r.body, a.body)
				require.NotNil(t, spec.Responses.Status(a.status), "%s answers %d", spec.OperationID, a.status)
			}
		}
	}
	require.NotContains(t, f.log.String(), `"level":"ERROR"`)
}
