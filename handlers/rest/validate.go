package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/openprospect/delivery-ledger/domain"
)

// maxBody is the size of a body that is not streamed.
const maxBody = 10 << 20

// Media types of bodies.
const (
	jsonType   = "application/json"
	ndjsonType = "application/x-ndjson"
)

// judgedSingly reports whether an operation's body is judged item by item, by its handler.
func judgedSingly(operation string) bool {
	return operation == "qualifyCompanies" || operation == "judgeCandidates" || operation == "addExclusions"
}

// judgedSinglyIn returns the member of an operation's body whose items are judged singly, by its handler; "" when
// there is none.
func judgedSinglyIn(operation string) string {
	if operation == "testRules" {
		return "candidates"
	}
	return ""
}

// validate holds a request against the contract: all that is wrong with it is told at once.
// What the handler gets is the very value that was validated.
func (s *Server) validate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		op := s.contract.operation(r.Method, c.Path())
		if op == nil || op.open && len(op.query) == 0 {
			return next(c)
		}
		if !isText(r.URL.Path) {
			return echo.ErrNotFound // no ID has such characters, and the database takes none of them
		}
		if err := op.checkQuery(r); err != nil {
			return err
		}
		mediaType, err := op.mediaType(r)
		if err != nil {
			return err
		}
		switch {
		case mediaType == ndjsonType:
			r.Body = &patientBody{ReadCloser: r.Body, conn: http.NewResponseController(c.Response()), now: s.now}
		case mediaType != "":
			r.Body = http.MaxBytesReader(c.Response(), r.Body, maxBody)
		}
		if judgedSingly(op.id) { // and bounds its work on the database itself
			return next(c)
		}
		if mediaType != "" {
			if err := s.checkBody(op, op.bodies[mediaType], r); err != nil {
				return err
			}
		}
		if op.id == sendsWebhook { // and bounds its work on the database itself
			deadline := s.now().Add(longestTest + writeTimeout)
			_ = http.NewResponseController(c.Response()).SetWriteDeadline(deadline) // not every writer has deadlines
			return next(c)
		}
		if err := s.catchUp(c, op); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Patience)
		defer cancel()
		c.SetRequest(r.WithContext(ctx))
		return next(c)
	}
}

// checkQuery returns all that is wrong with the request's query, and enters defaults in it. What
// is wrong with its minPosition is said along with it.
func (op *operation) checkQuery(r *http.Request) error {
	faults := positionFaults(r)
	if len(op.query) == 0 {
		return invalid(faults)
	}
	query := r.URL.Query()
	input := &openapi3filter.RequestValidationInput{
		Request: r, QueryParams: query, Options: &openapi3filter.Options{MultiError: true},
	}
	for _, p := range op.query {
		if given := query[p.Name]; len(given) > 1 {
			faults = append(faults, domain.Fault{Field: p.Name, Error: "is given more than once"})
		} else if !isText(query.Get(p.Name)) {
			faults = append(faults, domain.Fault{Field: p.Name, Error: "must be text"})
		} else if err := openapi3filter.ValidateParameter(r.Context(), input, p); err != nil {
			faults = append(faults, queryFault(p, query.Get(p.Name), err))
		}
	}
	return invalid(faults)
}

