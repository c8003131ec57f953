package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest/idempotency"
)

// Headers of requests that may be repeated.
const (
	idempotencyKey      = "Idempotency-Key"
	idempotencyReplayed = "Idempotency-Replayed"
)

const (
	turnPatience = 20 * time.Second // for whoever works on the same request; longer than a dead one is waited for
	maxKept      = 16 << 20         // of an answer; a larger one is made again, from the same seed
)

// seed returns what the IDs of the request under way are made from, nil when it need not be
// repeatable.
func seed(ctx context.Context) *domain.Seed { return requestFrom(ctx).seed }

// repeat answers a request that was made before under the same Idempotency-Key with its first
// answer. Answers are kept but for those that say to try again: 5xx and 429.
func (s *Server) repeat(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		op := s.contract.operation(r.Method, c.Path())
		given := r.Header.Values(idempotencyKey)
		if op == nil || op.open || r.Method != http.MethodPost || len(given) == 0 {
			return next(c)
		}
		key, ok := parseIdempotencyKey(given)
		if !ok {
			return invalid([]domain.Fault{{Field: idempotencyKey, Error: "must be 1 to 255 printable ASCII characters, quoted or not, given once"}})
		}
		sum, err := takeBody(c)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), turnPatience)
		defer cancel()
		turn, err := s.cfg.Idempotency.Begin(ctx, idempotency.Request{Organisation: organisation(ctx), Key: key, Sum: sum})
		switch {
		case err != nil:
			return turnRefused(err)
		case turn.Answer != nil:
			return replay(c, turn.Answer)
		}
		return s.once(c, turn, next)
	}
}

// parseIdempotencyKey returns the key in the lines of a header. Written as a structured field's
// string (RFC 8941), in quotes, it is the same as bare.
func parseIdempotencyKey(lines []string) (string, bool) {
	key := strings.TrimSpace(lines[0])
	if quoted, ok := strings.CutPrefix(key, `"`); ok {
		var b strings.Builder
		for ; quoted != "" && quoted[0] != '"'; quoted = quoted[1:] {
			if quoted[0] == '\\' && len(quoted) > 1 {
				quoted = quoted[1:]
			}
			b.WriteByte(quoted[0])
		}
		if quoted != `"` {
			return "", false
		}
		key = b.String()
	}
	const longest = 255
	unprintable := strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' })
	return key, len(lines) == 1 && key != "" && len(key) <= longest && !unprintable
}

