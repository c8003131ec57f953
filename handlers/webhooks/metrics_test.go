package webhooks_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

// workTold is work that also returns what tells of the attempts.
func (b *bundle) workTold(tb testing.TB) *webhooks.Attempts {
	tb.Helper()
	var attempts *webhooks.Attempts
	projectionstest.FollowOpened(tb, b.pool, b.store, b.subjects, func(r *message.Router) {
		var err error
		attempts, err = webhooks.Add(tb.Context(), r, b.cfg)
		require.NoError(tb, err)
	})
	return attempts
}

// idle returns attempts that nobody makes, while the log is followed.
func (b *bundle) idle(tb testing.TB) *webhooks.Attempts {
	tb.Helper()
	projectionstest.FollowOpened(tb, b.pool, b.store, b.subjects)
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	require.NoError(tb, err)
	attempts, err := webhooks.Add(tb.Context(), router, b.cfg)
	require.NoError(tb, err)
	return attempts
}

// values returns the values of metrics by name and, after a colon, the value of their label; of
// histograms the number of observations. They are rounded down.
func values(tb testing.TB, c prometheus.Collector) map[string]int {
	tb.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(tb, registry.Register(c))
	families, err := registry.Gather()
	require.NoError(tb, err)
	all := map[string]int{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += ":" + label.GetValue()
			}
			all[name] = int(m.GetCounter().GetValue()+m.GetGauge().GetValue()) + int(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// settled returns the values once no attempt is under way.
func settled(tb testing.TB, attempts *webhooks.Attempts) map[string]int {
	tb.Helper()
	require.Eventually(tb, func() bool { return values(tb, attempts)["ledger_workers_busy"] == 0 }, patience, 10*time.Millisecond)
	return values(tb, attempts)
}

func TestAttemptsAreCountedByOutcome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries, b.cfg.Workers = domain.RetrySchedule{time.Hour}, 100
	b.cfg.Sender = webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(true), Resolver: newNameServer(t).resolver()}, "test")
	secure := httptest.NewTLSServer(http.NotFoundHandler()) // of a certificate that nobody vouches for
	t.Cleanup(secure.Close)
	nobody := listen(t)
	require.NoError(t, nobody.Close())
	hanging := newGate()
	hangs := destination(newReceiver(t, hanging.holds).URL)
	hangs.TimeoutSeconds = 1
	defer hanging.open()

	destinations := []domain.Destination{
		destination(newReceiver(t, ok).URL), destination(newReceiver(t, always(http.StatusFound)).URL),
		destination(newReceiver(t, always(http.StatusNotFound)).URL), destination(newReceiver(t, always(http.StatusBadGateway)).URL),
		hangs, destination("http://nowhere.invalid/hook"), destination("http://" + nobody.Addr().String()),
		destination(newSocket(t, func(net.Conn, <-chan struct{}) {})), destination(secure.URL),
	}
	d := b.delivery(t, destinations...)
	attempts := b.workTold(t)
	b.qualify(t, d, "comp_1")
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 1, domain.Retrying: 8})

	got := settled(t, attempts)
	for _, outcome := range []string{"success", "status_3xx", "status_4xx", "status_5xx", "timeout", "dns", "refused", "closed", "tls"} {
		require.Equal(t, 1, got["ledger_attempts_total:"+outcome], "%s in %v", outcome, got)
	}
	for _, outcome := range []string{"status_1xx", "blocked", "token", "other"} {
		require.Contains(t, got, "ledger_attempts_total:"+outcome)
		require.Zero(t, got["ledger_attempts_total:"+outcome], outcome)
	}
	require.Equal(t, 9, got["ledger_attempt_duration_seconds"])
	require.Equal(t, 1, got["ledger_delivery_duration_seconds"], "only what was delivered")
	require.Positive(t, got["ledger_claim_duration_seconds"])
	require.Equal(t, 100, got["ledger_workers_limit"])
}

func TestAttemptsThatCouldNotBeginAreCountedByOutcome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Sender = webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(false)}, "test")
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	r := newReceiver(t, ok)
	oauth := destination(r.URL)
	oauth.AuthType, oauth.TokenURL, oauth.ClientID, oauth.AuthSecret = domain.AuthOAuth2, r.URL, "ledger", b.secret(t, "hidden")
	d := b.delivery(t, destination(r.URL), oauth)
	attempts := b.workTold(t)
	b.qualify(t, d, "comp_1")
	b.awaitCounts(t, d, projections.Counts{domain.Retrying: 2})
	got := settled(t, attempts)
	require.Equal(t, 1, got["ledger_attempts_total:blocked"])
	require.Equal(t, 1, got["ledger_attempts_total:token"])
}

func TestBusyWorkersAreTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Workers = 50
	gate := newGate()
	r := newReceiver(t, gate.holds)
	d := b.delivery(t, destination(r.URL), destination(r.URL), destination(r.URL))
	attempts := b.workTold(t)
	defer gate.open()
	b.qualify(t, d, "comp_1")
	r.await(t, 3)
	got := values(t, attempts)
	require.Equal(t, 3, got["ledger_workers_busy"])
	require.Equal(t, 50, got["ledger_workers_limit"])
}

