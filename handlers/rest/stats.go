package rest

import (
	"context"
	"fmt"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

// maxBuckets is how many buckets statistics are shown in at most.
const maxBuckets = 1000

// firstYear and lastYear are those that statistics can be asked of: before there is nothing, and
// after that a time can't be written.
const (
	firstYear = 1970
	lastYear  = 9998
)

// ReadStats shows what a delivery did over a time.
func (s *Server) ReadStats(ctx context.Context, r ReadStatsRequestObject) (ReadStatsResponseObject, error) {
	wanted, err := newStatsRange(r, s.now())
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Views.Owned(ctx, organisation(ctx), wanted.Delivery); err != nil {
		return nil, err
	}
	total, buckets, err := s.cfg.Views.Stats(ctx, wanted)
	if err != nil {
		return nil, err
	}
	items := make([]StatBucket, len(buckets))
	for i, b := range buckets {
		items[i] = StatBucket{
			Start:      wanted.From.Add(time.Duration(i) * wanted.Bucket),
			HandedOver: b.HandedOver, Delivered: b.Delivered, Failed: b.Failed,
			Attempts: b.Attempts, FailedAttempts: b.FailedAttempts, TimeToDeliver: showTimes(b.Times),
		}
	}
	return ReadStats200JSONResponse{Body: Stats{
		From: wanted.From, To: wanted.To, Bucket: StatsBucket(value(r.Params.Bucket)), DestinationID: r.Params.Destination,
		Totals: StatCounts{
			HandedOver: total.HandedOver, Delivered: total.Delivered, Failed: total.Failed,
			Attempts: total.Attempts, FailedAttempts: total.FailedAttempts, TimeToDeliver: showTimes(total.Times),
		},
		Buckets: items,
	}}, nil
}

// newStatsRange returns the range that a request asks for at now, in whole buckets; or all that
// is wrong with it.
func newStatsRange(r ReadStatsRequestObject, now time.Time) (projections.StatsRange, error) {
	q := r.Params
	bucket, length := time.Hour, 24*time.Hour
	if value(q.Bucket) == ReadStatsParamsBucketDay {
		bucket, length = 24*time.Hour, 30*24*time.Hour
	}
	var faults []domain.Fault
	year := func(field string, t *time.Time) {
		if t != nil && (t.UTC().Year() < firstYear || t.UTC().Year() > lastYear) {
			faults = append(faults, domain.Fault{Field: field, Error: fmt.Sprintf("must be of the years %d to %d", firstYear, lastYear)})
		}
	}
	year("from", q.From)
	year("to", q.To)
	if len(faults) > 0 {
		return projections.StatsRange{}, invalid(faults)
	}

	to := now
	if q.To != nil {
		to = *q.To
	}
	from := to.Add(-length)
	if q.From != nil {
		from = *q.From
	}
	if !from.Before(to) {
		faults = append(faults, domain.Fault{Field: "from", Error: "must be before to, which is now unless it is given"})
	}
	from, to = from.UTC().Truncate(bucket), to.Add(bucket-1).UTC().Truncate(bucket)
	if to.Unix()-from.Unix() > maxBuckets*int64(bucket/time.Second) {
		faults = append(faults, domain.Fault{Field: "from", Error: fmt.Sprintf("must be at most %d buckets before to", maxBuckets)})
	}
	return projections.StatsRange{
		Delivery: domain.DeliveryID(r.DeliveryID), Destination: domain.DestinationID(value(q.Destination)), From: from, To: to, Bucket: bucket,
	}, invalid(faults)
}

// showTimes returns times to deliver as the API shows them, nil when there are none.
func showTimes(t projections.DeliveryTimes) *DeliveryTimes {
	if t.Count == 0 {
		return nil
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return &DeliveryTimes{Count: t.Count, MeanMs: ms(t.Mean), P50Ms: ms(t.P50), P95Ms: ms(t.P95), P99Ms: ms(t.P99)}
}
