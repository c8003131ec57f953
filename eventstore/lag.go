package eventstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// A Lag says how far a follower is behind the log, in whatever process it runs.
type Lag struct {
	Follower string  `db:"name"`
	Events   int64   `db:"events"`  // that it has not applied
	Seconds  float64 `db:"seconds"` // for which the first of them has been in the log; 0: there is none
}

// Lags returns the lag of each follower that ever followed, in order of their names. It costs a
// look-up for each.
func (s *Store) Lags(ctx context.Context) ([]Lag, error) {
	const query = `
		SELECT c.name, greatest(0, h.position - c.position) AS events,
			coalesce((
				SELECT greatest(0, extract(epoch FROM clock_timestamp() - e.recorded_at))
				FROM events e
				WHERE e.position = c.position + 1
			), 0)::float8 AS seconds
		FROM cursors c
		CROSS JOIN log_head h
		ORDER BY c.name`
	rows, _ := s.pool.Query(ctx, query) // CollectRows reports the error
	lags, err := pgx.CollectRows(rows, pgx.RowToStructByName[Lag])
	if err != nil {
		return nil, fmt.Errorf("read lags of followers: %w", err)
	}
	return lags, nil
}

// A LagCollector tells Prometheus of the lags, which it reads when it is asked. While the database
// is away it tells nothing.
type LagCollector struct{ store *Store }

// NewLagCollector returns one of the followers of s' log.
func NewLagCollector(s *Store) LagCollector { return LagCollector{s} }

// lagTimeout bounds the reading of lags for metrics.
const lagTimeout = 2 * time.Second

// Metrics of followers.
var (
	lagEvents  = prometheus.NewDesc("ledger_follower_lag_events", "Events that a follower has not applied.", []string{"follower"}, nil)
	lagSeconds = prometheus.NewDesc("ledger_follower_lag_seconds", "For how long the first of them has been in the log.", []string{"follower"}, nil)
)

// Describe implements [prometheus.Collector].
func (LagCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- lagEvents
	ch <- lagSeconds
}

// Collect implements [prometheus.Collector].
func (c LagCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), lagTimeout)
	defer cancel()
	lags, _ := c.store.Lags(ctx) // none when it fails
	for _, l := range lags {
		ch <- prometheus.MustNewConstMetric(lagEvents, prometheus.GaugeValue, float64(l.Events), l.Follower)
		ch <- prometheus.MustNewConstMetric(lagSeconds, prometheus.GaugeValue, l.Seconds, l.Follower)
	}
}