func TestFaultOfClaimsIsToldWhileItLasts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	attempts := b.workTold(t)
	require.NoError(t, attempts.Fault())
	_, err := b.pool.Exec(t.Context(), `ALTER TABLE leases RENAME TO elsewhere`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { // a round of claims in which nobody looks at it ends the fault
		fault := attempts.Fault()
		return fault != nil && strings.Contains(fault.Error(), `"leases" does not exist`)
	}, patience, time.Millisecond)
	_, err = b.pool.Exec(t.Context(), `ALTER TABLE elsewhere RENAME TO leases`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return attempts.Fault() == nil }, patience, 10*time.Millisecond)
}

func TestBacklogIsWhatIsDueAndNotHeld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ahead atomic.Int64
	began := time.Now()
	b.cfg.Now = func() time.Time { return began.Add(time.Duration(ahead.Load())) }
	attempts := b.idle(t)
	require.Equal(t, 0, values(t, attempts)["ledger_dispatches_due"])

	first, second := destination("https://one.example"), destination("https://two.example")
	d, paused := b.delivery(t, first, second), b.delivery(t, destination("https://three.example"))
	b.set(t, paused, domain.Paused)
	b.qualify(t, d, names(3)...)
	b.qualify(t, paused, names(4)...)
	b.settle(t)
	const retry = `UPDATE dispatches SET attempts = 1, due = now() + make_interval(secs => $3) WHERE destination_id = $1 AND sequence = $2`
	for sequence, seconds := range map[int]int{1: 3600, 2: -500} { // one is not yet due, one is a late retry
		_, err := b.pool.Exec(t.Context(), retry, first.ID, sequence, seconds)
		require.NoError(t, err)
	}
	require.Equal(t, 0, values(t, attempts)["ledger_dispatches_due"], "it looked a moment ago")
	ahead.Add(int64(time.Minute))
	got := values(t, attempts)
	require.Equal(t, 5, got["ledger_dispatches_due"])
	require.InDelta(t, 500, got["ledger_dispatches_due_oldest_age_seconds"], 60)
}

func TestBreakersThatAreNotClosedAreCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ahead atomic.Int64
	b.cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	attempts := b.idle(t)
	fails, recovers, flaps := destination("https://one.example"), destination("https://two.example"), destination("https://three.example")
	d, paused := b.delivery(t, fails, recovers, flaps), b.delivery(t, destination("https://four.example"))
	for id := range paused.Destinations {
		b.fail(t, paused, id, domain.BreakerOpens)
	}
	b.set(t, paused, domain.Paused)
	b.fail(t, d, fails.ID, domain.BreakerOpens)
	b.fail(t, d, recovers.ID, domain.BreakerOpens)
	b.fail(t, d, flaps.ID, domain.BreakerOpens-1)
	b.settle(t)
	require.Equal(t, 2, values(t, attempts)["ledger_breakers_open"])
	b.prove(t, execute(t, b, domain.RemoveDestination{Delivery: d.ID, Organisation: org, Destination: fails.ID}).State)
	b.settle(t)
	ahead.Add(int64(time.Minute))
	require.Equal(t, 0, values(t, attempts)["ledger_breakers_open"])
}

func TestCountOfABacklogEnds(t *testing.T) {
	t.Parallel()
	const fill = `
		INSERT INTO dispatches (id, sequence, position, due, destination_id, delivery_id, handover_id)
		SELECT 'dsp_' || n, n, 1, now(), $1, $2, 'del_' || n FROM generate_series(1, 10100) AS n`
	b := setup(t)
	attempts := b.idle(t)
	dst := destination("https://one.example")
	d := b.delivery(t, dst)
	b.settle(t)
	_, err := b.pool.Exec(t.Context(), fill, dst.ID, d.ID)
	require.NoError(t, err)
	require.Equal(t, 10_000, values(t, attempts)["ledger_dispatches_due"])
}

func TestLostLeasesAreCounted(t *testing.T) {
	t.Parallel()
	t.Run("another worker was faster", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.cfg.Workers = 1
		gate := newGate()
		r := newReceiver(t, func(_ http.ResponseWriter, nth int) {
			if nth == 1 {
				gate.pass()
			}
		})
		d := b.delivery(t, destination(r.URL))
		attempts := b.workTold(t)
		defer gate.open()
		b.qualify(t, d, "comp_1")
		id := r.await(t, 1)[0].id()
		b.another(t).work(t)
		_, err := b.pool.Exec(t.Context(), `UPDATE leases SET ends_at = now()`)
		require.NoError(t, err)
		b.events(t, id, 1)
		gate.open()
		got := settled(t, attempts)
		require.Equal(t, 1, got["ledger_leases_lost_total:refused"])
		require.Zero(t, got["ledger_attempts_total:success"], "what is not in the log is not counted")
		require.Zero(t, got["ledger_leases_lost_total:expired"])
	})
	t.Run("nobody was", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		var ahead atomic.Int64
		b.cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		gate := newGate()
		r := newReceiver(t, gate.holds)
		d := b.delivery(t, destination(r.URL))
		attempts := b.workTold(t)
		defer gate.open()
		b.qualify(t, d, "comp_1")
		r.await(t, 1)
		ahead.Add(int64(time.Hour))
		gate.open()
		b.awaitCounts(t, d, projections.Counts{domain.Delivered: 1})
		got := settled(t, attempts)
		require.Equal(t, 1, got["ledger_leases_lost_total:expired"])
		require.Zero(t, got["ledger_leases_lost_total:refused"])
	})
}
