package webhooks_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

// startBackfill starts a job for a destination on a delivery's hand-overs of now, and returns its ID.
func (b *bundle) startBackfill(t *testing.T, d domain.Delivery, dst domain.DestinationID) domain.ReplayID {
	t.Helper()
	head, err := b.store.Head(t.Context())
	require.NoError(t, err)
	id := domain.NewReplayID()
	execute(t, b, domain.StartBackfill{ID: id, Delivery: d, Organisation: org, Destination: dst, UpTo: int64(head)})
	return id
}

// add adds a destination to a delivery.
func (b *bundle) add(t *testing.T, d domain.Delivery, dst domain.Destination) domain.Delivery {
	t.Helper()
	return execute(t, b, domain.AddDestination{Delivery: d.ID, Organisation: org, Destination: dst}).State
}

// backfilled returns the dispatches that the log has as back-filled, in order.
func (b *bundle) backfilled(t *testing.T) (ids []domain.DispatchID) {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), `SELECT data->>'dispatch' FROM events WHERE type = 'dispatch.backfilled' ORDER BY position`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var one domain.DispatchID
		require.NoError(t, rows.Scan(&one))
		ids = append(ids, one)
	}
	require.NoError(t, rows.Err())
	return ids
}

// to returns the dispatches of hand-overs to a destination.
func to(dst domain.Destination, handOvers []domain.HandOverID) []domain.DispatchID {
	ids := make([]domain.DispatchID, len(handOvers))
	for i, h := range handOvers {
		ids[i] = domain.DispatchIDFor(h, dst.ID)
	}
	return ids
}

