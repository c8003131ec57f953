package webhooks_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

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