// isText reports whether the database takes s for text.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// mediaType returns the type of the request's body, "" when the operation takes none, or can do
// without and there is none.
func (op *operation) mediaType(r *http.Request) (string, error) {
	if len(op.bodies) == 0 || op.optional && r.ContentLength == 0 {
		return "", nil
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if op.bodies[mediaType] == nil || err != nil {
		return "", &refusal{
			status: http.StatusUnsupportedMediaType, code: "UNSUPPORTED_MEDIA_TYPE",
			message: "the body must be " + jsonType + "; where a stream is taken also " + ndjsonType,
		}
	}
	r.Header.Set(echo.HeaderContentType, mediaType) // in the form that the generated code compares
	return mediaType, nil
}

// checkBody returns all that is wrong with the request's body: what the schema says and, for
// operations that have a check of their own, what that says of the rest.
func (s *Server) checkBody(op *operation, schema *openapi3.Schema, r *http.Request) error {
	data, err := readBody(r)
	if err != nil {
		return err
	}
	aside := judgedSinglyIn(op.id)
	data, items, err := setAside(data, aside)
	if err != nil {
		return err
	}
	named, err := inspect(data, schema)
	if err != nil {
		return err
	}
	var value any
	if json.Unmarshal(data, &value) != nil {
		return errNotJSON
	}
	object, ok := value.(map[string]any)
	if !ok {
		return invalid([]domain.Fault{{Field: "body", Error: "must be an object"}})
	}

	faults := unknownFields(schema, object)
	if err := schema.VisitJSON(object, openapi3.VisitAsRequest(), openapi3.MultiErrors()); err != nil {
		faults = append(faults, bodyFaults(err)...)
	}
	faults = besideRules(ruleFaults(object), faults)
	if faults = beside(named, faults); len(faults) == 0 {
		if items != nil {
			object[aside] = json.RawMessage(items)
		}
		r.Body = validBody{ReadCloser: http.NoBody, value: withIntegers(object)}
		return nil
	}
	if check := s.checks()[op.id]; check != nil {
		more, err := faultsIn(check(withIntegers(without(object, faults)).(map[string]any)))
		if err != nil {
			return err
		}
		faults = merge(faults, more)
	}
	return invalid(faults)
}

// setAside takes the items out of the member of that name, "" for none, of a body that may be an object. It fails
// with errNotJSON.
func setAside(body []byte, name string) (rest, items []byte, err error) {
	if name == "" {
		return body, nil, nil
	}
	if !jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true)) {
		return nil, nil, errNotJSON
	}
	if body = bytes.TrimSpace(body); body[0] != '{' {
		return body, nil, nil
	}
	rest = append(rest, '{')
	for member, value := range members(body) {
		if member == name && (value[0] == '{' || value[0] == '[') {
			value, items = []byte("[]"), value
		}
		if len(rest) > 1 {
			rest = append(rest, ',')
		}
		if rest, err = jsontext.AppendQuote(rest, member); err != nil {
			return nil, nil, errNotJSON
		}
		rest = append(append(rest, ':'), value...)
	}
	return append(rest, '}'), items, nil
}

// errNotJSON is returned for a body that cannot be parsed.
var errNotJSON = &refusal{status: http.StatusBadRequest, code: "INVALID_JSON", message: "the body is not valid JSON"}

// readBody returns the request's whole body.
func readBody(r *http.Request) ([]byte, error) {
	data := make([]byte, 0, max(512, min(r.ContentLength+1, maxBody)))
	for {
		n, err := r.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, unreadable(err)
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

// unreadable returns what err, of reading a body, is to the caller. It is never a fault of
// the database, which a lost connection may look like.
func unreadable(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || errors.Is(err, errNotGzip) {
		return err
	}
	return &refusal{status: http.StatusBadRequest, code: "INVALID_REQUEST", message: "the body could not be read to its end"}
}

// A validBody is a body that was validated. The generated code takes its value instead of
// decoding it a second time, with other rules.
type validBody struct {
	io.ReadCloser
	value any
}

// withIntegers returns a JSON value whose whole numbers are int64: as float64, large ones would
// be written with an exponent by what binds them, and then not be taken for whole.
func withIntegers(value any) any {
	const exact = 1 << 53
	switch v := value.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= exact {
			return int64(v)
		}
	case []any:
		for i := range v {
			v[i] = withIntegers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = withIntegers(v[name])
		}
	}
	return value
}

// ValidatedValue returns the value.
func (b validBody) ValidatedValue() any { return b.value }

// A patientBody may be sent for as long as it keeps coming.
type patientBody struct {
	io.ReadCloser
	conn *http.ResponseController
	now  func() time.Time
}

// Read reads the next part, and gives the caller time for one more and for the answer.
func (b *patientBody) Read(p []byte) (int, error) {
	now := b.now()
	_ = b.conn.SetReadDeadline(now.Add(readTimeout)) // not every writer has deadlines
	_ = b.conn.SetWriteDeadline(now.Add(readTimeout + writeTimeout))
	return b.ReadCloser.Read(p)
}

// A patientAnswer may be taken for as long as it keeps being taken.
type patientAnswer struct {
	http.ResponseWriter
	now func() time.Time
}

// Write writes the next part, for which the caller has time.
func (a patientAnswer) Write(b []byte) (int, error) {
	_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(a.now().Add(writeTimeout)) // not every writer has deadlines
	return a.ResponseWriter.Write(b)
}

// bodies is how the generated code reads a body that was not validated: as it is.
type bodies struct{ echo.DefaultJSONSerializer }

// Deserialize reads the request's body into i.
func (b bodies) Deserialize(c echo.Context, i any) error {
	var err error
	switch body := i.(type) {
	case *QualifyCompaniesJSONRequestBody:
		body.union, err = readBody(c.Request())
	case *JudgeCandidatesJSONRequestBody:
		body.union, err = readBody(c.Request())
	case *AddExclusionsJSONRequestBody:
		body.union, err = readBody(c.Request())
	default:
		err = b.DefaultJSONSerializer.Deserialize(c, i)
	}
	return err
}