// handOver returns the delivery_id of what was received.
func (r received) handOver(t *testing.T) string {
	t.Helper()
	var body struct {
		ID string `json:"delivery_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.body), &body))
	return body.ID
}

// requireBalanced fails the test unless log and read models say the same of a delivery.
func (b *bundle) requireBalanced(t *testing.T, d domain.Delivery) projections.Reconciliation {
	t.Helper()
	r, err := b.views.Reconcile(t.Context(), b.store, projections.Handed{Delivery: d.ID})
	require.NoError(t, err)
	require.Empty(t, r.Differences)
	return r
}

func TestBackfillGivesANewDestinationWhatWasHandedOverBeforeOnce(t *testing.T) {
	t.Parallel()
	const companies = 60
	b := setup(t)
	first, second := newReceiver(t, ok), newReceiver(t, ok)
	old, added := destination(first.URL), destination(second.URL)
	d := b.delivery(t, old)
	b.work(t)
	handOvers := b.qualify(t, d, names(companies)...)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	d = b.add(t, d, added)
	own := b.qualify(t, d, "comp_owed")
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies + 2})

	id := b.startBackfill(t, d, added.ID)
	late := b.qualify(t, d, "comp_late")
	b.replays(t, 7, 20)
	shown := b.awaitReplay(t, d, id, domain.ReplayDone)
	require.True(t, shown.Backfill)
	require.EqualValues(t, companies, shown.Replayed)
	require.Equal(t, to(added, handOvers), b.backfilled(t), "each once, the oldest hand-over first")
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 2 * (companies + 2)})

	bodies := map[string]string{}
	for _, got := range first.await(t, companies+2) {
		bodies[got.handOver(t)] = got.body
	}
	sequences := map[string]bool{}
	for _, got := range second.await(t, companies+2) {
		require.Equal(t, bodies[got.handOver(t)], got.body, "what others got")
		require.Equal(t, "1", got.header.Get("Ledger-Attempt"))
		sequences[got.header.Get("Ledger-Sequence")] = true
	}
	require.Len(t, sequences, companies+2, "numbers are dense")
	require.Len(t, second.all(), companies+2)
	require.Len(t, first.all(), companies+2, "the old one gets nothing twice")
	for _, d := range append(to(added, own), to(added, late)...) {
		require.NotContains(t, b.backfilled(t), d)
	}
	b.settleIn(t, "companies")
	sums := b.requireBalanced(t, d)
	require.EqualValues(t, companies+2, sums.Destinations[0].Owed)
	require.EqualValues(t, companies+2, sums.Destinations[1].Owed)

	again := b.startBackfill(t, d, added.ID)
	require.Zero(t, b.awaitReplay(t, d, again, domain.ReplayDone).Replayed)
	require.Len(t, b.backfilled(t), companies)
}

// The runner is killed at every instant that comes by chance, and goes on in another process; two jobs fill the same
// destination at once.
func TestBackfillsThatAreKilledAgainAndAgainGiveEachOnce(t *testing.T) {
	t.Parallel()
	const companies = 150
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t)
	b.work(t)
	handOvers := b.qualify(t, d, names(companies)...)
	d = b.add(t, d, dst)
	jobs := []domain.ReplayID{b.startBackfill(t, d, dst.ID), b.startBackfill(t, d, dst.ID)}
	kills, done := 0, map[domain.ReplayID]int64{}
	for ; len(done) < len(jobs); kills++ {
		stop := b.replays(t, 5, companies)
		<-time.After(rand.N(time.Duration(kills+5) * 2 * time.Millisecond)) // the instant
		stop()
		b.settleIn(t, "replays")
		for _, id := range jobs {
			shown, err := b.views.Replay(t.Context(), d.ID, id)
			require.NoError(t, err)
			if shown.Status == domain.ReplayDone {
				done[id] = shown.Replayed
			}
		}
		require.Less(t, kills, 300)
	}
	require.Greater(t, kills, 1, "it was done before it could be killed")
	require.ElementsMatch(t, to(dst, handOvers), b.backfilled(t))
	require.EqualValues(t, companies, done[jobs[0]]+done[jobs[1]])
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	require.Len(t, r.await(t, companies), companies)
	b.requireBalanced(t, d)
}

func TestBackfillThatDiesBetweenABatchAndItsPlaceGivesEachOnce(t *testing.T) {
	t.Parallel()
	const companies, batch = 30, 10
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t)
	b.work(t)
	handOvers := b.qualify(t, d, names(companies)...)
	d = b.add(t, d, dst)
	id := b.startBackfill(t, d, dst.ID)
	const refuse = `
		CREATE FUNCTION refuse_place() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			RAISE EXCEPTION 'no place is noted';
		END $$;
		CREATE TRIGGER refuse_place BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.type = 'replay.advanced') EXECUTE FUNCTION refuse_place()`
	_, err := b.pool.Exec(t.Context(), refuse)
	require.NoError(t, err)
	stop := b.another(t).replays(t, batch, companies)
	r.await(t, batch)
	stop()
	_, err = b.pool.Exec(t.Context(), `DROP TRIGGER refuse_place ON events`)
	require.NoError(t, err)
	b.another(t).replays(t, batch, companies)
	b.another(t).replays(t, batch, companies) // stands by
	require.EqualValues(t, companies, b.awaitReplay(t, d, id, domain.ReplayDone).Replayed)
	require.Equal(t, to(dst, handOvers), b.backfilled(t))
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: companies})
	require.Len(t, r.await(t, companies), companies)
}

func TestBackfillOfAnOrderedDestinationComesInOrderAfterWhatItIsOwed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	dst.Ordered = true
	d := b.delivery(t)
	handOvers := b.qualify(t, d, names(12)...)
	d = b.add(t, d, dst)
	own := b.qualify(t, d, "comp_owed")
	b.work(t)
	id := b.startBackfill(t, d, dst.ID)
	b.replays(t, 5, 20)
	b.awaitReplay(t, d, id, domain.ReplayDone)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: 13})
	var came []domain.DispatchID
	for _, got := range r.await(t, 13) {
		came = append(came, got.id())
	}
	require.Equal(t, append(to(dst, own), to(dst, handOvers)...), came)
}

func TestBackfillIsBoundedAndCancelledBeforeItHasAskedForAll(t *testing.T) {
	t.Parallel()
	const companies, window = 40, 15
	b := setup(t)
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t)
	b.work(t)
	handOvers := b.qualify(t, d, names(companies)...)
	d = b.add(t, d, dst)
	b.set(t, d, domain.Paused)
	id := b.startBackfill(t, d, dst.ID)
	b.replays(t, 10, window)
	b.awaitCounts(t, d, projections.Counts{domain.Held: window})
	execute(t, b, domain.CancelReplay{ID: id, Delivery: d.ID})
	b.awaitReplay(t, d, id, domain.ReplayCalledOff)
	b.set(t, d, domain.Active)
	b.awaitCounts(t, d, projections.Counts{domain.Delivered: window})
	require.Equal(t, to(dst, handOvers[:window]), b.backfilled(t))
	require.Len(t, r.await(t, window), window)
}

func TestBackfillEndsWithItsDestinationAndItsDelivery(t *testing.T) {
	t.Parallel()
	const companies, window = 40, 15
	for name, end := range map[string]func(*testing.T, *bundle, domain.Delivery, domain.DestinationID){
		"removed": func(t *testing.T, b *bundle, d domain.Delivery, dst domain.DestinationID) {
			t.Helper()
			execute(t, b, domain.RemoveDestination{Delivery: d.ID, Organisation: org, Destination: dst})
		},
		"told of other events": func(t *testing.T, b *bundle, d domain.Delivery, dst domain.DestinationID) {
			t.Helper()
			execute(t, b, domain.ChangeDestination{Delivery: d.ID, Organisation: org, Destination: dst, Change: func(dst domain.Destination) domain.Destination {
				dst.Events = []domain.WebhookEvent{domain.OnDispatchFailed}
				return dst
			}})
		},
		"deleted": func(t *testing.T, b *bundle, d domain.Delivery, _ domain.DestinationID) {
			t.Helper()
			execute(t, b, domain.DeleteDelivery{ID: d.ID, Organisation: org})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			r := newReceiver(t, always(http.StatusInternalServerError))
			dst := destination(r.URL)
			d := b.delivery(t)
			b.qualify(t, d, names(companies)...)
			d = b.add(t, d, dst)
			b.set(t, d, domain.Paused)
			b.work(t)
			id := b.startBackfill(t, d, dst.ID)
			b.replays(t, 10, window)
			b.awaitCounts(t, d, projections.Counts{domain.Held: window})
			end(t, b, d, dst.ID)
			require.EqualValues(t, window, b.awaitReplay(t, d, id, domain.ReplayDone).Replayed)
			require.Len(t, b.backfilled(t), window)
			b.requireBalanced(t, d)
		})
	}
}
