package rest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// etag returns the strong tag of a version.
func etag(v eventstore.Version) string { return `"` + strconv.FormatInt(int64(v), 10) + `"` }

// detailETag returns the strong tag of a delivery that is shown with its counts. They change
// without the delivery, so the tag has a part of their own, which If-Match does not look at.
func detailETag(v eventstore.Version, counts projections.Counts) string {
	sum, any := fnv.New64a(), false
	for _, status := range []domain.DispatchStatus{
		domain.Pending, domain.Retrying, domain.Held, domain.Delivered, domain.Failed, domain.Cancelled,
	} {
		any = any || counts[status] != 0
		_ = binary.Write(sum, binary.BigEndian, counts[status]) // a hash takes everything
	}
	if !any {
		return etag(v)
	}
	return `"` + strconv.FormatInt(int64(v), 10) + "-" + strconv.FormatUint(sum.Sum64(), 16) + `"`
}

// contentETag returns the strong tag of something that has no version of its own, and of the
// revision that it has instead: a number made of all that is shown of it.
func contentETag(shown any) string { return etag(eventstore.Version(revisionOf(shown))) }

// revisionOf returns the revision of something that is known by what is shown of it.
func revisionOf(shown any) int64 {
	text, _ := json.Marshal(shown) // what is shown always marshals
	sum := sha256.Sum256(text)
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 1)
}

// preconditions are what a request's If-Match and If-None-Match say (RFC 9110, section 13).
type preconditions struct{ match, noneMatch *tags }

// newPreconditions returns those of a request's header.
func newPreconditions(header http.Header) preconditions {
	return preconditions{match: parseTags(header["If-Match"]), noneMatch: parseTags(header["If-None-Match"])}
}

// tags are entity tags that a caller has seen.
type tags struct {
	any    bool  // every one there may be
	list   []tag // else these
	broken bool  // what was given cannot be read; it matches nothing
}

// A tag is one entity tag.
type tag struct {
	opaque string // without its quotes
	weak   bool
}

// parseTags returns the tags in the lines of a header, nil when it was not given.
func parseTags(lines []string) *tags {
	if len(lines) == 0 {
		return nil
	}
	text := strings.Trim(strings.Join(lines, ","), " \t,")
	if text == "*" {
		return &tags{any: true}
	}
	t := &tags{broken: text == ""}
	for text != "" {
		weak := strings.HasPrefix(text, "W/")
		opaque, rest, ok := cutQuoted(strings.TrimPrefix(text, "W/"))
		if !ok {
			return &tags{broken: true}
		}
		t.list = append(t.list, tag{opaque, weak})
		text = strings.TrimLeft(rest, " \t,")
		if text != "" && !strings.Contains(rest[:len(rest)-len(text)], ",") {
			return &tags{broken: true}
		}
	}
	return t
}

// cutQuoted returns what is between the quotes that text begins with, and what is after them.
func cutQuoted(text string) (quoted, rest string, ok bool) {
	text, ok = strings.CutPrefix(text, `"`)
	if !ok {
		return "", "", false
	}
	return strings.Cut(text, `"`)
}

// weakly reports whether one of the tags equals current, be it weak or strong.
func (t *tags) weakly(current tag) bool {
	if t.any {
		return true
	}
	for _, seen := range t.list {
		if seen.opaque == current.opaque {
			return true
		}
	}
	return false
}

// names reports whether one of the tags is of that version, and strong unless weak will do.
func (t *tags) names(version int64, weak bool) bool {
	if t.any {
		return true
	}
	for _, seen := range t.list {
		number, _, _ := strings.Cut(seen.opaque, "-")
		if (weak || !seen.weak) && number == strconv.FormatInt(version, 10) {
			return true
		}
	}
	return false
}

// matching is a command about a delivery that its caller has made subject to preconditions.
// They are judged by the very state that the command is decided on, so that no change comes
// between.
type matching struct {
	eventstore.Command[domain.Delivery, domain.Event]
	preconditions
	destination domain.DestinationID // that it is about; empty: the delivery itself
}

// ifMatch returns cmd, subject to the request's preconditions. It is about a destination, or,
// if that is empty, about the delivery itself.
func ifMatch(ctx context.Context, cmd eventstore.Command[domain.Delivery, domain.Event], destination domain.DestinationID) matching {
	return matching{Command: cmd, preconditions: requestFrom(ctx).preconditions, destination: destination}
}

// Decide returns what the command decides, or the refusal of a caller who has not seen the
// latest change. What is absent is refused as absent.
func (m matching) Decide(d domain.Delivery, now time.Time) ([]domain.Event, error) {
	events, err := m.Command.Decide(d, now)
	if err != nil && domain.KindOf(err) == domain.NotFound {
		return nil, err
	}
	revision := d.Revision
	if m.destination != "" {
		revision = d.Revisions[m.destination]
	}
	if err := m.check(revision); err != nil {
		return nil, err
	}
	return events, err
}

// check returns a refusal unless a thing at that revision is as the preconditions want it.
func (p preconditions) check(revision int64) error {
	switch {
	case p.match != nil && p.match.broken:
		return invalid([]domain.Fault{{Field: "If-Match", Error: `must be * or entity tags as in ETag, such as "3"`}})
	case p.match != nil && !p.match.names(revision, false):
		return &refusal{
			status: http.StatusPreconditionFailed, code: "PRECONDITION_FAILED",
			message: "it has changed since: read it again, and decide again",
		}
	case p.noneMatch != nil && p.noneMatch.names(revision, true):
		return &refusal{
			status: http.StatusPreconditionFailed, code: "PRECONDITION_FAILED",
			message: "it is at a version that If-None-Match excludes",
		}
	}
	return nil
}

// revalidate answers a reader who has what there is already with 304.
func (s *Server) revalidate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		seen := requestFrom(r.Context()).preconditions.noneMatch
		if seen == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
			return next(c)
		}
		c.Response().Writer = &revalidator{ResponseWriter: c.Response().Writer, response: c.Response(), seen: seen}
		return next(c)
	}
}

// A revalidator leaves the body out when the reader has it.
type revalidator struct {
	http.ResponseWriter
	response *echo.Response
	seen     *tags
	known    bool
}

// WriteHeader writes the header, of a 304 when the reader has seen the answer's tag.
func (w *revalidator) WriteHeader(status int) {
	header := w.Header()
	if current := parseTags(header["Etag"]); status == http.StatusOK && current != nil && len(current.list) == 1 {
		w.known = w.seen.weakly(current.list[0])
	}
	if w.known {
		status = http.StatusNotModified
		w.response.Status = status // for the log
		header.Del(echo.HeaderContentType)
		header.Del(echo.HeaderContentLength)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the body, or drops it.
func (w *revalidator) Write(b []byte) (int, error) {
	if w.known {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap returns what the revalidator writes to, for [http.ResponseController].
func (w *revalidator) Unwrap() http.ResponseWriter { return w.ResponseWriter }
