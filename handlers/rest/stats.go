package rest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

// What statistics show at most.
const (
	maxBuckets         = 1000 // of a delivery
	maxTotalBuckets    = 100  // of all deliveries together
	maxTotalDeliveries = 100
	maxReasons         = 20 // of a kind
)

// day is the length of one.
const day = 24 * time.Hour

// firstYear and lastYear are those that statistics can be asked of: before there is nothing, and
// after that a time can't be written.
const (
	firstYear = 1970
	lastYear  = 9998
)

// ReadStats shows what a delivery did over a time.
func (s *Server) ReadStats(ctx context.Context, r ReadStatsRequestObject) (ReadStatsResponseObject, error) {
	q := r.Params
	asked := askedStats{from: q.From, to: q.To, bucket: time.Hour, most: maxBuckets}
	if value(q.Bucket) == ReadStatsParamsBucketDay {
		asked.bucket = day
	}
	wanted, err := asked.in(s.now())
	if err != nil {
		return nil, err
	}
	wanted.Delivery, wanted.Destination = domain.DeliveryID(r.DeliveryID), domain.DestinationID(value(q.Destination))
	if err := s.cfg.Views.Owned(ctx, organisation(ctx), wanted.Delivery); err != nil {
		return nil, err
	}
	total, buckets, err := s.cfg.Views.Stats(ctx, wanted)
	if err != nil {
		return nil, err
	}
	reasons, err := s.cfg.Views.Reasons(ctx, wanted, maxReasons)
	if err != nil {
		return nil, err
	}
	return ReadStats200JSONResponse{Body: Stats{
		From: wanted.From, To: wanted.To, Bucket: StatsBucket(value(q.Bucket)), DestinationID: q.Destination,
		Totals: showStat(total), Buckets: showBuckets(wanted, buckets), Reasons: showReasons(wanted, reasons),
	}}, nil
}

// ReadTotals shows what all deliveries of the organisation did over a time.
func (s *Server) ReadTotals(ctx context.Context, r ReadTotalsRequestObject) (ReadTotalsResponseObject, error) {
	q := r.Params
	asked := askedStats{from: q.From, to: q.To, bucket: day, most: maxTotalBuckets}
	if value(q.Bucket) == ReadTotalsParamsBucketHour {
		asked.bucket = time.Hour
	}
	wanted, err := asked.in(s.now())
	if err != nil {
		return nil, err
	}
	total, buckets, deliveries, err := s.cfg.Views.Totals(ctx, organisation(ctx), wanted)
	if err != nil {
		return nil, err
	}
	shown := make([]DeliveryStat, min(len(deliveries), maxTotalDeliveries))
	for i := range shown {
		c := showStat(deliveries[i].Stat)
		shown[i] = DeliveryStat{
			DeliveryID: string(deliveries[i].Delivery), HandedOver: c.HandedOver, Delivered: c.Delivered, Failed: c.Failed,
			Attempts: c.Attempts, FailedAttempts: c.FailedAttempts, TimeToDeliver: c.TimeToDeliver,
		}
	}
	return ReadTotals200JSONResponse{Body: Totals{
		From: wanted.From, To: wanted.To, Bucket: TotalsBucket(value(q.Bucket)), Totals: showStat(total),
		Buckets: showBuckets(wanted, buckets), Deliveries: shown, MoreDeliveries: len(deliveries) - len(shown),
	}}, nil
}

// askedStats is the range of statistics that a request asks for.
type askedStats struct {
	from, to *time.Time
	bucket   time.Duration
	most     int // buckets
}

