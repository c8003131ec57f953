package requalify_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// came returns what the progress of a job is shown as.
func came(seen, qualified, disqualified int64) domain.RequalificationProgress {
	return domain.RequalificationProgress{Seen: seen, Qualified: qualified, Disqualified: disqualified}
}

func TestCompaniesThatQualifyNowAreHandedOverWithTheirJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.delivery(t, 100)
	ids := b.sendAll(t, d, 10)
	b.send(t, d, "comp_over", 100, nil)
	d = b.ask(t, d, 8)
	id := b.start(t, d)
	b.run(t, 3)
	shown := b.await(t, d, id)
	require.Equal(t, domain.RequalificationDone, shown.Status)
	require.Equal(t, came(10, 3, 7), shown.Progress)
	require.Equal(t, append([]domain.CompanyID{"comp_over"}, ids[7:]...), b.handedOver(t, d))
	last := b.qualified(t, d)[3]
	require.Equal(t, []any{id, d.Profile.Version, true, 100}, []any{last.Requalification, last.Profile, last.Verdicts[0].Met, last.Score})
	require.Len(t, b.records(t, d, "company.disqualified"), 17, "other rules said so")

	again := b.await(t, d, b.start(t, d))
	require.Equal(t, came(17, 0, 7), again.Progress, "each company is judged once, at its last record")
	require.Len(t, b.records(t, d, "company.disqualified"), 17, "the same rules said nothing new")
	require.Len(t, b.handedOver(t, d), 4)
}

func TestCompanyIsJudgedAgainAsItCameLast(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.delivery(t, 100)
	b.send(t, d, "comp_less", 50, nil)
	b.send(t, d, "comp_less", 5, nil)
	b.send(t, d, "comp_more", 5, nil)
	b.send(t, d, "comp_more", 50, nil)
	d = b.ask(t, d, 50)
	id := b.start(t, d)
	b.run(t, 1)
	require.Equal(t, came(4, 1, 1), b.await(t, d, id).Progress)
	require.Equal(t, []domain.CompanyID{"comp_more"}, b.handedOver(t, d))
}

func TestWhatComesWhileAJobRunsIsJudgedAsItComes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.delivery(t, 100)
	b.sendAll(t, d, 4)
	d = b.ask(t, d, 50)
	id := b.start(t, d)
	b.send(t, d, "comp_001", 60, nil) // handed over at once
	b.send(t, d, "comp_002", 40, nil) // and not
	b.send(t, d, "comp_late", 1, nil)
	b.run(t, 2)
	require.Equal(t, came(4, 0, 3), b.await(t, d, id).Progress)
	require.Equal(t, []domain.CompanyID{"comp_001"}, b.handedOver(t, d))
}

// The runner is killed at every instant that comes by chance, and goes on in another process.
func TestRequalificationThatIsKilledAgainAndAgainHandsEachOverOnce(t *testing.T) {
	t.Parallel()
	const companies = 120
	b := setup(t)
	d := b.delivery(t, 1000)
	ids := b.sendAll(t, d, companies)
	d = b.ask(t, d, 31)
	id := b.start(t, d)
	kills := 0
	for ; ; kills++ {
		stop := b.run(t, 5)
		<-time.After(rand.N(time.Duration(kills+5) * 2 * time.Millisecond)) // the instant
		stop()
		known, err := eventstore.Load[domain.Requalification, domain.Event](t.Context(), b.store, domain.RequalificationStream(id))
		require.NoError(t, err)
		if known.State.Status == domain.RequalificationDone {
			break
		}
		require.Less(t, kills, 300)
	}
	require.Greater(t, kills, 1, "it was done before it could be killed")
	require.Equal(t, came(companies, 90, 30), b.await(t, d, id).Progress)
	require.Equal(t, ids[30:], b.handedOver(t, d))
	require.Len(t, b.records(t, d, "company.disqualified"), companies+30)
}

// refuse makes the log refuse events of a type until allow is called.
func (b *bundle) refuse(t *testing.T, kind string) (allow func()) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), `
		CREATE FUNCTION refuse_event() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			RAISE EXCEPTION 'refused';
		END $$;
		CREATE TRIGGER refuse_event BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.type = '`+kind+`') EXECUTE FUNCTION refuse_event()`)
	require.NoError(t, err)
	return func() {
		t.Helper()
		_, err := b.pool.Exec(t.Context(), `DROP TRIGGER refuse_event ON events; DROP FUNCTION refuse_event`)
		require.NoError(t, err)
	}
}

// interrupted starts a job that asks 30 companies for an amount of 4, and has its runner die after the first batch of 10, of which
// 7 have it, and before its place is noted.
func (b *bundle) interrupted(t *testing.T) (domain.Delivery, domain.RequalificationID, []domain.CompanyID) {
	t.Helper()
	d := b.delivery(t, 1000)
	ids := b.sendAll(t, d, 30)
	d = b.ask(t, d, 4)
	id := b.start(t, d)
	allow := b.refuse(t, "requalification.advanced")
	stop := b.another(t).run(t, 10)
	require.Eventually(t, func() bool { return len(b.qualified(t, d)) > 0 }, patience, 5*time.Millisecond)
	stop()
	allow()
	return d, id, ids
}

