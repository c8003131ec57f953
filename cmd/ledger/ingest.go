package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// ingestVerb is ledger ingest.
type ingestVerb struct {
	File     string `arg:"" help:"NDJSON, a qualified company a line, as POST …/qualifications takes them; - for standard input."`
	Delivery string `required:"" placeholder:"ID" help:"ID of the delivery, or of the prospect search, under which to hand the companies over."`
	Server   string `default:"http://127.0.0.1:8080" help:"Address of the ledger."`
	APIKey   string `required:"" name:"api-key" placeholder:"lnc_live_…" help:"API key with the scope qualifications:write."`
	Chunk    int    `default:"500" help:"Lines in a request."`
}

// Help says what a repeat does.
func (v *ingestVerb) Help() string {
	return `A company is handed over once per delivery however often it is sent, so an ingest that was interrupted is simply run again:
what the ledger has already counts as duplicate. While the ledger is unavailable the ingest waits. A line that is not acceptable is
reported with its number and harms no other; then the exit code is 1.`
}

// Run sends the file.
func (v *ingestVerb) Run(ctx context.Context, w world) error {
	if u, err := url.Parse(v.Server); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("--server must be an address such as http://127.0.0.1:8080: %q is none", v.Server)
	}
	in, size, err := v.open(w)
	if err != nil {
		return err
	}
	defer in.Close()
	client := newIngester(v.Server, v.APIKey, v.Delivery)
	client.waiting = func(err error) { fmt.Fprintf(w.err, "the ledger does not take anything, waiting for it: %v\n", err) }
	bar := newBar(w.err, "ingest", "bytes", size)
	total, err := client.send(ctx, in, max(1, v.Chunk), func(bytes int64, bad []string) {
		for _, line := range bad {
			fmt.Fprintln(w.err, line)
		}
		bar.set(bytes, max(size, bytes))
	})
	bar.finish()
	fmt.Fprintf(w.out, "%d accepted, %d duplicates, %d rejected\n", total.Accepted, total.Duplicates, total.Rejected)
	if err == nil && total.Rejected > 0 {
		err = fmt.Errorf("%d lines were rejected", total.Rejected)
	}
	return err
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
	http    *http.Client
	url     string
	key     string
	waiting func(error) // told once when the ledger becomes unavailable; may be nil
}

// newIngester returns an ingester for one delivery.
func newIngester(server, key, delivery string) *ingester {
	return &ingester{
		http: &http.Client{Timeout: 2 * time.Minute}, key: key,
		url: strings.TrimSuffix(server, "/") + "/api/v1/deliveries/" + url.PathEscape(delivery) + "/qualifications",
	}
}

// summary is what became of qualifications.
type summary struct {
	Accepted   int `json:"accepted"`
	Duplicates int `json:"duplicates"`
	Rejected   int `json:"rejected"`
	Items      []struct {
		Index   int    `json:"index"`
		Outcome string `json:"outcome"`
		Error   fault  `json:"error"`
	} `json:"items"`
}

// add adds the sums of another one.
func (s *summary) add(other summary) {
	s.Accepted += other.Accepted
	s.Duplicates += other.Duplicates
	s.Rejected += other.Rejected
}

// A fault is why something was refused, as the ledger says it.
type fault struct {
	Message string `json:"message"`
	Details struct {
		Faults []struct {
			Field string `json:"field"`
			Error string `json:"error"`
		} `json:"validation_errors"`
	} `json:"details"`
}

// String returns the fault in one line.
func (f fault) String() string {
	texts := make([]string, len(f.Details.Faults))
	for i, d := range f.Details.Faults {
		texts[i] = d.Field + " " + d.Error
	}
	return cmp.Or(strings.Join(texts, "; "), f.Message)
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
func (i *ingester) send(ctx context.Context, in io.Reader, chunk int, tell func(done int64, bad []string)) (summary, error) {
	var total summary
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
			total.Rejected++
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
func (i *ingester) flush(ctx context.Context, b *batch) (got summary, bad []string, err error) {
	if len(b.numbers) == 0 {
		return got, nil, nil
	}
	if got, err = i.post(ctx, b.body.Bytes()); err != nil {
		return got, nil, fmt.Errorf("send lines %d to %d: %w", b.numbers[0], b.numbers[len(b.numbers)-1], err)
	}
	for _, item := range got.Items {
		if item.Outcome == "rejected" && item.Index < len(b.numbers) {
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
func (i *ingester) post(ctx context.Context, body []byte) (summary, error) {
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
func (i *ingester) try(ctx context.Context, body []byte) (got summary, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.url, bytes.NewReader(body))
	if err != nil {
		return got, 0, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Authorization", "Bearer "+i.key)
	resp, err := i.http.Do(req)
	if err != nil {
		return got, time.Second, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return got, time.Second, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 when absent
		return got, time.Duration(max(1, seconds)) * time.Second, refused(resp.Status, answer)
	default:
		return got, 0, refused(resp.Status, answer)
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return got, 0, fmt.Errorf("read the ledger's answer: %w", err)
	}
	return got, 0, nil
}

// refused returns an error of an answer that is not the one hoped for.
func refused(status string, answer []byte) error {
	var why fault
	if json.Unmarshal(answer, &why) == nil && why.String() != "" {
		return fmt.Errorf("the ledger answered %s: %v", status, why)
	}
	return fmt.Errorf("the ledger answered %s: %s", status, bytes.TrimSpace(answer))
}
