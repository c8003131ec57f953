package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// tenRules are those of a demanding customer: every kind of comparison, and two expressions.
const tenRules = `[
	{"name":"1","reason":"Uses HubSpot","when":{"field":"company.technologies","op":"contains","value":"hubspot"}},
	{"name":"2","reason":"Revenue > $10M","when":{"field":"company.revenue","op":"gt","value":10000000}},
	{"name":"3","reason":"Decision Maker found","when":{"field":"prospects.title","op":"matches","value":"(?i)\\b(ceo|cto|chief|vp|head)\\b"}},
	{"name":"4","when":{"field":"company.employees","op":"between","value":[50,500]}},
	{"name":"5","when":{"field":"company.industry","op":"any_of","value":["software","saas","fintech"]}},
	{"name":"6","when":{"field":"company.technologies","op":"none_of","value":["salesforce"]}},
	{"name":"7","when":{"all":[{"field":"company.domain","op":"ends_with","value":".example"},{"not":{"field":"company.public","op":"eq","value":true}}]}},
	{"name":"8","when":{"field":"attributes.funding.round","op":"any_of","value":["A","B"]}},
	{"name":"9","when":{"expression":"company.revenue > 10000000 && 'AWS' in company.technologies"}},
	{"name":"10","when":{"expression":"prospects.exists(p, p.title.startsWith('C'))"}}
]`

// A lineStream is a body of that many lines. It keeps none.
type lineStream struct {
	lines   int
	line    func(b []byte, n int) []byte // appends the n-th
	tenth   func()                       // called once a tenth of them was read
	next    int
	pending []byte
}

// Read implements [io.Reader].
func (s *lineStream) Read(p []byte) (int, error) {
	if len(s.pending) == 0 {
		if s.next == s.lines {
			return 0, io.EOF
		}
		if s.next == s.lines/10 {
			s.tenth()
		}
		s.pending = append(s.line(s.pending[:0], s.next), '\n')
		s.next++
	}
	n := copy(p, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

// candidateLine appends the n-th of usual candidates, of whom every second qualifies.
func candidateLine(b []byte, n int) []byte {
	revenue, title, round := "12500000", "CTO", "A"
	if n%2 == 1 {
		revenue, title, round = "800000", "Intern", "Seed"
	}
	return fmt.Appendf(b, `{"company":{"id":"comp_%07d","name":"Acme Corp %d","domain":"acme-%d.example","industry":"Software","size":"50-200",`+
		`"location":"San Francisco, CA","linkedin_url":"https://linkedin.com/company/acme-%d","revenue":%s,"employees":120,"public":false,`+
		`"technologies":["AWS","React","%s"]},"prospects":[{"id":"pros_%07d","first_name":"Jane","last_name":"Doe","title":"%s",`+
		`"email":"jane.doe@acme-%d.example","linkedin_url":"https://linkedin.com/in/janedoe"}],"attributes":{"funding":{"round":"%s"}}}`,
		n, n, n, n, revenue, []string{"HubSpot", "Salesforce"}[n%2], n, title, n, round)
}

// faultyLine appends the n-th of lines that are not acceptable.
func faultyLine(b []byte, n int) []byte {
	return fmt.Appendf(b, `{"company":{"id":"comp %d","name":""},"prospects":[{},{"id":""}],"score":1}`, n)
}

// peakMemory returns the most memory that a process ever had in use, in MiB: 0 where that cannot be told.
func peakMemory(p *process) float64 {
	status, _ := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	line, _, _ := bytes.Cut(rest, []byte(" kB"))
	kib, _ := strconv.Atoi(string(bytes.TrimSpace(line)))
	return float64(kib) / 1024
}

// BenchmarkIngest sends lines as one stream, to be judged by ten rules, and waits until the read models show what came of them.
// It reports how many a second are judged and recorded, what they cost in the ledger and its Postgres, read models included, and
// the ledger's peak of memory after a tenth of them and after all: -benchtime 1000000x shows whether it grows with their number.
func BenchmarkIngest(b *testing.B) {
	b.Run("candidates", func(b *testing.B) {
		ingest(b, candidateLine, fmt.Sprintf(`{"accepted":%d,"duplicates":0,"disqualified":%d,"rejected":0`, (b.N+1)/2, b.N/2))
	})
	b.Run("faulty", func(b *testing.B) {
		ingest(b, faultyLine, fmt.Sprintf(`{"accepted":0,"duplicates":0,"disqualified":0,"rejected":%d`, b.N))
	})
}

// ingest sends b.N lines, of which the answer begins with want.
func ingest(b *testing.B, line func([]byte, int) []byte, want string) {
	b.Helper()
	r := newRig(b, 1)
	delivery := r.client.must(b, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"Judged","rules":`+tenRules+`}`)["id"].(string)
	var tenth float64
	lines := &lineStream{lines: b.N, line: line, tenth: func() { tenth = peakMemory(r.process) }}
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, r.process.base+"/api/v1/deliveries/"+delivery+"/candidates", lines)
	require.NoError(b, err)
	req.Header.Set("Authorization", "Bearer "+r.client.key)
	req.Header.Set("Content-Type", "application/x-ndjson")
	before, known := r.cpu()
	b.ResetTimer()
	resp, err := r.http.Do(req)
	b.StopTimer()
	require.NoError(b, err)
	defer resp.Body.Close()
	answer := bufio.NewReader(resp.Body)
	got, _ := answer.Peek(len(want))
	require.Equal(b, want, string(got))
	_, err = io.Copy(io.Discard, answer)
	require.NoError(b, err)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "candidates/s")
	b.ReportMetric(tenth, "MiB-at-tenth")
	b.ReportMetric(peakMemory(r.process), "MiB")
	require.Eventually(b, func() bool { return r.client.caughtUp(b) }, patience, pollEvery)
	if after, _ := r.cpu(); known {
		b.ReportMetric((after-before)/float64(b.N)*1000, "cpu-s/1000")
	}
}
