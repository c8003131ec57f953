package rest

import (
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
)

// unzippers are decoders at rest.
var unzippers = sync.Pool{New: func() any { return new(gzip.Reader) }}

// decode lets a request's body come in gzip (RFC 7694). From then on nobody sees that it did: what
// it says is bounded, compared and validated as if it had come so.
func (s *Server) decode(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		op := s.contract.operation(r.Method, c.Path())
		if op == nil || len(op.bodies) == 0 {
			return next(c)
		}
		switch codings := contentCodings(r.Header); {
		case len(codings) == 0:
			return next(c)
		case len(codings) > 1 || codings[0] != "gzip" && codings[0] != "x-gzip":
			return &refusal{
				status: http.StatusUnsupportedMediaType, code: "UNSUPPORTED_MEDIA_TYPE", acceptEncoding: "gzip",
				message: "the body's Content-Encoding must be gzip, once, or none",
			}
		}
		r.Header.Del(echo.HeaderContentEncoding)
		if r.ContentLength == 0 {
			return next(c)
		}
		zip := unzippers.Get().(*gzip.Reader)
		defer unzippers.Put(zip)
		r.Body = &unzipper{ReadCloser: r.Body, zip: zip}
		r.ContentLength = -1 // nobody knows
		r.Header.Del(echo.HeaderContentLength)
		return next(c)
	}
}

// contentCodings returns the codings of a request's body in the order in which they were applied.
func contentCodings(header http.Header) (codings []string) {
	for coding := range strings.SplitSeq(strings.Join(header.Values(echo.HeaderContentEncoding), ","), ",") {
		if coding = strings.ToLower(strings.TrimSpace(coding)); coding != "" && coding != "identity" {
			codings = append(codings, coding)
		}
	}
	return codings
}

// An unzipper reads what its body says, as far as it is asked to: nothing is expanded that nobody
// reads.
type unzipper struct {
	io.ReadCloser // as it came
	zip           *gzip.Reader
	begun         bool
	err           error // that reading ended with
}

// errNotGzip is returned for a body that is not in the coding that it is said to be in.
var errNotGzip = &refusal{status: http.StatusBadRequest, code: "INVALID_REQUEST", message: "the body is not valid gzip, or not whole"}

// Read reads the next part. The body's beginning is looked at no earlier than that.
func (u *unzipper) Read(p []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	if !u.begun {
		u.begun = true
		err = u.zip.Reset(u.ReadCloser)
		if errors.Is(err, io.EOF) { // without a header it is none
			err = io.ErrUnexpectedEOF
		}
	}
	if err == nil {
		n, err = u.zip.Read(p)
	}
	if err != nil && isNotGzip(err) {
		err = errNotGzip
	}
	u.err = err
	return n, err
}

// isNotGzip reports whether err says that something else than gzip was read.
func isNotGzip(err error) bool {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	return corrupt || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF)
}
