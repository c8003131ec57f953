package webhooks

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a process tells of its attempts.
type metrics struct {
	attempts  *prometheus.CounterVec
	outcomes  map[outcome]prometheus.Counter // of attempts
	duration  prometheus.Histogram
	delivered prometheus.Histogram
	claims    prometheus.Histogram
	lost      *prometheus.CounterVec
}

// Why a lease counts as lost.
const (
	lostRefused = "refused" // the outcome was: another worker's is in the log
	lostExpired = "expired" // but nobody was faster, and the outcome was recorded
)

// newMetrics returns metrics at zero.
func newMetrics() *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ledger_attempts_total", Help: "Webhook attempts recorded by this process, by outcome.",
		}, []string{"outcome"}),
		outcomes: map[outcome]prometheus.Counter{},
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ledger_attempt_duration_seconds", Help: "From the start of an attempt to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}),
		delivered: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ledger_delivery_duration_seconds", Help: "From a hand-over, or when it was due by its schedule, to the 2xx of a destination.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400},
		}),
		claims: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ledger_claim_duration_seconds", Help: "Time to lease what is due, whether or not anything was.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 11),
		}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ledger_leases_lost_total", Help: "Leases that ended while their attempt was under way.",
		}, []string{"reason"}),
	}
	for _, o := range outcomes {
		m.outcomes[o] = m.attempts.WithLabelValues(string(o))
	}
	m.lost.WithLabelValues(lostRefused)
	m.lost.WithLabelValues(lostExpired)
	return m
}

// attempt counts one attempt, which was recorded.
func (m *metrics) attempt(w webhook, got answer) {
	m.outcomes[got.outcome()].Inc()
	m.duration.Observe(got.took.Seconds())
	if got.fault == "" && w.owed != nil {
		m.delivered.Observe(max(0, got.startedAt.Add(got.took).Sub(*w.owed)).Seconds())
	}
}

// claim counts one claim.
func (m *metrics) claim(took time.Duration) { m.claims.Observe(took.Seconds()) }

// collectors returns them all.
func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.attempts, m.duration, m.delivered, m.claims, m.lost}
}

// Attempts are those of one process. They are a [prometheus.Collector].
type Attempts struct {
	queue   *subscriber
	metrics *metrics
	backlog *backlog
}

// Fault returns why dispatches cannot be claimed, nil while they can.
func (a *Attempts) Fault() error { return a.queue.Fault() }

// Workers returns how many attempts are under way, and how many may be.
func (a *Attempts) Workers() (busy, limit int) { return a.queue.busy(), a.queue.cfg.Workers }

// Metrics of the workers.
var (
	workersBusy  = prometheus.NewDesc("ledger_workers_busy", "Attempts that this process has under way.", nil, nil)
	workersLimit = prometheus.NewDesc("ledger_workers_limit", "Attempts that this process has under way at most.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (a *Attempts) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range a.metrics.collectors() {
		c.Describe(ch)
	}
	ch <- workersBusy
	ch <- workersLimit
	a.backlog.Describe(ch)
}

// Collect implements [prometheus.Collector].
func (a *Attempts) Collect(ch chan<- prometheus.Metric) {
	for _, c := range a.metrics.collectors() {
		c.Collect(ch)
	}
	busy, limit := a.Workers()
	ch <- prometheus.MustNewConstMetric(workersBusy, prometheus.GaugeValue, float64(busy))
	ch <- prometheus.MustNewConstMetric(workersLimit, prometheus.GaugeValue, float64(limit))
	a.backlog.Collect(ch)
}
