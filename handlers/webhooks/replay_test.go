package webhooks_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/webhooks/replay"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// startReplay starts a job on a delivery's dispatches of now, and returns its ID.
func (b *bundle) startReplay(t *testing.T, d domain.Delivery, filter domain.ReplayFilter) domain.ReplayID {
	t.Helper()
	head, err := b.store.Head(t.Context())
	require.NoError(t, err)
	id := domain.NewReplayID()
	execute(t, b, domain.StartReplay{ID: id, Delivery: d, Filter: filter, UpTo: int64(head)})
	return id
}

// replays runs a runner until the test ends, or the function that it returns is called.
func (b *bundle) replays(t *testing.T, batch, window int) (stop func()) {
	t.Helper()
	runner, err := replay.New(replay.Config{Pool: b.pool, Store: b.store, Log: b.cfg.Log, Batch: batch, Window: window, Poll: 50 * time.Millisecond})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	stop = func() {
		cancel()
		if err, running := <-done; running {
			close(done)
			require.NoError(t, err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// awaitReplay waits until a job has the status, and returns what is shown of it.
func (b *bundle) awaitReplay(t *testing.T, d domain.Delivery, id domain.ReplayID, status domain.ReplayStatus) (shown projections.Replay) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		shown, err = b.views.Replay(t.Context(), d.ID, id)
		return err == nil && shown.Status == status
	}, patience, 10*time.Millisecond)
	return shown
}

// requireReplayed fails the test unless the log has one retry by the job of each dispatch, and no other.
func (b *bundle) requireReplayed(t *testing.T, id domain.ReplayID, dispatches []domain.DispatchID) {
	t.Helper()
	require.Equal(t, dispatches, b.replayed(t, id), "each once, the oldest hand-over first")
}

// replayed returns the dispatches that the log has retries of by the job, in order.
func (b *bundle) replayed(t *testing.T, id domain.ReplayID) []domain.DispatchID {
	t.Helper()
	const query = `SELECT data->>'dispatch' FROM events WHERE type = 'dispatch.retried' AND data->>'replay' = $1 ORDER BY position`
	rows, err := b.pool.Query(t.Context(), query, id)
	require.NoError(t, err)
	defer rows.Close()
	var retried []domain.DispatchID
	for rows.Next() {
		var one domain.DispatchID
		require.NoError(t, rows.Scan(&one))
		retried = append(retried, one)
	}
	require.NoError(t, rows.Err())
	return retried
}

// delivered gives a delivery n companies and returns their dispatches to a destination when all were
// delivered.
func (b *bundle) delivered(t *testing.T, d domain.Delivery, dst domain.Destination, n int) []domain.DispatchID {
	t.Helper()
	dispatches := make([]domain.DispatchID, n)
	for i, h := range b.qualify(t, d, names(n)...) {
		dispatches[i] = domain.DispatchIDFor(h, dst.ID)
	}
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: int64(n * len(d.Destinations))})
	return dispatches
}

func TestReplayRepeatsWhatHasEndedOnceAndNothingElse(t *testing.T) {
	t.Parallel()
	const companies = 60
	b := setup(t)
	first, second := newReceiver(t, ok), newReceiver(t, ok)
	replayed, other := destination(first.URL), destination(second.URL)
	d := b.delivery(t, replayed, other)
	b.work(t)
	dispatches := b.delivered(t, d, replayed, companies)
	id := b.startReplay(t, d, domain.ReplayFilter{Status: domain.Delivered, Destination: replayed.ID})
	b.qualify(t, d, "comp_late")
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 2 * (companies + 1)})

	b.replays(t, 7, 20)
	shown := b.awaitReplay(t, d, id, domain.ReplayDone)
	require.EqualValues(t, companies, shown.Replayed)
	b.requireReplayed(t, id, dispatches)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 2 * (companies + 1)})
	require.Len(t, second.all(), companies+1)
	bodies := map[domain.DispatchID]string{}
	for _, got := range first.await(t, 2*companies+1) {
		if body, again := bodies[got.id()]; again {
			require.Equal(t, body, got.body)
			require.Equal(t, "2", got.header.Get("Ledger-Attempt"))
		}
		bodies[got.id()] = got.body
	}
	require.Len(t, first.all(), 2*companies+1)

	none := b.startReplay(t, d, domain.ReplayFilter{Status: domain.Failed})
	require.Zero(t, b.awaitReplay(t, d, none, domain.ReplayDone).Replayed)
}