func TestRequalificationThatDiesBetweenABatchAndItsPlaceHandsEachOverOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d, id, ids := b.interrupted(t)
	require.Equal(t, ids[3:10], b.handedOver(t, d))
	known, err := eventstore.Load[domain.Requalification, domain.Event](t.Context(), b.store, domain.RequalificationStream(id))
	require.NoError(t, err)
	require.Zero(t, known.State.Progress)
	b.another(t).run(t, 10)
	b.another(t).run(t, 10) // stands by
	require.Equal(t, came(30, 27, 3), b.await(t, d, id).Progress, "what was done before the death counts")
	require.Equal(t, ids[3:], b.handedOver(t, d))
	require.Len(t, b.records(t, d, "company.disqualified"), 33)
}

func TestRequalificationStopsWhenTheRulesChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d, id, ids := b.interrupted(t)
	d = b.ask(t, d, 1)
	b.run(t, 10)
	shown := b.await(t, d, id)
	require.Equal(t, []any{domain.RequalificationStopped, domain.RulesChanged, d.Profile.Version - 1}, []any{shown.Status, shown.Obstacle, shown.Profile})
	require.Equal(t, ids[3:10], b.handedOver(t, d), "what was handed over by then stays, and no more is")
	require.Equal(t, domain.RequalificationDone, b.await(t, d, b.start(t, d)).Status)
	require.ElementsMatch(t, ids, b.handedOver(t, d), "another job goes by the new ones")
}

func TestRequalificationStopsWhenItsDeliveryIsDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d, id, ids := b.interrupted(t)
	execute(t, b, domain.DeleteDelivery{ID: d.ID, Organisation: b.org})
	b.run(t, 10)
	shown := b.await(t, d, id)
	require.Equal(t, []any{domain.RequalificationStopped, domain.DeliveryIsGone}, []any{shown.Status, shown.Obstacle})
	require.Equal(t, ids[3:10], b.handedOver(t, d))
}

func TestRequalificationThatIsCancelledHandsNothingMoreOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d, id, ids := b.interrupted(t)
	execute(t, b, domain.CancelRequalification{ID: id, Delivery: d.ID})
	b.run(t, 10)
	require.Equal(t, domain.RequalificationCalledOff, b.await(t, d, id).Status)
	require.Equal(t, domain.RequalificationDone, b.await(t, d, b.start(t, b.ask(t, d, 500))).Status, "the runner had its turn")
	require.Equal(t, ids[3:10], b.handedOver(t, d))
}

func TestOtherChangesOfADeliveryStopNoRequalification(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d, id, ids := b.interrupted(t)
	execute(t, b, domain.UpdateDelivery{ID: d.ID, Organisation: b.org, Name: new("another name")})
	b.run(t, 10)
	require.Equal(t, domain.RequalificationDone, b.await(t, d, id).Status)
	require.Equal(t, ids[3:], b.handedOver(t, d))
}

func TestAPausedDeliveryHoldsWhatIsHandedOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.delivery(t, 100)
	execute(t, b, domain.AddDestination{Delivery: d.ID, Organisation: b.org, Destination: domain.Destination{
		ID: domain.NewDestinationID(), Type: domain.Webhook, URL: "https://example.com/",
	}})
	b.sendAll(t, d, 3)
	b.ask(t, d, 2)
	d = b.set(t, d, domain.Paused)
	id := b.start(t, d)
	b.run(t, 10)
	require.Equal(t, came(3, 2, 1), b.await(t, d, id).Progress)
	require.Eventually(t, func() bool {
		counts, err := b.views.Counts(t.Context(), d.ID)
		return err == nil && counts[domain.Held] == 2 && counts[domain.Pending] == 0
	}, patience, 5*time.Millisecond)
}

func TestRequalificationGoesByWhenACompanyWasJudgedLast(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.delivery(t, 100)
	ids := b.sendAll(t, d, 1)
	b.send(t, d, "comp_twice", 8, nil)
	middle := execute(t, b, domain.JudgeCandidate{
		ID: domain.NewHandOverID(), Delivery: d, CompanyID: "comp_between", Candidate: domain.Candidate{Company: companyOf("comp_between", 9)},
	}).Commit.RecordedAt
	b.send(t, d, "comp_twice", 9, nil)
	d = b.ask(t, d, 1)
	b.run(t, 2)
	for _, test := range []struct {
		filter domain.RequalificationFilter
		want   []domain.CompanyID
	}{
		{domain.RequalificationFilter{Until: &middle}, ids},
		{domain.RequalificationFilter{Since: &middle, Until: new(middle.Add(time.Microsecond))}, []domain.CompanyID{"comp_between"}},
		{domain.RequalificationFilter{Since: &middle}, []domain.CompanyID{"comp_twice"}},
	} {
		before := b.handedOver(t, d)
		head, err := b.store.Head(t.Context())
		require.NoError(t, err)
		id := domain.NewRequalificationID()
		execute(t, b, domain.StartRequalification{ID: id, Delivery: d, UpTo: int64(head), Filter: test.filter})
		b.await(t, d, id)
		require.Equal(t, append(before, test.want...), b.handedOver(t, d))
	}
}
