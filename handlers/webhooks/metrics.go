package webhooks

import "github.com/prometheus/client_golang/prometheus"

// metrics are what a process tells of its attempts.
type metrics struct {
	attempts *prometheus.CounterVec
	duration prometheus.Histogram
}

// newMetrics returns metrics at zero.
func newMetrics() *metrics {
	return &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ledger_attempts_total", Help: "Webhook attempts recorded by this process.",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ledger_attempt_duration_seconds", Help: "From the start of an attempt to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}),
	}
}

// attempt counts one attempt.
func (m *metrics) attempt(got answer) {
	outcome := "success"
	switch {
	case got.status == 0:
		outcome = "no_answer"
	case got.fault != "":
		outcome = "refused"
	}
	m.attempts.WithLabelValues(outcome).Inc()
	m.duration.Observe(got.took.Seconds())
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.attempts.Describe(ch)
	m.duration.Describe(ch)
}

// Collect implements [prometheus.Collector].
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.attempts.Collect(ch)
	m.duration.Collect(ch)
}
