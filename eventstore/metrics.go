package eventstore

import "github.com/prometheus/client_golang/prometheus"

// metrics are what a store tells of its appends.
type metrics struct {
	events prometheus.Counter
	groups prometheus.Histogram
}

// newMetrics returns metrics at zero.
func newMetrics() *metrics {
	return &metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ledger_log_appended_events_total", Help: "Events appended to the log by this process.",
		}),
		groups: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ledger_log_group_events", Help: "Events in a transaction of the log.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
	}
}

// group counts one committed group.
func (m *metrics) group(events int) {
	m.events.Add(float64(events))
	m.groups.Observe(float64(events))
}

// Describe implements [prometheus.Collector].
func (s *Store) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements [prometheus.Collector].
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	s.metrics.events.Collect(ch)
	s.metrics.groups.Collect(ch)
}
