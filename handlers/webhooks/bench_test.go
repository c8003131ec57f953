package webhooks_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
)

// BenchmarkDispatch hands companies over one by one, from 64 callers, and waits until the
// receiver has had the last.
func BenchmarkDispatch(b *testing.B) {
	bundle := setup(b)
	var got atomic.Int64
	done := make(chan struct{}, 1)
	r := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if got.Add(1) == int64(b.N) {
			done <- struct{}{}
		}
	}))
	b.Cleanup(r.Close)
	d := bundle.delivery(b, destination(r.URL))
	bundle.work(b)
	companies := names(b.N)
	b.ResetTimer()
	var next atomic.Int64
	var callers sync.WaitGroup
	for range 64 {
		callers.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				for _, o := range bundle.qualifyEach(b.Context(), d, []domain.CompanyID{companies[i]}) {
					if o.Err != nil {
						b.Error(o.Err)
					}
				}
			}
		})
	}
	callers.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appended/s")
	<-done
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "webhooks/s")
}

// BenchmarkDispatchLatency hands companies over at a pace, 100 each second, whether or not
// those before have arrived, and tells how long after its hand-over was asked for the receiver
// had a company. An iteration takes 10 ms.
func BenchmarkDispatchLatency(b *testing.B) {
	const pace = 10 * time.Millisecond
	bundle := setup(b)
	companies := names(b.N)
	type arrival struct {
		company domain.CompanyID
		at      time.Time
	}
	arrivals := make(chan arrival, b.N)
	r := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		at := time.Now()
		var body struct {
			Data struct {
				Company struct {
					ID domain.CompanyID `json:"id"`
				} `json:"company"`
			} `json:"data"`
		}
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
			b.Error(err)
		}
		arrivals <- arrival{body.Data.Company.ID, at}
	}))
	b.Cleanup(r.Close)
	d := bundle.delivery(b, destination(r.URL))
	bundle.work(b)

	asked := make(map[domain.CompanyID]time.Time, b.N)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var callers sync.WaitGroup
	for _, id := range companies {
		<-tick.C
		asked[id] = time.Now()
		callers.Go(func() {
			for _, o := range bundle.qualifyEach(b.Context(), d, []domain.CompanyID{id}) {
				if o.Err != nil {
					b.Error(o.Err)
				}
			}
		})
	}
	callers.Wait()
	latencies := make([]time.Duration, b.N)
	for i := range latencies {
		a := <-arrivals
		latencies[i] = a.at.Sub(asked[a.company])
	}
	slices.Sort(latencies)
	b.ReportMetric(float64(latencies[b.N/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(latencies[b.N*99/100].Microseconds())/1000, "p99-ms")
}
