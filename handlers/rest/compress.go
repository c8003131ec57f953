package rest

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
)

// worthCompressing is the size of a body from which on gzip pays.
const worthCompressing = 1024

// zippers are compressors at rest.
var zippers = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is valid
	return w
}}

// compress lets larger answers to reading requests go out in gzip, to those who accept it.
func (s *Server) compress(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !isRead(c.Request()) {
			return next(c)
		}
		res := c.Response()
		res.Header().Add(echo.HeaderVary, echo.HeaderAcceptEncoding)
		if !acceptsGzip(c.Request().Header) {
			return next(c)
		}
		w := &compressor{ResponseWriter: res.Writer}
		res.Writer = w
		defer func() { // what is written from here on, such as an error, is none of the compressor's
			w.close()
			res.Writer = w.ResponseWriter
		}()
		return next(c)
	}
}

// acceptsGzip reports whether a request takes an answer in gzip (RFC 9110, section 12.5.3).
func acceptsGzip(header http.Header) bool {
	accepts := false
	for coding := range strings.SplitSeq(strings.Join(header.Values(echo.HeaderAcceptEncoding), ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		_, q, weighted := strings.Cut(strings.ToLower(strings.ReplaceAll(weight, " ", "")), "q=")
		refused := weighted && strings.Trim(q, "0.") == ""
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "x-gzip":
			return !refused
		case "*":
			accepts = !refused
		}
	}
	return accepts
}

// A compressor decides at the first bytes of a body whether to compress it. What has an
// ETag it leaves alone: a strong one names the very bytes.
type compressor struct {
	http.ResponseWriter
	status int          // held back until the decision; 0: none
	zip    *gzip.Writer // nil: not compressed
	begun  bool
}

// WriteHeader notes the status.
func (w *compressor) WriteHeader(status int) { w.status = status }

// Write writes a part of the body.
func (w *compressor) Write(b []byte) (int, error) {
	if !w.begun {
		w.begin(len(b) >= worthCompressing)
	}
	if w.zip != nil {
		return w.zip.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// begin writes the header.
func (w *compressor) begin(worth bool) {
	w.begun = true
	header := w.Header()
	if worth && header.Get("ETag") == "" && header.Get(echo.HeaderContentEncoding) == "" {
		header.Set(echo.HeaderContentEncoding, "gzip")
		header.Del(echo.HeaderContentLength)
		w.zip = zippers.Get().(*gzip.Writer)
		w.zip.Reset(w.ResponseWriter)
	}
	if w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
}

// close ends the body.
func (w *compressor) close() {
	if !w.begun && w.status != 0 {
		w.begin(false)
	}
	if w.zip != nil {
		_ = w.zip.Close() // if the caller is gone, so be it
		zippers.Put(w.zip)
		w.zip = nil
	}
}

// Unwrap returns what the compressor writes to, for [http.ResponseController].
func (w *compressor) Unwrap() http.ResponseWriter { return w.ResponseWriter }
