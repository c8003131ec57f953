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
	"strconv"
	"strings"
	"time"
)

// ingestVerb is ledger ingest.
type ingestVerb struct {
	File     string `arg:"" help:"NDJSON, a qualified company a line, as POST …/qualifications takes them; - for standard input."`
	Delivery string `required:"" help:"ID of the delivery, or of the prospect search, under which to hand the companies over."`
	Server   string `default:"http://127.0.0.1:8080" help:"Address of the ledger."`
	APIKey   string `required:"" name:"api-key" help:"API key with the scope qualifications:write."`
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
	in, size, err := v.open(w)
	if err != nil {
		return err
	}
	defer in.Close()
	client := newIngester(v.Server, v.APIKey, v.Delivery)
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
	http *http.Client
	url  string
	key  string
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
		Index   int             `json:"index"`
		Outcome string          `json:"outcome"`
		Error   json.RawMessage `json:"error"`
	} `json:"items"`
}

// maxLine is the longest line that is taken, in bytes.
const maxLine = 1 << 20

// send sends in, chunk by chunk, and returns the sums. After each chunk it tells how many
// bytes are done and which lines were rejected.
func (i *ingester) send(ctx context.Context, in io.Reader, chunk int, tell func(done int64, bad []string)) (summary, error) {
	var total summary
	var body bytes.Buffer
	var done int64
	var numbers []int // of the lines in body
	flush := func() error {
		if len(numbers) == 0 {
			return nil
		}
		got, err := i.post(ctx, body.Bytes())
		if err != nil {
			return fmt.Errorf("lines %d to %d: %w", numbers[0], numbers[len(numbers)-1], err)
		}
		var bad []string
		for _, item := range got.Items {
			if item.Outcome == "rejected" && item.Index < len(numbers) {
				bad = append(bad, fmt.Sprintf("line %d: %s", numbers[item.Index], item.Error))
			}
		}
		total.Accepted += got.Accepted
		total.Duplicates += got.Duplicates
		total.Rejected += got.Rejected
		tell(done, bad)
		body.Reset()
		numbers = numbers[:0]
		return nil
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for number := 1; lines.Scan(); number++ {
		done += int64(len(lines.Bytes())) + 1
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		body.Write(lines.Bytes())
		body.WriteByte('\n')
		if numbers = append(numbers, number); len(numbers) == chunk {
			if err := flush(); err != nil {
				return total, err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return total, fmt.Errorf("read file to ingest: %w", err)
	}
	return total, flush()
}

// post sends one chunk, again and again while the ledger is unavailable.
func (i *ingester) post(ctx context.Context, body []byte) (summary, error) {
	for {
		got, wait, err := i.try(ctx, body)
		if err == nil || wait == 0 {
			return got, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return got, errors.Join(err, ctx.Err())
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
	switch {
	case err != nil:
		return got, time.Second, err
	case resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 when absent
		return got, time.Duration(max(1, seconds)) * time.Second, errors.New(resp.Status)
	case resp.StatusCode != http.StatusOK:
		return got, 0, fmt.Errorf("the ledger answered %s: %s", resp.Status, bytes.TrimSpace(answer))
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return got, 0, fmt.Errorf("read the ledger's answer: %w", err)
	}
	return got, 0, nil
}
