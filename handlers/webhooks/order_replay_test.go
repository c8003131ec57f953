package webhooks_test

import (
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestReplayToAnOrderedDestinationGoesInOrderBeforeWhatIsNewer(t *testing.T) {
	t.Parallel()
	const companies = 20
	b := setup(t)
	b.cfg.Retries = slices.Repeat(domain.RetrySchedule{time.Millisecond}, 3)
	gate := newGate()
	var replaying atomic.Bool
	answer := sometimes()
	r := newReceiver(t, func(w http.ResponseWriter, nth int) {
		if replaying.Load() {
			gate.pass()
			answer(w, nth-1)
		}
	})
	dst := ordered(r.URL)
	d := b.delivery(t, dst)
	for range 2 {
		b.another(t).work(t)
	}
	defer gate.open()
	b.delivered(t, d, dst, companies)
	replaying.Store(true)
	id := b.startReplay(t, d, domain.ReplayFilter{})
	b.replays(t, 7, 2*companies)
	b.awaitReplay(t, d, id, domain.ReplayDone) // all have been asked for, the first is under way
	b.qualify(t, d, "comp_newer")
	b.settle(t)
	gate.open()
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies + 1})
	got := sequencesOf(r.all()[companies:])
	require.Greater(t, len(got), companies+1, "some failed")
	require.Equal(t, sequences(companies+1), slices.Compact(got), "each has ended when the next begins")
}

func TestReplayThatAsksForAFewAtATimeKeepsTheOrderOfThese(t *testing.T) {
	t.Parallel()
	const companies, fresh, window = 40, 10, 3
	b := setup(t)
	r := newReceiver(t, ok)
	dst := ordered(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	b.delivered(t, d, dst, companies)
	id := b.startReplay(t, d, domain.ReplayFilter{})
	b.replays(t, window, window)
	for i := range fresh {
		b.qualify(t, d, domain.CompanyID("comp_fresh_"+strconv.Itoa(i)))
		r.await(t, companies+2*(i+1)) // one of the replayed, at least, of two
	}
	b.awaitReplay(t, d, id, domain.ReplayDone)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies + fresh})
	var replayed, newer []string
	for _, got := range r.all()[companies:] {
		if got.header.Get("Ledger-Attempt") == "2" {
			replayed = append(replayed, got.header.Get("Ledger-Sequence"))
		} else {
			newer = append(newer, got.header.Get("Ledger-Sequence"))
		}
	}
	require.Equal(t, sequences(companies), replayed)
	require.Equal(t, sequences(companies + fresh)[companies:], newer)
}
