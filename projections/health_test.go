package projections_test

import (
	"context"
	"fmt"
	"maps"
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

// A breaker is the health of a destination, told in plain Go, an event after the other.
type breaker struct {
	failures, exhausted, proven      int
	since, failedAt, brokenSince     time.Time
	missed, mended, opened, disabled bool
}

// add adds one event.
func (b *breaker) add(at time.Time, event domain.Event) {
	switch e := event.(type) {
	case domain.AttemptSucceeded:
		*b = breaker{proven: b.proven + 1, brokenSince: b.brokenSince, mended: true, disabled: b.disabled}
	case domain.AttemptFailed:
		if b.failures++; b.failures == 1 {
			b.since = at
		}
		if b.opened = b.failures >= domain.BreakerOpens; b.opened {
			b.proven, b.mended = 0, false
		}
		b.failedAt, b.missed = at, b.missed || e.Event == ""
		b.breakDown(b.opened)
	case domain.DispatchFailed:
		b.exhausted++
	case domain.DestinationDisabled:
		b.disabled, b.mended = true, false
		b.breakDown(true)
	case domain.DestinationChanged, domain.DestinationEnabled:
		*b = breaker{brokenSince: b.brokenSince, mended: b.mended}
	case domain.DestinationRecovered:
		b.brokenSince = time.Time{}
		b.breakDown(b.opened || b.disabled)
	default:
	}
}

// breakDown notes since when the destination fails that has missed a company, if it is left alone for that.
func (b *breaker) breakDown(left bool) {
	if left && b.missed && b.brokenSince.IsZero() {
		b.brokenSince = b.since
	}
}

// wait is how long nothing is attempted after the last failure.
func (b *breaker) wait() time.Duration {
	return min(max(domain.BreakerFirstWait, b.failedAt.Sub(b.since)), domain.BreakerLastWait)
}

func TestHealthIsWhatTheLogSaysHoweverItIsMade(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	rapid.Check(t, func(rt *rapid.T) {
		b.reset(rt)
		d := b.delivery(rt, "search_1", webhook(), webhook())
		for range rapid.IntRange(1, 12).Draw(rt, "spells") {
			dst := rapid.SampledFrom(destinationsOf(d)).Draw(rt, "destination")
			drawSpell(rt, b, d, dst)
		}
		head, err := b.store.Head(rt.Context())
		require.NoError(rt, err)
		records, err := eventstore.ReadPage(rt.Context(), b.pool, 1, head)
		require.NoError(rt, err)
		build(rt, b, projections.Dispatches(), func(left int) int { return rapid.IntRange(1, left).Draw(rt, "cut") })
		for _, id := range destinationsOf(d) {
			checkHealth(rt, b, id, records)
		}
	})
}

// drawSpell draws outcomes of a destination that are alike, or a new beginning.
func drawSpell(t *rapid.T, b *bundle, d domain.Delivery, dst domain.DestinationID) {
	kind := rapid.SampledFrom([]string{"succeed", "fail", "fail", "exhaust", "change", "disable", "enable", "recover"}).Draw(t, "kind")
	told := rapid.SampledFrom([]domain.WebhookEvent{"", domain.OnDestinationRecovered}).Draw(t, "told of")
	for range rapid.IntRange(1, domain.BreakerOpens+3).Draw(t, "length") {
		attempt := domain.Attempt{
			Dispatch: domain.DispatchIDFor(domain.NewHandOverID(), dst), Delivery: d.ID, Destination: dst, Number: 1, Status: 500, Event: told,
		}
		switch kind {
		case "succeed":
			execute(t, b, domain.RecordAttempt{Attempt: attempt})
		case "fail":
			execute(t, b, domain.RecordAttempt{Attempt: attempt, Error: "it failed", Retries: domain.DefaultRetries})
		case "exhaust":
			execute(t, b, domain.RecordAttempt{Attempt: attempt, Error: "it failed"})
		case "change":
			execute(t, b, domain.ChangeDestination{Delivery: d.ID, Organisation: org, Destination: dst, Change: func(dst domain.Destination) domain.Destination { return dst }})
		case "recover":
			head, err := b.store.Head(context.Background())
			require.NoError(t, err)
			execute(t, b, domain.RecordRecovery{Delivery: d.ID, Destination: dst, FailingSince: time.Unix(int64(head), 0).UTC()})
		case "disable":
			execute(t, b, domain.DisableDestination{Delivery: d.ID, Destination: dst, Reason: "410 Gone"})
		case "enable":
			execute(t, b, domain.DisableDestination{Delivery: d.ID, Destination: dst, Reason: "410 Gone"})
			execute(t, b, domain.EnableDestination{Delivery: d.ID, Organisation: org, Destination: dst})
		}
	}
}

// checkHealth holds the health of a destination against the events.
func checkHealth(t *rapid.T, b *bundle, id domain.DestinationID, records []eventstore.Record) {
	var want breaker
	for _, rec := range records {
		event, err := b.store.Registry().Decode(rec)
		require.NoError(t, err)
		if about(event.(domain.Event)) == id {
			want.add(rec.RecordedAt, event.(domain.Event))
		}
	}
	got, err := b.views.Health(context.Background(), id)
	require.NoError(t, err)
	require.Equal(t, want.failures, got.Failures)
	require.Equal(t, want.exhausted, got.Exhausted)
	require.Equal(t, want.failures > 0, got.FailingSince != nil)
	if want.failures > 0 {
		require.True(t, want.since.Equal(*got.FailingSince))
	}
	if want.failures < domain.BreakerOpens {
		require.Equal(t, domain.BreakerClosed, got.Breaker)
		require.Nil(t, got.ProbeAt)
	} else {
		require.NotEqual(t, domain.BreakerClosed, got.Breaker)
		require.True(t, want.failedAt.Add(want.wait()).Equal(*got.ProbeAt), "%s after the last failure", want.wait())
	}
	var kept breaker
	var brokenSince *time.Time
	const query = `SELECT proven, missed, mended, broken_since FROM dispatch_targets WHERE destination_id = $1`
	require.NoError(t, b.pool.QueryRow(context.Background(), query, id).Scan(&kept.proven, &kept.missed, &kept.mended, &brokenSince))
	require.Equal(t, breaker{proven: want.proven, missed: want.missed, mended: want.mended}, kept, fmt.Sprint("of ", id))
	require.Equal(t, !want.brokenSince.IsZero(), brokenSince != nil, fmt.Sprint("of ", id))
	if brokenSince != nil {
		require.True(t, want.brokenSince.Equal(*brokenSince), fmt.Sprint("of ", id))
	}
}

// about returns the destination that an event is about.
func about(event domain.Event) domain.DestinationID {
	switch e := event.(type) {
	case domain.AttemptSucceeded:
		return e.Destination
	case domain.AttemptFailed:
		return e.Destination
	case domain.DispatchFailed:
		return e.Destination
	case domain.DestinationChanged:
		return e.Destination.ID
	case domain.DestinationDisabled:
		return e.Destination
	case domain.DestinationEnabled:
		return e.Destination
	case domain.DestinationRecovered:
		return e.Destination
	default:
		return ""
	}
}

// destinationsOf returns the destinations of d, in order.
func destinationsOf(d domain.Delivery) []domain.DestinationID {
	return slices.Sorted(maps.Keys(d.Destinations))
}
