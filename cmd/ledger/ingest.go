package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	api "github.com/openprospect/delivery-ledger/handlers/rest/client"
)

// ingestVerb is ledger ingest.
type ingestVerb struct {
	File       string `arg:"" help:"NDJSON, a qualified company a line, as POST …/qualifications takes them; - for standard input."`
	Delivery   string `required:"" placeholder:"ID" help:"ID of the delivery, or of the prospect search, under which to hand the companies over."`
	Server     string `default:"http://127.0.0.1:8080" help:"Address of the ledger."`
	APIKey     string `required:"" name:"api-key" placeholder:"lnc_live_…" help:"API key with the scope qualifications:write."`
	Candidates bool   `help:"The companies are candidates, to be judged by the delivery's rules, as POST …/candidates takes them. The API key needs the scope candidates:write."`
	Chunk      int    `default:"500" help:"Lines in a request."`
}

// Help says what a repeat does.
func (v *ingestVerb) Help() string {
	return `A company is handed over once per delivery however often it is sent, so an ingest that was interrupted is simply run again:
what the ledger has already counts as duplicate. While the ledger is unavailable the ingest waits. A line that is not acceptable is
reported with its number and harms no other; then the exit code is 1.`
}

// Run sends the file.
func (v *ingestVerb) Run(ctx context.Context, w world) error {
	if err := checkServer(v.Server); err != nil {
		return err
	}
	in, size, err := v.open(w)
	if err != nil {
		return err
	}
	defer in.Close()
	ledger, err := newLedgerClient(v.Server, v.APIKey)
	if err != nil {
		return err
	}
	sender := ingester{ledger: ledger, delivery: v.Delivery, candidates: v.Candidates, waiting: func(err error) {
		fmt.Fprintf(w.err, "the ledger does not take anything, waiting for it: %v\n", err)
	}}
	bar := newBar(w.err, "ingest", "bytes", size)
	total, err := sender.send(ctx, in, max(1, v.Chunk), func(bytes int64, bad []string) {
		for _, line := range bad {
			fmt.Fprintln(w.err, line)
		}
		bar.set(bytes, max(size, bytes))
	})
	bar.finish()
	if v.Candidates || total.disqualified > 0 { // what is excluded is, also when it came qualified
		fmt.Fprintf(w.out, "%d disqualified, ", total.disqualified)
	}
	fmt.Fprintf(w.out, "%d accepted, %d duplicates, %d rejected\n", total.accepted, total.duplicates, total.rejected)
	if err == nil && total.rejected > 0 {
		err = fmt.Errorf("%d lines were rejected", total.rejected)
	}
	return err
}

// checkServer returns an error unless server is the address of one.
func checkServer(server string) error {
	if u, err := url.Parse(server); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("--server must be an address such as http://127.0.0.1:8080: %q is none", server)
	}
	return nil
}

// open returns the file and its size, 0 when that is not known.
func (v *ingestVerb) open(w world) (io.ReadCloser, int64, error) {
	if v.File == "-" {
		return io.NopCloser(w.in), 0, nil
	}
	f, err := os.Open(v.File)
	if err != nil {
		return nil, 0, fmt.Errorf("open file to ingest: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open file to ingest: %w", err), f.Close())
	}
	return f, info.Size(), nil
}

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
type sums struct{ accepted, duplicates, disqualified, rejected int }

// add adds those of a request.
func (s *sums) add(got api.QualificationSummary) {
	s.accepted += got.Accepted
	s.duplicates += got.Duplicates
	s.disqualified += got.Disqualified
	s.rejected += got.Rejected
}

// Bounds of a request, in bytes.
const (
	maxLine = 1 << 20 // of a line
	maxBody = 4 << 20 // of the lines in a request, unless it is one
)

// A batch is lines that are sent in one request.
type batch struct {
	body    bytes.Buffer
	numbers []int // of its lines
}

// add adds a line.
func (b *batch) add(number int, line []byte) {
	b.body.Write(line)
	b.body.WriteByte('\n')
	b.numbers = append(b.numbers, number)
}

// send sends in, chunk by chunk, and returns the sums. After each chunk it tells how many
// bytes are done and which lines were rejected.
func (i *ingester) send(ctx context.Context, in io.Reader, chunk int, tell func(done int64, bad []string)) (sums, error) {
	var total sums
	var b batch
	flush := func(done int64) error {
		got, bad, err := i.flush(ctx, &b)
		total.add(got)
		tell(done, bad)
		return err
	}
	lines := &lineReader{r: bufio.NewReaderSize(in, maxLine+len("\n"))}
	for number := 1; ; number++ {
		line, err := lines.next()
		switch {
		case errors.Is(err, errLongLine):
			if err := flush(lines.done); err != nil {
				return total, err
			}
			total.rejected++
			tell(lines.done, []string{fmt.Sprintf("line %d: %v", number, err)})
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return total, fmt.Errorf("read file to ingest: %w", err)
		case len(line) > 0:
			b.add(number, line)
		}
		if end := err != nil; end || len(b.numbers) >= chunk || b.body.Len() >= maxBody {
			if err := flush(lines.done); err != nil || end {
				return total, err
			}
		}
	}
}

// flush sends a batch, if there is anything in it, and empties it. It returns the sums, and
// what is wrong with each line that was rejected.
func (i *ingester) flush(ctx context.Context, b *batch) (got api.QualificationSummary, bad []string, err error) {
	if len(b.numbers) == 0 {
		return got, nil, nil
	}
	if got, err = i.post(ctx, b.body.Bytes()); err != nil {
		return got, nil, fmt.Errorf("send lines %d to %d: %w", b.numbers[0], b.numbers[len(b.numbers)-1], err)
	}
	for _, item := range got.Items {
		if item.Error != nil && item.Index < len(b.numbers) {
			bad = append(bad, fmt.Sprintf("line %d: %v", b.numbers[item.Index], item.Error))
		}
	}
	b.body.Reset()
	b.numbers = b.numbers[:0]
	return got, bad, nil
}

// errLongLine is returned for a line that is too long. Reading goes on after it.
var errLongLine = errors.New("the line is longer than 1 MiB")

// A lineReader reads lines and counts their bytes.
type lineReader struct {
	r    *bufio.Reader // its buffer is what a line may have
	done int64
}

// next returns the next line without white space around it, until the call after it. With the
// last line, which may be empty, it returns io.EOF.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.done += int64(len(line))
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimSpace(line), err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.r.ReadSlice('\n')
		l.done += int64(len(line))
	}
	if err != nil && !errors.Is(err, io.EOF) { // the end comes with the next call
		return nil, err
	}
	return nil, errLongLine
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
