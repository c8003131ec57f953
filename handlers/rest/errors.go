package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

// statuses are the answers to the kinds of errors.
var statuses = map[domain.Kind]int{
	domain.Invalid:     http.StatusUnprocessableEntity,
	domain.NotFound:    http.StatusNotFound,
	domain.Conflict:    http.StatusConflict,
	domain.Unavailable: http.StatusServiceUnavailable,
	domain.Internal:    http.StatusInternalServerError,
}

// A refusal is an error of the protocol, which no kind stands for.
type refusal struct {
	status        int
	code, message string
	details       *details
	retryAfter    int64 // seconds; zero: not said

	acceptEncoding string // codings of bodies that would be taken; empty: not said
}

// Error says why the request was refused.
func (r *refusal) Error() string { return r.message }

// details are what helps to mend a request.
type details struct {
	Faults   []domain.Fault `json:"validation_errors,omitempty"`
	Required []apikey.Scope `json:"required_scopes,omitzero"`
	Has      []apikey.Scope `json:"user_scopes,omitzero"`
}

// A problem is the body of an error's answer: the contract's, and RFC 9457's.
type problem struct {
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Status   int      `json:"status"`
	Detail   string   `json:"detail"`
	Instance string   `json:"instance,omitempty"`
	Code     string   `json:"code"`
	Message  string   `json:"message"`
	Retry    int64    `json:"retry_after,omitempty"`
	Details  *details `json:"details,omitempty"`
}

// newRefusal returns what err is to the caller. Of a fault of ours that is nothing.
func newRefusal(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	if e, ok := errors.AsType[*domain.Error](err); ok && e.Kind != domain.Internal {
		r := &refusal{status: statuses[e.Kind], code: e.Code, message: e.Message}
		if len(e.Faults) > 0 {
			r.details = &details{Faults: e.Faults}
		}
		return r
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &refusal{status: http.StatusRequestEntityTooLarge, code: "PAYLOAD_TOO_LARGE", message: "the body is larger than 10 MiB"}
	}
	if _, ok := errors.AsType[*eventstore.ConflictError](err); ok {
		return &refusal{status: http.StatusConflict, code: "CONFLICT", message: "others kept changing the same thing: try again"}
	}
	if eventstore.IsUnavailable(err) {
		return &refusal{status: http.StatusServiceUnavailable, code: "UNAVAILABLE", message: "the ledger is not available at the moment: try again"}
	}
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch e.Code {
		case http.StatusNotFound:
			return &refusal{status: e.Code, code: "ENTITY_NOT_FOUND", message: "there is nothing at this path"}
		case http.StatusMethodNotAllowed:
			return &refusal{status: e.Code, code: "METHOD_NOT_ALLOWED", message: "this path has no such method: see Allow"}
		case http.StatusBadRequest:
			return &refusal{status: e.Code, code: "INVALID_REQUEST", message: "the request could not be read"}
		}
	}
	return &refusal{status: http.StatusInternalServerError, code: "INTERNAL", message: "something went wrong on our side"}
}

// refuse answers with err, unless the answer has begun.
func (s *Server) refuse(c echo.Context, err error) {
	if c.Response().Committed {
		return
	}
	r := newRefusal(err)
	header := c.Response().Header()
	switch r.status {
	case http.StatusUnauthorized:
		header.Set(echo.HeaderWWWAuthenticate, "Bearer")
	case http.StatusUnsupportedMediaType:
		if r.acceptEncoding != "" {
			header.Set(echo.HeaderAcceptEncoding, r.acceptEncoding)
		}
	case http.StatusServiceUnavailable:
		header.Set(echo.HeaderRetryAfter, "1")
	case http.StatusTooManyRequests:
		header.Set(echo.HeaderRetryAfter, strconv.FormatInt(r.retryAfter, 10))
	}
	p := problem{
		Type: "about:blank", Title: http.StatusText(r.status), Status: r.status, Detail: r.message,
		Code: r.code, Message: r.message, Retry: r.retryAfter, Details: r.details,
	}
	if id := header.Get(echo.HeaderXRequestID); id != "" {
		p.Instance = "urn:request:" + id
	}
	body, err := json.Marshal(p)
	if err != nil { // what was provided cannot be said again
		p.Details = nil
		body, _ = json.Marshal(p) // texts and numbers always marshal
	}
	header.Set(echo.HeaderContentType, "application/problem+json")
	c.Response().WriteHeader(r.status)
	_, _ = c.Response().Write(body) // if the caller is gone, so be it
}

// invalid returns an error of everything that is wrong with a request, nil when nothing is.
func invalid(faults []domain.Fault) error {
	if len(faults) == 0 {
		return nil
	}
	return &domain.Error{Kind: domain.Invalid, Code: "VALIDATION_ERROR", Message: "the request is not valid", Faults: faults}
}

// faultsIn returns the faults that err names. If it is another error, that is returned.
func faultsIn(err error) ([]domain.Fault, error) {
	if e, ok := errors.AsType[*domain.Error](err); ok && e.Kind == domain.Invalid {
		return e.Faults, nil
	}
	return nil, err
}
