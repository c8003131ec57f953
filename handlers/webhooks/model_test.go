package webhooks_test

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

// expect returns how many requests a dispatch takes whose receiver answers with the statuses,
// the last of them again and again, and what becomes of it.
func expect(statuses []int, retries int) (requests int, final domain.DispatchStatus) {
	for requests < retries+1 {
		status := statuses[min(requests, len(statuses)-1)]
		requests++
		if status/100 == 2 {
			return requests, domain.Delivered
		}
	}
	return requests, domain.Failed
}

// failures returns how many requests come to nothing.
func failures(plans [][]int, retries int) int {
	n := 0
	for _, plan := range plans {
		requests, final := expect(plan, retries)
		if n += requests; final == domain.Delivered {
			n--
		}
	}
	return n
}

func TestDispatchesAreAsAPlainModel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Poll = 2 * time.Millisecond
	b.cfg.Retries = domain.RetrySchedule{time.Millisecond, 3 * time.Millisecond, 2 * time.Millisecond}
	b.work(t)
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		require.NoError(t, checks.Value.Set("25")) // each takes a tenth of a second
	}
	statuses := rapid.SliceOfN(rapid.SampledFrom([]int{200, 204, 301, 400, 404, 429, 500, 503}), 1, 5)

	rapid.Check(t, func(rt *rapid.T) {
		plans := rapid.SliceOfN(statuses, 1, 8).Draw(rt, "answers to each company")
		for failures(plans, len(b.cfg.Retries)) >= domain.BreakerOpens {
			plans = plans[1:] // the breaker has tests of its own
		}
		destinations := rapid.IntRange(1, 3).Draw(rt, "destinations")

		// A receiver knows a company by its place in the sequence.
		var receivers []*receiver
		var settings []domain.Destination
		for range destinations {
			r := startReceiver(nil)
			defer r.Close()
			keep := r.Config.Handler
			r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				keep.ServeHTTP(httptest.NewRecorder(), req)
				var place, attempt int
				_, _ = fmt.Sscan(req.Header.Get("Ledger-Sequence"), &place)
				_, _ = fmt.Sscan(req.Header.Get("Ledger-Attempt"), &attempt)
				plan := plans[place-1]
				w.WriteHeader(plan[min(attempt, len(plan))-1])
			})
			receivers, settings = append(receivers, r), append(settings, destination(r.URL))
		}
		d := b.delivery(t, settings...)
		handOvers := b.qualify(t, d, names(len(plans))...)

		want := projections.Counts{}
		for _, plan := range plans {
			_, final := expect(plan, len(b.cfg.Retries))
			want[final] += int64(destinations)
		}
		b.awaitCounts(t, d, want)
		for i, r := range receivers {
			bodies := map[domain.DispatchID]string{}
			var places []string
			for _, got := range r.all() {
				if body, ok := bodies[got.id()]; ok {
					require.Equal(t, body, got.body)
					continue
				}
				bodies[got.id()] = got.body
				places = append(places, got.header.Get("Ledger-Sequence"))
			}
			slices.Sort(places)
			require.Equal(t, sequences(len(plans)), places)
			times := r.times()
			for n, plan := range plans {
				id := domain.DispatchIDFor(handOvers[n], settings[i].ID)
				requests, final := expect(plan, len(b.cfg.Retries))
				require.Equal(t, requests, times[id])
				shown := b.dispatch(t, string(id), final)
				require.Equal(t, requests, shown.Attempts)
				require.Equal(t, int64(n+1), shown.Sequence)
			}
		}
	})
}
