package rest_test

import (
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/rest"
	"github.com/openprospect/delivery-ledger/projections"
)

// nowhere takes what is written and keeps nothing.
type nowhere struct{}

// Write takes p.
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// quiet writes log lines to nowhere: they are made, but kept neither on disk nor in memory.
func quiet(cfg *rest.Config) { cfg.Log = slog.New(slog.NewJSONHandler(nowhere{}, nil)) }

// BenchmarkQualifications hands companies over by 64 connections, one a request, while the
// followers keep the read models.
func BenchmarkQualifications(b *testing.B) {
	c, _ := setup(b, quiet)
	id := c.createDelivery(b, sampleDelivery)
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	defer transport.CloseIdleConnections()
	var n atomic.Int64
	b.SetParallelism(32) // times GOMAXPROCS
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			body := company("comp_" + strconv.FormatInt(n.Add(1), 10))
			r, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, c.url+"/api/v1/deliveries/"+id+"/qualifications", strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+c.key)
			r.Header.Set("Content-Type", "application/json")
			res, err := transport.RoundTrip(r)
			if err != nil || res.StatusCode != http.StatusOK {
				b.Error(res, err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
}

// BenchmarkStream hands companies over by one stream of lines.
func BenchmarkStream(b *testing.B) {
	c, _ := setup(b, quiet)
	id := c.createDelivery(b, sampleDelivery)
	var lines strings.Builder
	for n := range b.N {
		lines.WriteString(company("comp_"+strconv.Itoa(n)) + "\n")
	}
	b.ResetTimer()
	s, _ := c.qualify(b, id, lines.String(), ndjson...)
	require.Equal(b, b.N, s.Accepted)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "companies/s")
}

// BenchmarkCompaniesPage pulls pages of 50 from a feed of a million.
func BenchmarkCompaniesPage(b *testing.B) {
	const rows = 1_000_000
	const fill = `
		INSERT INTO companies (delivery_id, delivery_number, prospect_search_id, search_number, position, delivered_at, score,
			handover_id, company_id, company, prospects, match_reasons)
		SELECT $1, n, 'bench', n, 0, '2025-01-01Z'::timestamptz + n * interval '1 microsecond', 85, 'del_' || n, 'comp_' || n, $3, $4, $5
		FROM generate_series(1, $2) AS n`
	c, f := setup(b, quiet)
	id := c.createDelivery(b, sampleDelivery)
	_, err := f.pool.Exec(b.Context(), fill, id, rows,
		`{"id":"comp_xyz789","name":"Acme Corp","domain":"acme.com","industry":"Software","size":"50-200","location":"San Francisco, CA","linkedin_url":"https://linkedin.com/company/acme-corp","technologies":["HubSpot","AWS","React"]}`,
		`[{"id":"pros_456def","first_name":"Jane","last_name":"Doe","title":"CTO","email":"jane.doe@acme.com","linkedin_url":"https://linkedin.com/in/janedoe"}]`,
		`["Uses HubSpot","Revenue > $10M","Decision Maker found"]`)
	require.NoError(b, err)
	_, err = f.pool.Exec(b.Context(), `ANALYZE companies`)
	require.NoError(b, err)
	feed := projections.Feed{Delivery: domain.DeliveryID(id)}

	for name, query := range map[string]string{
		"first":          "",
		"offset-100000":  "?offset=100000",
		"cursor-100000":  "?cursor=" + rest.NewCursor(feed, 100_000),
		"cursor-999000":  "?cursor=" + rest.NewCursor(feed, 999_000),
		"since-a-middle": "?delivered_since=2025-01-01T00:00:00.5Z",
	} {
		b.Run(name, func(b *testing.B) {
			took := make([]time.Duration, 0, b.N)
			for range b.N {
				begun := time.Now()
				r, _ := http.NewRequestWithContext(b.Context(), http.MethodGet, c.url+"/api/v1/deliveries/"+id+"/companies"+query, nil)
				r.Header.Set("Authorization", "Bearer "+c.key)
				res, err := http.DefaultClient.Do(r)
				require.NoError(b, err)
				_, err = io.Copy(io.Discard, res.Body)
				require.NoError(b, err)
				require.NoError(b, res.Body.Close())
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms/p99")
		})
	}
}