func TestReplayPassesOverWhatIsOwedAndWhatNobodyTakes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	fails, takes := newReceiver(t, always(http.StatusInternalServerError)), newReceiver(t, ok)
	waits, gone := destination(fails.URL), destination(takes.URL)
	d := b.delivery(t, waits, gone)
	b.work(t)
	b.qualify(t, d, names(5)...)
	b.awaitCounts(t, d, projections.Counts{domain.Retrying: 5, domain.Delivered: 5})
	d = execute(t, b, domain.RemoveDestination{Delivery: d.ID, Organisation: org, Destination: gone.ID}).State
	id := b.startReplay(t, d, domain.ReplayFilter{})
	b.replays(t, 3, 10)
	require.Zero(t, b.awaitReplay(t, d, id, domain.ReplayDone).Replayed)
	b.requireReplayed(t, id, nil)
}

// The runner is killed at every instant that comes by chance, and goes on in another process. Those
// that were replayed are delivered again meanwhile, and so would be found again.
func TestReplayThatIsKilledAgainAndAgainReplaysEachOnce(t *testing.T) {
	t.Parallel()
	const companies = 150
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	dispatches := b.delivered(t, d, dst, companies)
	id := b.startReplay(t, d, domain.ReplayFilter{})
	kills := 0
	for ; ; kills++ {
		stop := b.replays(t, 5, companies)
		<-time.After(rand.N(time.Duration(kills+5) * 2 * time.Millisecond)) // the instant
		stop()
		b.settleIn(t, "replays")
		shown, err := b.views.Replay(t.Context(), d.ID, id)
		require.NoError(t, err)
		if shown.Status == domain.ReplayDone {
			break
		}
		require.Less(t, kills, 300)
	}
	require.Greater(t, kills, 1, "it was done before it could be killed")
	b.requireReplayed(t, id, dispatches)
	require.EqualValues(t, companies, b.awaitReplay(t, d, id, domain.ReplayDone).Replayed)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	require.Len(t, r.await(t, 2*companies), 2*companies)
}

func TestReplayThatDiesBetweenABatchAndItsPlaceReplaysEachOnce(t *testing.T) {
	t.Parallel()
	const companies, batch = 30, 10
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	dispatches := b.delivered(t, d, dst, companies)
	id := b.startReplay(t, d, domain.ReplayFilter{})
	const refuse = `
		CREATE FUNCTION refuse_place() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			RAISE EXCEPTION 'no place is noted';
		END $$;
		CREATE TRIGGER refuse_place BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.type = 'replay.advanced') EXECUTE FUNCTION refuse_place()`
	_, err := b.pool.Exec(t.Context(), refuse)
	require.NoError(t, err)
	stop := b.another(t).replays(t, batch, companies)
	r.await(t, companies+batch)
	stop()
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	retried := b.replayed(t, id)
	require.Equal(t, dispatches[:len(retried)], retried, "each once")
	known, err := eventstore.Load[domain.Replay, domain.Event](t.Context(), b.store, domain.ReplayStream(id))
	require.NoError(t, err)
	require.Zero(t, known.State.Place)

	_, err = b.pool.Exec(t.Context(), `DROP TRIGGER refuse_place ON events`)
	require.NoError(t, err)
	b.another(t).replays(t, batch, companies)
	b.another(t).replays(t, batch, companies) // stands by
	require.EqualValues(t, companies, b.awaitReplay(t, d, id, domain.ReplayDone).Replayed)
	b.requireReplayed(t, id, dispatches)
	require.Len(t, r.await(t, 2*companies), 2*companies)
}

func TestReplayGoesOnWhenTheDatabaseReturns(t *testing.T) {
	t.Parallel()
	const companies = 60
	server := testdb.NewServer(t)
	b := setupOn(t, testdb.NewOn(t, server))
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	stop := b.work(t)
	dispatches := b.delivered(t, d, dst, companies)
	stop()
	b.follow(t)
	id := b.startReplay(t, d, domain.ReplayFilter{})
	b.replays(t, 5, 20) // nothing is attempted: the window fills
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies - 20, domain.Pending: 20})
	require.NoError(t, server.Kill(t.Context()))
	require.NoError(t, server.Restart(t.Context()))
	b.another(t).work(t)
	require.EqualValues(t, companies, b.awaitReplay(t, d, id, domain.ReplayDone).Replayed)
	b.requireReplayed(t, id, dispatches)
}

