package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	api "github.com/openprospect/delivery-ledger/handlers/rest/client"
)

// An ingester sends qualifications to a ledger. It is for one goroutine.
type ingester struct {
	ledger     *api.ClientWithResponses
	delivery   string
	candidates bool        // not qualified yet
	waiting    func(error) // told once when the ledger becomes unavailable; may be nil
}

// requestTimeout bounds a request of ours to a ledger.
const requestTimeout = 2 * time.Minute

// newLedgerClient returns a client of the ledger at server.
func newLedgerClient(server, key string) (*api.ClientWithResponses, error) {
	return api.New(server, key, "ledger/"+buildVersion(), api.WithHTTPClient(&http.Client{Timeout: requestTimeout}))
}

// sums counts what became of qualifications.
type sums struct {
	Accepted     int `json:"accepted"`
	Duplicates   int `json:"duplicates"`
	Disqualified int `json:"disqualified"`
	Rejected     int `json:"rejected"`
}

// add adds those of a request.
func (s *sums) add(got api.QualificationSummary) {
	s.plus(sums{got.Accepted, got.Duplicates, got.Disqualified, got.Rejected})
}

// plus adds other sums.
func (s *sums) plus(other sums) {
	s.Accepted += other.Accepted
	s.Duplicates += other.Duplicates
	s.Disqualified += other.Disqualified
	s.Rejected += other.Rejected
}

// String returns the sums in words.
func (s sums) String() string {
	text := fmt.Sprintf("%d accepted, %d duplicates, %d rejected", s.Accepted, s.Duplicates, s.Rejected)
	if s.Disqualified > 0 { // what is excluded is, also when it came qualified
		text = fmt.Sprintf("%d disqualified, ", s.Disqualified) + text
	}
	return text
}

// Bounds of a request.
const maxBody = 4 << 20 // bytes of the records in it, unless it is one

// A batch is records that are sent in one request, and those between them that are not.
type batch struct {
	body    bytes.Buffer
	records []record
	size    int   // bytes kept
	sent    []int // the places of those that are sent
}

// add adds a record.
func (b *batch) add(r record) {
	if len(r.faults) == 0 {
		b.body.Write(r.body)
		b.body.WriteByte('\n')
		b.sent = append(b.sent, len(b.records))
	}
	r.raw, r.body = bytes.Clone(r.raw), nil
	b.records = append(b.records, r)
	b.size += len(r.raw)
}

// reset empties the batch.
func (b *batch) reset() {
	b.body.Reset()
	b.records, b.sent, b.size = b.records[:0], b.sent[:0], 0
}

// send sends the records, chunk by chunk. After each chunk it tells the last line that is done, what became
// of the chunk, and which records were rejected; an error of tell ends it.
func (i *ingester) send(ctx context.Context, records recordReader, chunk int, tell func(line int, got sums, rejects []reject) error) error {
	var b batch
	for {
		r, err := records.next()
		if err == nil {
			b.add(r)
		}
		if err == nil && len(b.records) < chunk && b.size < maxBody && b.body.Len() < maxBody {
			continue
		}
		if len(b.records) > 0 {
			got, rejects, err := i.flush(ctx, &b, records)
			if err != nil {
				return err
			}
			if err := tell(b.records[len(b.records)-1].last, got, rejects); err != nil {
				return err
			}
			b.reset()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read file to ingest: %w", err)
		}
	}
}

// flush sends a batch. It returns the sums, and the records that were rejected, in their order.
func (i *ingester) flush(ctx context.Context, b *batch, records recordReader) (got sums, rejects []reject, err error) {
	if len(b.sent) > 0 {
		answer, err := i.post(ctx, b.body.Bytes())
		if err != nil {
			return got, nil, fmt.Errorf("send lines %d to %d: %w", b.records[0].line, b.records[len(b.records)-1].last, err)
		}
		got.add(answer)
		for _, item := range answer.Items {
			if item.Error == nil || item.Index >= len(b.sent) {
				continue
			}
			r := &b.records[b.sent[item.Index]]
			if len(r.faults) > 0 { // under several deliveries it is rejected by each
				continue
			}
			for _, f := range newFlaws(*item.Error) {
				r.faults = append(r.faults, records.locate(*r, f))
			}
		}
	}
	got.Rejected += len(b.records) - len(b.sent)
	for _, r := range b.records {
		if len(r.faults) > 0 {
			one := records.reject(r)
			one.Faults = r.faults
			rejects = append(rejects, one)
		}
	}
	return got, rejects, nil
}

// post sends one chunk, again and again while the ledger is unavailable.
func (i *ingester) post(ctx context.Context, body []byte) (api.QualificationSummary, error) {
	for told := false; ; told = true {
		got, wait, err := i.try(ctx, body)
		if err == nil || wait == 0 || ctx.Err() != nil {
			return got, err
		}
		if !told && i.waiting != nil {
			i.waiting(err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return got, err
		}
	}
}

// try sends one chunk. When that may succeed later it returns how long to wait.
func (i *ingester) try(ctx context.Context, body []byte) (got api.QualificationSummary, wait time.Duration, err error) {
	resp, err := i.request(ctx, bytes.NewReader(body))
	if refused, ok := errors.AsType[*api.Error](err); ok {
		if refused.Temporary() {
			wait = max(time.Second, refused.RetryAfter)
		}
		return got, wait, fmt.Errorf("the ledger answered %w", err)
	}
	if err != nil {
		return got, time.Second, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return got, time.Second, err
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return got, 0, fmt.Errorf("read the ledger's answer: %w", err)
	}
	return got, 0, nil
}

// request sends lines to where they belong.
func (i *ingester) request(ctx context.Context, lines io.Reader) (*http.Response, error) {
	const ndjson = "application/x-ndjson"
	if i.candidates {
		return i.ledger.JudgeCandidatesWithBody(ctx, i.delivery, nil, ndjson, lines)
	}
	return i.ledger.QualifyCompaniesWithBody(ctx, i.delivery, nil, ndjson, lines)
}
