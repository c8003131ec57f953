package projections_test

import (
	"context"
	"math"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// counted adds up, an event after the other, what the statistics of a range are made of.
func counted(t require.TestingT, b *bundle, records []eventstore.Record, r projections.StatsRange) (sum projections.Stat, times []time.Duration) {
	var targets []domain.DestinationID // webhooks of the delivery that stand
	for _, rec := range records {
		event, err := b.store.Registry().Decode(rec)
		require.NoError(t, err)
		within := !rec.RecordedAt.Before(r.From) && rec.RecordedAt.Before(r.To)
		of := func(delivery domain.DeliveryID, destination domain.DestinationID) bool {
			return within && delivery == r.Delivery && (r.Destination == "" || r.Destination == destination)
		}
		switch e := event.(type) {
		case domain.DestinationAdded:
			if e.Delivery == r.Delivery && e.Destination.Type == domain.Webhook {
				targets = append(targets, e.Destination.ID)
			}
		case domain.DestinationRemoved:
			targets = slices.DeleteFunc(targets, func(id domain.DestinationID) bool { return id == e.Destination })
		case domain.CompanyQualified:
			if within && e.Delivery == r.Delivery && (r.Destination == "" || slices.Contains(targets, r.Destination)) {
				sum.HandedOver++
			}
		case domain.DispatchBackfilled:
			if of(e.Delivery, e.Destination) && r.Destination != "" {
				sum.HandedOver++
			}
		case domain.AttemptSucceeded:
			if of(e.Delivery, e.Destination) {
				sum.Attempts++
				sum.Delivered++
				if e.Owed != nil {
					times = append(times, rec.RecordedAt.Sub(*e.Owed))
				}
			}
		case domain.AttemptFailed:
			if of(e.Delivery, e.Destination) {
				sum.Attempts++
				sum.FailedAttempts++
			}
		case domain.DispatchFailed:
			if of(e.Delivery, e.Destination) {
				sum.Failed++
			}
		}
	}
	return sum, times
}

// requireStat holds a statistic against what it is made of.
func requireStat(t require.TestingT, want projections.Stat, times []time.Duration, got projections.Stat) {
	shown := got.Times
	got.Times = projections.DeliveryTimes{}
	require.Equal(t, want, got)
	require.EqualValues(t, len(times), shown.Count)
	if len(times) == 0 {
		require.Zero(t, shown)
		return
	}
	slices.Sort(times)
	var sum time.Duration
	for _, d := range times {
		sum += d
	}
	require.InDelta(t, (sum / time.Duration(len(times))).Seconds(), shown.Mean.Seconds(), 1e-5)
	for percent, quantile := range map[float64]time.Duration{0.5: shown.P50, 0.95: shown.P95, 0.99: shown.P99} {
		exact := times[int(math.Ceil(float64(len(times))*percent))-1]
		require.InDelta(t, exact.Seconds(), quantile.Seconds(), max(exact.Seconds()*0.05, 0.0005)+1e-6, "p%v", percent*100)
	}
}

// checkStats holds the statistics against the log.
func checkStats(t *rapid.T, b *bundle, l *ledger, records []eventstore.Record) {
	first, last := records[0].RecordedAt.Truncate(time.Hour), records[len(records)-1].RecordedAt.Truncate(time.Hour)
	hours := int(last.Sub(first) / time.Hour)
	for id := range l.deliveries {
		wanted := []projections.StatsRange{{Delivery: id}}
		for _, target := range l.targets {
			if target.delivery == id {
				wanted = append(wanted, projections.StatsRange{Delivery: id, Destination: target.ID})
			}
		}
		for _, r := range wanted {
			r.Bucket = rapid.SampledFrom([]time.Duration{time.Hour, 24 * time.Hour}).Draw(t, "bucket")
			r.From = first.Add(time.Duration(rapid.IntRange(-1, hours).Draw(t, "from")) * time.Hour)
			n := rapid.IntRange(1, int(last.Add(2*time.Hour).Sub(r.From)/r.Bucket)+1).Draw(t, "buckets")
			r.To = r.From.Add(time.Duration(n) * r.Bucket)
			total, buckets, err := b.views.Stats(context.Background(), r)
			require.NoError(t, err)
			require.Len(t, buckets, n, "also those in which nothing happened")
			want, times := counted(t, b, records, r)
			requireStat(t, want, times, total)
			for i, got := range buckets {
				one := r
				one.From, one.To = r.From.Add(time.Duration(i)*r.Bucket), r.From.Add(time.Duration(i+1)*r.Bucket)
				want, times := counted(t, b, records, one)
				requireStat(t, want, times, got)
			}
		}
	}
}

func TestTheTimeToDeliverRunsFromWhenADispatchCameDue(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	dst := webhook()
	d := b.delivery(t, "search", dst)
	for company, owed := range map[string]*time.Time{
		"comp_1": new(time.Now().Add(-time.Hour)), "comp_2": new(time.Now().Add(time.Hour)), "comp_3": nil,
	} {
		id := domain.DispatchIDFor(b.qualify(t, d, company).ID, dst.ID)
		known := b.owed[id]
		known.Owed = owed
		b.owed[id] = known
		b.attempt(t, id, "", http.StatusOK)
	}
	b.follow(t)
	now := time.Now().Truncate(time.Hour)
	total, _, err := b.views.Stats(t.Context(), projections.StatsRange{
		Delivery: d.ID, Destination: dst.ID, From: now.Add(-2 * time.Hour), To: now.Add(2 * time.Hour), Bucket: time.Hour,
	})
	require.NoError(t, err)
	require.EqualValues(t, 3, total.Delivered)
	require.EqualValues(t, 2, total.Times.Count, "one does not know its time, and another had none left")
	require.InDelta(t, time.Hour.Seconds(), total.Times.P99.Seconds(), 0.05*time.Hour.Seconds()+60)
	require.InDelta(t, time.Hour.Seconds()/2, total.Times.Mean.Seconds(), 60)
}
