package erase_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/domain/rules"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/shred"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/handlers/rest/erase"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/personal"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

// The organisations.
const (
	ours   domain.OrganisationID = "org_a"
	theirs domain.OrganisationID = "org_b"
)

// patience bounds every wait for something that must happen.
const patience = 2 * time.Minute

// A bundle is a ledger, as one process sees it.
type bundle struct {
	pool  *pgxpool.Pool
	vault *vault.Vault
	store *eventstore.Store
	keys  *shred.Keys
	views *projections.Views
}

// setup returns a ledger that is followed, without a runner: see run.
func setup(t *testing.T) *bundle {
	t.Helper()
	pool := testdb.New(t)
	key, err := vault.ParseKey(vault.NewKeyText())
	require.NoError(t, err)
	b := newBundle(t, pool, vault.New(pool, key))
	projectionstest.FollowOpened(t, b.pool, b.store, b.keys)
	return b
}

// newBundle returns the ledger in pool's database.
func newBundle(t *testing.T, pool *pgxpool.Pool, v *vault.Vault) *bundle {
	t.Helper()
	store, keys := projectionstest.NewSealingStore(t, pool, v)
	return &bundle{pool: pool, vault: v, store: store, keys: keys, views: projections.NewViews(pool)}
}

// another returns the ledger as another process sees it, with connections, and keys in memory, of its own.
func (b *bundle) another(t *testing.T) *bundle {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), b.pool.Config())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return newBundle(t, pool, b.vault)
}

