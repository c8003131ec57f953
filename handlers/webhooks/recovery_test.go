package webhooks_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/projections"
)

// recoveries returns what the log has of a destination's.
func (b *bundle) recoveries(t *testing.T, id domain.DestinationID) (all []domain.DestinationRecovered) {
	t.Helper()
	records, err := b.store.ReadStream(t.Context(), domain.RecoveryStream(id))
	require.NoError(t, err)
	for _, rec := range records {
		event, err := b.store.Registry().Decode(rec)
		require.NoError(t, err)
		all = append(all, event.(domain.DestinationRecovered))
	}
	return all
}

func TestDestinationThatRecoversIsToldOfOnceByTwoProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = slices.Repeat(domain.RetrySchedule{time.Millisecond}, 20*domain.BreakerOpens)
	var down atomic.Bool
	flaky, watching := newReceiver(t, func(w http.ResponseWriter, _ int) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}), newReceiver(t, ok)
	dst := watcher(flaky.URL, domain.OnCompanyQualified, domain.OnDestinationRecovered)
	d, w := b.delivery(t, dst), b.delivery(t, watcher(watching.URL, domain.OnDestinationRecovered))
	processes := []*bundle{b.another(t), b.another(t)}
	for _, p := range processes {
		p.work(t)
	}
	for outage := range 2 {
		down.Store(true)
		before := len(flaky.all())
		b.qualify(t, d, domain.CompanyID(fmt.Sprint("comp_", outage)))
		flaky.await(t, before+domain.BreakerOpens+1) // the last begins when the others have failed
		down.Store(false)
		b.awaitCounts(t, w, projections.Counts{domain.Delivered: int64(outage + 1)})
		b.awaitCounts(t, d, projections.Counts{domain.Delivered: int64(2*outage + 2)})
		for _, p := range processes {
			require.NoError(t, webhooks.Judge(t.Context(), p.cfg))
		}
		require.Len(t, b.recoveries(t, dst.ID), outage+1)
	}
	got, told := b.recoveries(t, dst.ID), watching.all()
	require.Len(t, told, 2)
	for i, one := range told {
		require.Regexp(t, fmt.Sprintf(`^{"event":"destination.recovered","timestamp":"[^"]+","data":{"delivery_configuration_id":%q,"destination_id":%q,"failing_since":%q}}$`,
			d.ID, dst.ID, got[i].FailingSince.Format(time.RFC3339Nano)), one.body)
	}
}

func TestRecoveryIsOfADestinationThatWasLeftAloneAndTakesWebhooksAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		happens []string
		want    int
	}{
		"its breaker was open":                        {[]string{"break", "take"}, 1},
		"it failed since, now and then":               {[]string{"break", "take", "fail"}, 1},
		"its breaker is open":                         {[]string{"break"}, 0},
		"its breaker is open again":                   {[]string{"break", "take", "break"}, 0},
		"it was changed":                              {[]string{"break", "change", "fail", "take"}, 1},
		"it was changed, and took nothing yet":        {[]string{"take", "break", "change"}, 0},
		"it failed seldom":                            {[]string{"fail", "take"}, 0},
		"it was given up and enabled":                 {[]string{"give up", "enable", "take"}, 1},
		"it was given up, and took nothing yet":       {[]string{"take", "give up", "enable"}, 0},
		"it was given up and took what was under way": {[]string{"give up", "take", "judge"}, 1},
		"it had asked for no more":                    {[]string{"fail", "disable", "enable", "take"}, 1},
		"it was removed":                              {[]string{"break", "take", "remove"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.cfg.Tolerance = domain.Tolerance{Dispatches: -1}
			dst := destination("https://one.example")
			d := b.delivery(t, dst)
			for _, what := range tc.happens {
				b.happen(t, d, dst.ID, what)
			}
			for range 2 {
				b.judge(t, func() { require.NoError(t, webhooks.Judge(t.Context(), b.cfg)) }) // by another, who read the same
			}
			require.Len(t, b.recoveries(t, dst.ID), tc.want)
		})
	}
}

// happen lets something happen to a destination of d.
func (b *bundle) happen(t *testing.T, d domain.Delivery, id domain.DestinationID, what string) {
	t.Helper()
	switch what {
	case "take":
		b.outcome(t, d, id, "")
	case "fail":
		b.fail(t, d, id, domain.BreakerOpens-1)
	case "break":
		b.fail(t, d, id, domain.BreakerOpens)
	case "give up":
		b.giveUp(t, d, id)
	case "judge":
		b.judge(t, func() {})
	case "change":
		b.change(t, d, id, func(dst *domain.Destination) { dst.URL = "https://two.example" })
	case "disable":
		execute(t, b, domain.DisableDestination{Delivery: d.ID, Destination: id, Reason: "it answered 410 Gone"})
	case "enable":
		execute(t, b, domain.EnableDestination{Delivery: d.ID, Organisation: org, Destination: id})
	case "remove":
		execute(t, b, domain.RemoveDestination{Delivery: d.ID, Organisation: org, Destination: id})
	default:
		require.Fail(t, "unknown", what)
	}
}

// giveUp disables a destination that has failed once.
func (b *bundle) giveUp(t *testing.T, d domain.Delivery, id domain.DestinationID) {
	t.Helper()
	b.outcome(t, d, id, "it failed")
	tolerant := *b
	tolerant.cfg.Tolerance = domain.Tolerance{Dispatches: 1, Time: time.Nanosecond}
	tolerant.judge(t, func() {})
	require.NotEmpty(t, b.reason(t, d, id))
}

// Both fail so often with each webhook that their breakers open, and then take it: were they told of all
// recoveries, each telling would be the cause of the next.
func TestDestinationsDoNotTellEachOtherForEver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = slices.Repeat(domain.RetrySchedule{time.Millisecond}, 2*domain.BreakerOpens)
	r := newReceiver(t, failing(domain.BreakerOpens, http.StatusServiceUnavailable))
	one, other := watcher(r.URL, domain.OnCompanyQualified, domain.OnDestinationRecovered), watcher(r.URL, domain.OnDestinationRecovered)
	d := b.delivery(t, one, other)
	b.work(t)
	b.qualify(t, d, "comp_1")
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 3})
	require.NoError(t, webhooks.Judge(t.Context(), b.cfg))
	require.Len(t, b.recoveries(t, one.ID), 1, "from missing a company")
	require.Empty(t, b.recoveries(t, other.ID))
}