// takeBody reads the request's body, leaves it to be read again, and returns a sum of all that
// makes the request this one.
func takeBody(c echo.Context) (sum [sha256.Size]byte, err error) {
	r := c.Request()
	mediaType, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil {
		mediaType = r.Header.Get(echo.HeaderContentType)
	}
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxBody)
	body, err := readBody(r)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok && mediaType == ndjsonType {
		return sum, &refusal{
			status: http.StatusRequestEntityTooLarge, code: "PAYLOAD_TOO_LARGE",
			message: "with an Idempotency-Key the body has 10 MiB at most; leave the header out: a company is handed over once, however often it is sent",
		}
	}
	if err != nil {
		return sum, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	h := sha256.New()
	for _, part := range [][]byte{[]byte(r.Method), []byte(r.URL.Path), []byte(r.URL.RawQuery), []byte(mediaType), body} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // a hash takes everything
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// turnRefused returns what err, of beginning a turn, is to the caller.
func turnRefused(err error) error {
	switch {
	case errors.Is(err, idempotency.ErrOther):
		return &refusal{status: http.StatusConflict, code: "CONFLICT", message: "this Idempotency-Key was used for another request"}
	case errors.Is(err, idempotency.ErrUnreadable):
		return &refusal{status: http.StatusConflict, code: "CONFLICT", message: "the first answer under this Idempotency-Key is not there any more: look what it did"}
	case errors.Is(err, idempotency.ErrUnderWay):
		return &refusal{status: http.StatusServiceUnavailable, code: "UNAVAILABLE", message: "the first request under this Idempotency-Key is still under way: try again"}
	}
	return err
}

// once executes the request in its turn, and keeps the answer.
func (s *Server) once(c echo.Context, turn *idempotency.Turn, next echo.HandlerFunc) error {
	r := c.Request()
	requestFrom(r.Context()).seed = &turn.Seed
	c.SetRequest(r.WithContext(eventstore.WithSeed(r.Context(), turn.Seed.Secret)))
	working, done := context.WithCancel(r.Context())
	go turn.Extend(working)

	w := &recorder{ResponseWriter: c.Response().Writer, before: c.Response().Header().Clone()}
	var answer []byte
	defer func() {
		done()
		c.Response().Writer = w.ResponseWriter
		s.endTurn(r.Context(), turn, answer)
		_ = w.flush() // if the caller is gone, so be it
	}()
	c.Response().Writer = w
	err := next(c)
	if err != nil {
		s.refuse(c, err)
	}
	if w.status != http.StatusTooManyRequests && w.status < http.StatusInternalServerError && !w.large {
		answer = w.answer()
	}
	return err
}

// endTurn keeps the answer, or, when there is none to keep, lets the next one try. Where the
// database is away the answer stands all the same: who repeats the request then finds what it
// did, and gets that.
func (s *Server) endTurn(ctx context.Context, turn *idempotency.Turn, answer []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Patience)
	defer cancel()
	var err error
	if answer != nil {
		err = turn.Keep(ctx, answer)
	} else {
		err = turn.Release(ctx)
	}
	if err != nil {
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "answer not kept", slog.String("request", requestFrom(ctx).id), slog.Any("error", err))
	}
}

// A recorder holds an answer back until it is kept; not one that is too large for that.
type recorder struct {
	http.ResponseWriter
	before http.Header // as it was when the request's turn came
	status int         // 0: there is no answer
	body   bytes.Buffer
	large  bool // the answer is passed on as it comes
}

// WriteHeader notes the status.
func (w *recorder) WriteHeader(status int) { w.status = status }

// Write notes a part of the body.
func (w *recorder) Write(b []byte) (int, error) {
	if !w.large && w.body.Len()+len(b) > maxKept {
		err := w.flush()
		w.large = true
		if err != nil {
			return 0, err
		}
	}
	if w.large {
		return w.ResponseWriter.Write(b)
	}
	return w.body.Write(b)
}

// Unwrap returns what the recorder writes to, for [http.ResponseController].
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// flush writes the answer, if there is one that is held back.
func (w *recorder) flush() error {
	if w.status == 0 || w.large {
		return nil
	}
	body := w.body.Bytes()
	w.body = bytes.Buffer{}
	w.ResponseWriter.WriteHeader(w.status)
	_, err := w.ResponseWriter.Write(body)
	return err
}

// A keptHeader is what is kept of an answer, before its body.
type keptHeader struct {
	Status int
	Header http.Header
}

// answer returns the answer as it is kept: a line of JSON, and the body. Of the header it is
// what was said in the request's turn; the rest is of each request.
func (w *recorder) answer() []byte {
	kept := keptHeader{Status: w.status, Header: http.Header{}}
	for name, values := range w.Header() {
		if !reflect.DeepEqual(values, w.before[name]) {
			kept.Header[name] = values
		}
	}
	line, _ := json.Marshal(kept) // texts and numbers always marshal
	return append(append(line, '\n'), w.body.Bytes()...)
}

// replay answers as before.
func replay(c echo.Context, answer []byte) error {
	line, body, _ := bytes.Cut(answer, []byte("\n"))
	var kept keptHeader
	if err := json.Unmarshal(line, &kept); err != nil {
		return fmt.Errorf("read kept answer: %w", err)
	}
	header := c.Response().Header()
	for name, values := range kept.Header {
		header[name] = values
	}
	header.Set(idempotencyReplayed, "true")
	c.Response().WriteHeader(kept.Status)
	_, _ = c.Response().Write(body) // if the caller is gone, so be it
	return nil
}