func TestReplayIsCancelledBeforeItHasAskedForAll(t *testing.T) {
	t.Parallel()
	const companies, window = 40, 15
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	dispatches := b.delivered(t, d, dst, companies)
	b.set(t, d, domain.Paused)
	id := b.startReplay(t, d, domain.ReplayFilter{})
	b.replays(t, 10, window)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies - window, domain.Held: window})
	execute(t, b, domain.CancelReplay{ID: id, Delivery: d.ID})
	b.awaitReplay(t, d, id, domain.ReplayCalledOff)
	b.set(t, d, domain.Active)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	b.requireReplayed(t, id, dispatches[:window])
	require.Len(t, r.await(t, companies+window), companies+window)
}

// What carries over to 100,000: a claim looks at as many of the replayed as it could take, by the
// index that holds them apart, whatever their number; and no more than the window is ever asked for.
func TestFreshDispatchesOvertakeAReplay(t *testing.T) {
	t.Parallel()
	const companies, fresh, share = 400, 40, 4
	b := setup(t)
	b.cfg.Share = share
	slow := make(chan struct{}) // closed when the receiver begins to take its time
	r := newReceiver(t, func(http.ResponseWriter, int) {
		select {
		case <-slow:
			<-time.After(20 * time.Millisecond) // the receiver's work
		default:
		}
	})
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	b.delivered(t, d, dst, companies)
	close(slow)
	id := b.startReplay(t, d, domain.ReplayFilter{})
	b.replays(t, 500, companies)
	b.awaitReplay(t, d, id, domain.ReplayDone) // all are due
	before := len(r.all())
	late := make([]domain.CompanyID, fresh)
	for i := range late {
		late[i] = domain.CompanyID("comp_fresh_" + strconv.Itoa(i))
	}
	handOvers := b.qualify(t, d, late...)
	b.settle(t)
	dispatched := len(r.all())
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies + fresh})
	got := r.all()
	require.Len(t, got, 2*companies+fresh)
	last := slices.IndexFunc(got, func(g received) bool { return g.id() == domain.DispatchIDFor(handOvers[fresh-1], dst.ID) })
	require.Less(t, before, companies+companies/2, "the replay was under way")
	require.Less(t, last-dispatched, fresh+fresh/4+4*share, "the fresh ones went first")
}

func TestReplayOfWhatEndedSinceATimeRepeatsThatAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	old := b.delivered(t, d, dst, 3)
	b.qualify(t, d, "comp_late")
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 4})
	late := r.await(t, 4)[3].id()
	require.NotContains(t, old, late)
	shown, err := b.views.Dispatch(t.Context(), late)
	require.NoError(t, err)
	id := b.startReplay(t, d, domain.ReplayFilter{EndedSince: shown.SettledAt})
	b.replays(t, 2, 10)
	require.EqualValues(t, 1, b.awaitReplay(t, d, id, domain.ReplayDone).Replayed)
	b.requireReplayed(t, id, []domain.DispatchID{late})
}

func TestReplayOfACompanyRepeatsThatAloneToEachDestination(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := newReceiver(t, ok), newReceiver(t, ok)
	first, second := destination(one.URL), destination(two.URL)
	d := b.delivery(t, first, second)
	b.work(t)
	b.delivered(t, d, first, 3)
	company := names(3)[1]
	known, err := eventstore.Load[domain.HandOver, domain.Event](t.Context(), b.store, domain.HandOverStream(d.ID, company))
	require.NoError(t, err)
	head, err := b.store.Head(t.Context())
	require.NoError(t, err)
	id := domain.NewReplayID()
	execute(t, b, domain.StartReplay{ID: id, Delivery: d, HandOver: known.State, Filter: domain.ReplayFilter{Company: company}, UpTo: int64(head)})
	b.replays(t, 1, 10)
	require.EqualValues(t, 2, b.awaitReplay(t, d, id, domain.ReplayDone).Replayed)
	require.ElementsMatch(t, []domain.DispatchID{
		domain.DispatchIDFor(known.State.ID, first.ID), domain.DispatchIDFor(known.State.ID, second.ID),
	}, b.replayed(t, id))
}
