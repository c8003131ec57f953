package rest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"github.com/openprospect/delivery-ledger/domain"
)

// An item is one qualification of a request, or one candidate.
type item struct {
	index         int
	company       domain.CompanyID
	qualification domain.Qualification
	candidate     domain.Candidate // instead, where these are sent
	excluded      *domain.Excluded // by which the organisation excludes the company; nil: it does not
	fault         error            // why it is rejected; nil: it is not
}

// item returns the qualification, or the candidate, in raw, which must be valid JSON and is kept. Its faults are
// besides those of its names.
func (h *handOver) item(index int, raw []byte, named []domain.Fault) *item {
	it := &item{index: index}
	if raw = bytes.TrimSpace(raw); raw[0] != '{' {
		it.fault = invalid([]domain.Fault{{Field: "body", Error: "must be an object"}})
		return it
	}
	var faults []domain.Fault
	var company domain.CompanyID
	var err error
	if h.candidates {
		faults = it.decodeCandidate(raw)
		company, err = it.candidate.Check()
	} else {
		faults = it.decode(raw)
		company, err = it.qualification.Check()
	}
	more, err := faultsIn(err)
	it.company = company
	if it.fault = err; err == nil {
		it.fault = invalid(firstOf(beside(named, merge(faults, more))))
	}
	return it
}

// items yields the items in a JSON array, with their sizes. It fails with errNotJSON.
func (h *handOver) items(list []byte) (iter.Seq2[*item, int], error) {
	found, err := inspectItems(list, h.schema)
	if err != nil {
		return nil, err
	}
	return func(yield func(*item, int) bool) {
		n := 0
		for raw := range elements(list) {
			it, size := &item{index: n, fault: errTooDeep}, 0
			if !found[n].deep {
				it, size = h.item(n, raw, found[n].faults), len(raw)
			}
			if n++; !yield(it, size) {
				return
			}
		}
	}, nil
}

// mostFaults is how many faults of an item are told.
const mostFaults = 100

// firstOf returns faults or, when there are too many, the first of them and that there are more.
func firstOf(faults []domain.Fault) []domain.Fault {
	if len(faults) <= mostFaults {
		return faults
	}
	more := domain.Fault{Field: "body", Error: "has " + strconv.Itoa(len(faults)-mostFaults) + " further faults"}
	return append(slices.Clone(faults[:mostFaults]), more) // the others are not kept
}

// decode takes the fields of a qualification and returns what is wrong with their form. Case
// tells fields apart.
func (it *item) decode(raw []byte) (faults []domain.Fault) {
	q := &it.qualification
	add := func(field, text string) { faults = append(faults, domain.Fault{Field: field, Error: text}) }
	for name, value := range members(raw) {
		switch name {
		case "company":
			q.Company = value
		case "prospects":
			q.Prospects = value
		case "qualification_score":
			if json.Unmarshal(value, &q.Score) != nil {
				add(name, "must be a whole number from 0 to 100")
			}
		case "match_reasons":
			if json.Unmarshal(value, &q.MatchReasons) != nil {
				add(name, "must be a list of texts")
			}
		default:
			add(brief(name), "is not a known field")
		}
	}
	return faults
}

// rejected says why the item is.
func (it *item) rejected() QualificationResult {
	return QualificationResult{
		Index: it.index, CompanyID: optional(string(it.company)), Outcome: Rejected, Error: itemError(newRefusal(it.fault)),
	}
}

// itemError returns a refusal as it is shown of an item.
func itemError(r *refusal) *ItemError {
	e := &ItemError{Code: ItemErrorCode(r.code), Message: r.message}
	if r.details != nil {
		errs := make([]ValidationError, len(r.details.Faults))
		for i, f := range r.details.Faults {
			errs[i] = ValidationError{Field: f.Field, Error: f.Error}
			if f.Provided != nil {
				errs[i].Provided = &f.Provided
			}
		}
		e.Details = &ProblemDetails{ValidationErrors: &errs}
	}
	return e
}

// reportItem logs a fault of ours that hit one item.
func (s *Server) reportItem(ctx context.Context, j *job) {
	s.cfg.Log.LogAttrs(ctx, slog.LevelError, "qualification rejected", slog.String("request", requestFrom(ctx).id),
		slog.Int("index", j.item.index), slog.Any("error", j.outcome.Err))
}

// maxLine is the length of a line of a stream.
const maxLine = 1 << 20

// errLongLine is returned for a line that is too long. Reading goes on after it.
var errLongLine = &refusal{status: http.StatusRequestEntityTooLarge, code: "PAYLOAD_TOO_LARGE", message: "the line is longer than 1 MiB"}

// A lineReader reads lines that are not blank.
type lineReader struct{ r *bufio.Reader }

// newLineReader returns a reader of r's lines.
func newLineReader(r io.Reader) lineReader {
	return lineReader{bufio.NewReaderSize(r, maxLine+len("\r\n"))}
}

// next returns the next line, which holds until the call after it, or io.EOF.
func (l lineReader) next() ([]byte, error) {
	for {
		line, err := l.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, l.skip()
		}
		if line = bytes.TrimSpace(line); len(line) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// skip reads to the end of a line that is too long, and returns errLongLine.
func (l lineReader) skip() error {
	for {
		switch _, err := l.r.ReadSlice('\n'); {
		case err == nil || errors.Is(err, io.EOF):
			return errLongLine
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