// in returns the range at now, in whole buckets; or all that is wrong with it.
func (a askedStats) in(now time.Time) (projections.StatsRange, error) {
	length := day
	if a.bucket == day {
		length = 30 * day
	}
	var faults []domain.Fault
	year := func(field string, t *time.Time) {
		if t != nil && (t.UTC().Year() < firstYear || t.UTC().Year() > lastYear) {
			faults = append(faults, domain.Fault{Field: field, Error: fmt.Sprintf("must be of the years %d to %d", firstYear, lastYear)})
		}
	}
	year("from", a.from)
	year("to", a.to)
	if len(faults) > 0 {
		return projections.StatsRange{}, invalid(faults)
	}

	to := now
	if a.to != nil {
		to = *a.to
	}
	from := to.Add(-length)
	if a.from != nil {
		from = *a.from
	}
	if !from.Before(to) {
		faults = append(faults, domain.Fault{Field: "from", Error: "must be before to, which is now unless it is given"})
	}
	from, to = from.UTC().Truncate(a.bucket), to.Add(a.bucket-1).UTC().Truncate(a.bucket)
	if to.Unix()-from.Unix() > int64(a.most)*int64(a.bucket/time.Second) {
		faults = append(faults, domain.Fault{Field: "from", Error: fmt.Sprintf("must be at most %d buckets before to", a.most)})
	}
	return projections.StatsRange{From: from, To: to, Bucket: a.bucket}, invalid(faults)
}

// showStat returns what happened as the API shows it.
func showStat(s projections.Stat) StatCounts {
	return StatCounts{
		HandedOver: s.HandedOver, Delivered: s.Delivered, Failed: s.Failed,
		Attempts: s.Attempts, FailedAttempts: s.FailedAttempts, TimeToDeliver: showTimes(s.Times),
	}
}

// showBuckets returns the buckets of a range as the API shows them.
func showBuckets(r projections.StatsRange, buckets []projections.Stat) []StatBucket {
	shown := make([]StatBucket, len(buckets))
	for i, b := range buckets {
		c := showStat(b)
		shown[i] = StatBucket{
			Start: r.From.Add(time.Duration(i) * r.Bucket), HandedOver: c.HandedOver, Delivered: c.Delivered, Failed: c.Failed,
			Attempts: c.Attempts, FailedAttempts: c.FailedAttempts, TimeToDeliver: c.TimeToDeliver,
		}
	}
	return shown
}

// showReasons returns the reasons of a range as the API shows them.
func showReasons(r projections.StatsRange, found projections.Reasons) StatReasons {
	shown := StatReasons{
		From: r.From.Truncate(day), To: r.To.Add(day - 1).Truncate(day),
		Matched:        MatchReasonCounts{Items: []MatchReasonCount{}, Other: found[projections.Matched].Other},
		Disqualified:   DisqualificationCounts{Items: []DisqualificationCount{}},
		FailedAttempts: showFailures(found[projections.AttemptFailed]), Failed: showFailures(found[projections.DispatchFailed]),
	}
	for _, c := range found[projections.Matched].Items {
		shown.Matched.Items = append(shown.Matched.Items, MatchReasonCount{Reason: c.Reason, Count: c.Count})
	}
	list := &shown.Disqualified
	for _, kind := range []projections.ReasonKind{projections.RuleNotMet, projections.BelowThreshold, projections.Excluded} {
		for _, c := range found[kind].Items {
			list.Items = append(list.Items, DisqualificationCount{Kind: DisqualificationCountKind(kind), Reason: c.Reason, Count: c.Count})
		}
		list.Other += found[kind].Other
	}
	slices.SortStableFunc(list.Items, func(a, b DisqualificationCount) int { return cmp.Compare(b.Count, a.Count) })
	return shown
}

// showFailures returns what failed as the API shows it.
func showFailures(found projections.ReasonCounts) FailureCounts {
	shown := FailureCounts{Items: make([]FailureCount, len(found.Items)), Other: found.Other}
	for i, c := range found.Items {
		shown.Items[i] = FailureCount{DestinationID: string(c.Destination), Reason: c.Reason, Count: c.Count}
	}
	return shown
}

// showTimes returns times to deliver as the API shows them, nil when there are none.
func showTimes(t projections.DeliveryTimes) *DeliveryTimes {
	if t.Count == 0 {
		return nil
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return &DeliveryTimes{Count: t.Count, MeanMs: ms(t.Mean), P50Ms: ms(t.P50), P95Ms: ms(t.P95), P99Ms: ms(t.P99)}
}
