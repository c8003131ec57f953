package requalify_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/domain/rules"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest/requalify"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "15") // each is a history with several jobs; the command line may ask for more
	os.Exit(m.Run())
}

// patience bounds every wait for something that must happen.
const patience = 2 * time.Minute

// bundle is what a test works with.
type bundle struct {
	pool  *pgxpool.Pool
	store *eventstore.Store
	views *projections.Views
	org   domain.OrganisationID
}

// setup returns a ledger that is followed, without a runner: see run.
func setup(t *testing.T) *bundle {
	t.Helper()
	pool := testdb.New(t)
	b := &bundle{pool: pool, store: projectionstest.NewStore(t, pool), views: projections.NewViews(pool), org: "org_a"}
	projectionstest.Follow(t, b.pool, b.store)
	return b
}

// another returns the ledger as another process sees it, with connections of its own.
func (b *bundle) another(t *testing.T) *bundle {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), b.pool.Config())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &bundle{pool: pool, store: projectionstest.NewStore(t, pool), views: projections.NewViews(pool), org: b.org}
}

// run runs a runner until the test ends, or the function that it returns is called.
func (b *bundle) run(t *testing.T, batch int) (stop func()) {
	t.Helper()
	runner, err := requalify.New(requalify.Config{Pool: b.pool, Store: b.store, Log: slog.New(slog.DiscardHandler), Batch: batch, Poll: 50 * time.Millisecond})
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

// execute runs a command that must succeed.
func execute[S eventstore.State[S, domain.Event]](t require.TestingT, b *bundle, cmd eventstore.Command[S, domain.Event]) eventstore.Outcome[S] {
	o, err := eventstore.Execute(context.Background(), b.store, cmd)
	require.NoError(t, err)
	return o
}

// above are rules that ask for an amount.
func above(amount int) *[]rules.Rule {
	return &[]rules.Rule{{Name: "amount", When: rules.Condition{Field: "company.amount", Op: rules.AtLeast, Value: float64(amount)}}}
}

// delivery opens a delivery that asks for an amount.
func (b *bundle) delivery(t require.TestingT, amount int) domain.Delivery {
	id := domain.NewDeliveryID()
	return execute(t, b, domain.CreateDelivery{ID: id, Organisation: b.org, Name: "a", Search: domain.NewSearchID(), Rules: above(amount)}).State
}

// ask has a delivery ask for another amount.
func (b *bundle) ask(t require.TestingT, d domain.Delivery, amount int) domain.Delivery {
	return execute(t, b, domain.UpdateDelivery{ID: d.ID, Organisation: b.org, Rules: above(amount)}).State
}

// set gives a delivery a status.
func (b *bundle) set(t require.TestingT, d domain.Delivery, status domain.DeliveryStatus) domain.Delivery {
	return execute(t, b, domain.UpdateDelivery{ID: d.ID, Organisation: b.org, Status: &status}).State
}

// companyOf returns a company that has an amount.
func companyOf(id domain.CompanyID, amount int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{ "id":%q, "name":"<Caf\u00e9> & \/", "amount": %d }`, id, amount))
}

// send has a company that has an amount judged.
func (b *bundle) send(t require.TestingT, d domain.Delivery, id domain.CompanyID, amount int, excluded *domain.Excluded) {
	execute(t, b, domain.JudgeCandidate{
		ID: domain.NewHandOverID(), Delivery: d, CompanyID: id, Candidate: domain.Candidate{Company: companyOf(id, amount)}, Excluded: excluded,
	})
}

// sendAll has n companies judged, which have the amounts 1 to n, and returns their IDs.
func (b *bundle) sendAll(t *testing.T, d domain.Delivery, n int) []domain.CompanyID {
	t.Helper()
	ids := make([]domain.CompanyID, n)
	plans := make([]eventstore.Plan[domain.HandOver, domain.Event], n)
	for i := range plans {
		ids[i] = domain.CompanyID(fmt.Sprintf("comp_%03d", i+1))
		plans[i].Command = domain.JudgeCandidate{
			ID: domain.NewHandOverID(), Delivery: d, CompanyID: ids[i], Candidate: domain.Candidate{Company: companyOf(ids[i], i+1)},
		}
	}
	for _, o := range eventstore.ExecuteEach(t.Context(), b.store, plans) {
		require.NoError(t, o.Err)
	}
	return ids
}

// excluded returns what excluding a company says.
func (b *bundle) excluded(t require.TestingT, id domain.CompanyID) domain.Excluded {
	x, err := domain.NewExcluded(b.org, domain.ByCompany, string(id), "")
	require.NoError(t, err)
	return x
}

// start starts a job on all that there is.
func (b *bundle) start(t require.TestingT, d domain.Delivery) domain.RequalificationID {
	head, err := b.store.Head(context.Background())
	require.NoError(t, err)
	id := domain.NewRequalificationID()
	execute(t, b, domain.StartRequalification{ID: id, Delivery: d, UpTo: int64(head)})
	return id
}

// await waits until a job runs no more, and returns what is shown of it.
func (b *bundle) await(t require.TestingT, d domain.Delivery, id domain.RequalificationID) (shown projections.Requalification) {
	require.Eventually(t, func() bool {
		var err error
		shown, err = b.views.Requalification(context.Background(), d.ID, id)
		return err == nil && shown.Status != domain.RequalificationRunning
	}, patience, 5*time.Millisecond)
	return shown
}

// handedOver returns the companies of a delivery that were handed over, in order, and fails the test where one was
// twice.
func (b *bundle) handedOver(t require.TestingT, d domain.Delivery) (ids []domain.CompanyID) {
	for _, e := range b.qualified(t, d) {
		require.NotContains(t, ids, e.CompanyID, "handed over twice")
		ids = append(ids, e.CompanyID)
	}
	return ids
}

// qualified returns the hand-overs of a delivery.
func (b *bundle) qualified(t require.TestingT, d domain.Delivery) (found []domain.CompanyQualified) {
	for _, rec := range b.records(t, d, "company.qualified") {
		var e domain.CompanyQualified
		require.NoError(t, json.Unmarshal(rec, &e))
		found = append(found, e)
	}
	return found
}

// records returns the data of a delivery's events of a type, in order.
func (b *bundle) records(t require.TestingT, d domain.Delivery, kind string) (found []json.RawMessage) {
	const query = `SELECT data FROM events WHERE type = $2 AND data->>'delivery' = $1 ORDER BY position`
	rows, err := b.pool.Query(context.Background(), query, d.ID, kind)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var one json.RawMessage
		require.NoError(t, rows.Scan(&one))
		found = append(found, one)
	}
	require.NoError(t, rows.Err())
	return found
}