// run runs a runner until the test ends, or the function that it returns is called.
func (b *bundle) run(t *testing.T) (stop func()) {
	t.Helper()
	runner, err := erase.New(erase.Config{
		Pool: b.pool, Store: b.store, Keys: b.keys, Vault: b.vault, Log: slog.New(slog.DiscardHandler), Poll: 20 * time.Millisecond,
	})
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

// delivery opens a delivery of an organisation, which asks candidates for an amount of 50.
func (b *bundle) delivery(t require.TestingT, org domain.OrganisationID) domain.Delivery {
	id := domain.NewDeliveryID()
	d := execute(t, b, domain.CreateDelivery{ID: id, Organisation: org, Name: "a", Search: domain.NewSearchID(), Rules: &[]rules.Rule{
		{Name: "amount", When: rules.Condition{Field: "company.amount", Op: rules.AtLeast, Value: 50.0}},
	}}).State
	return execute(t, b, domain.AddDestination{Delivery: d.ID, Organisation: org, Destination: domain.Destination{
		ID: domain.NewDestinationID(), Type: domain.Webhook, URL: "https://example.com/",
	}}).State
}

// person returns a prospect, whose name and address contain the ID.
func person(id string) string {
	return fmt.Sprintf(`{"id":%q,"name":"Secret %[1]s","contact":{"email":"Mail.%[1]s@acme.com"}}`, id)
}

// list returns prospects of those IDs.
func list(ids ...string) json.RawMessage {
	persons := make([]string, len(ids))
	for i, id := range ids {
		persons[i] = person(id)
	}
	return json.RawMessage("[" + strings.Join(persons, ",") + "]")
}

// tell has a company with prospects come as a candidate that has an amount.
func (b *bundle) tell(t require.TestingT, d domain.Delivery, company domain.CompanyID, amount int, prospects ...string) domain.HandOver {
	attributes := json.RawMessage(`{"notes":"knows ` + strings.Join(prospects, " ") + `"}`)
	return execute(t, b, domain.JudgeCandidate{ID: domain.NewHandOverID(), Delivery: d, CompanyID: company, Candidate: domain.Candidate{
		Company: json.RawMessage(fmt.Sprintf(`{"id":%q,"name":"Acme","amount":%d}`, company, amount)), Prospects: list(prospects...), Attributes: attributes,
	}}).State
}

// answer has the one destination of a delivery answer to a hand-over.
func (b *bundle) answer(t require.TestingT, d domain.Delivery, h domain.HandOver, body string) domain.DispatchID {
	var destination domain.DestinationID
	for id := range d.Destinations {
		destination = id
	}
	id := domain.DispatchIDFor(h.ID, destination)
	execute(t, b, domain.RecordAttempt{Error: "it answered 500", Retries: domain.DefaultRetries, Attempt: domain.Attempt{
		Dispatch: id, HandOver: h.ID, Delivery: d.ID, Destination: destination, Number: 1, StartedAt: time.Now().UTC(), Status: 500,
		ResponseBody: body, Organisation: d.Organisation,
	}})
	return id
}

// start starts an erasure of ours.
func (b *bundle) start(t require.TestingT, subject domain.ErasureSubject) domain.ErasureID {
	id := domain.NewErasureID()
	execute(t, b, domain.StartErasure{ID: id, Organisation: ours, Subject: subject})
	return id
}

// await waits until an erasure has ended, and returns what is shown of it.
func (b *bundle) await(t require.TestingT, id domain.ErasureID) (shown projections.Erasure) {
	require.Eventually(t, func() bool {
		var err error
		shown, err = b.views.Erasure(context.Background(), ours, id)
		return err == nil && shown.Status == domain.ErasureDone
	}, patience, 5*time.Millisecond)
	return shown
}

// reader reads events in the clear.
func (b *bundle) reader() personal.Reader {
	return personal.Reader{Registry: b.store.Registry(), Keyring: personal.NewKeyring(b.keys)}
}

// feed returns the prospects of each company of a delivery's feed.
func (b *bundle) feed(t require.TestingT, d domain.Delivery) map[domain.CompanyID]string {
	b.settle(t)
	list, err := b.views.Companies(context.Background(), projections.Feed{Delivery: d.ID}, projections.FeedPage{Limit: 1000})
	require.NoError(t, err)
	feed := map[domain.CompanyID]string{}
	for _, c := range list.Items {
		var company struct{ ID domain.CompanyID }
		require.NoError(t, json.Unmarshal(c.Company, &company))
		feed[company.ID] = string(c.Prospects)
	}
	return feed
}

// settle waits until all read models show all of the log.
func (b *bundle) settle(t require.TestingT) {
	head, err := b.store.Head(context.Background())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, p := range projections.All() {
		require.NoError(t, b.store.Await(ctx, p.Name, head))
	}
}

// sound checks that the log is what was recorded, and that read models are what the log makes of them.
func (b *bundle) sound(t *testing.T) {
	t.Helper()
	b.settle(t)
	_, err := eventstore.Verify(t.Context(), b.pool, func(_, _ eventstore.Position) {})
	require.NoError(t, err)
	for _, p := range projections.All() {
		_, err := projections.Compare(t.Context(), b.pool, b.reader(), p)
		require.NoError(t, err)
	}
}

// everything returns all rows of all tables, as text.
func (b *bundle) everything(t *testing.T) string {
	t.Helper()
	rows, _ := b.pool.Query(t.Context(), `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT LIKE 'pg_%' AND schemaname <> 'information_schema'`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	var all strings.Builder
	for _, table := range tables {
		rows, _ := b.pool.Query(t.Context(), `SELECT t::text FROM `+table+` t`) // CollectRows reports the error
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		all.WriteString(strings.Join(lines, "\n"))
	}
	return all.String()
}

// opened returns the event of the last record of a stream, in the clear, and as the log holds it.
func (b *bundle) opened(t *testing.T, stream string) (domain.Event, string) {
	t.Helper()
	records, err := b.store.ReadStream(t.Context(), stream)
	require.NoError(t, err)
	last := records[len(records)-1]
	event, err := b.store.Registry().Decode(last)
	require.NoError(t, err)
	clear, err := b.reader().Open(t.Context(), last.Position, event.(domain.Event))
	require.NoError(t, err)
	return clear, string(last.Data)
}
