package webhooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/shred"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/personal"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

const org = domain.OrganisationID("org_test")

// patience bounds every wait for something that must happen.
const patience = 2 * time.Minute

// soon is what takes no time takes at most, on a machine that is busy: much less than a time-out of a minute.
const soon = 20 * time.Second

// bundle is what a test works with.
type bundle struct {
	pool  *pgxpool.Pool
	store *eventstore.Store
	views *projections.Views
	vault *vault.Vault
	cfg   webhooks.Config

	subjects *shred.Keys // which seal what is personal
}

// setup returns a ledger without workers: see work.
func setup(tb testing.TB) *bundle {
	tb.Helper()
	return setupOn(tb, testdb.New(tb))
}

// setupOn is setup on a database of the caller's.
func setupOn(tb testing.TB, pool *pgxpool.Pool) *bundle {
	tb.Helper()
	key, err := vault.ParseKey(vault.NewKeyText())
	require.NoError(tb, err)
	secrets := vault.New(pool, key)
	store, subjects := projectionstest.NewSealingStore(tb, pool, secrets)
	b := &bundle{pool: pool, store: store, subjects: subjects, views: projections.NewViews(pool), vault: secrets}
	b.cfg = webhooks.Config{
		Pool: pool, Store: store, Vault: b.vault, Log: slog.New(slog.DiscardHandler), Keyring: personal.NewKeyring(subjects),
		Sender:  webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(true)}, "test"),
		Retries: domain.RetrySchedule{100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond, 500 * time.Millisecond},
		Poll:    20 * time.Millisecond,
		Grace:   20 * time.Second,
	}
	return b
}

// another returns the ledger as another process sees it, with connections of its own.
func (b *bundle) another(tb testing.TB) *bundle {
	tb.Helper()
	pool, err := pgxpool.NewWithConfig(tb.Context(), b.pool.Config())
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	other := *b
	other.pool, other.views = pool, projections.NewViews(pool)
	other.store, other.subjects = projectionstest.NewSealingStore(tb, pool, b.vault)
	other.cfg.Pool, other.cfg.Store, other.cfg.Keyring = pool, other.store, personal.NewKeyring(other.subjects)
	return &other
}

// work follows the log and attempts what is due until the test ends, or the function that it
// returns is called.
func (b *bundle) work(tb testing.TB) (stop func()) {
	tb.Helper()
	return projectionstest.FollowOpened(tb, b.pool, b.store, b.subjects, func(r *message.Router) {
		_, err := webhooks.Add(tb.Context(), r, b.cfg)
		require.NoError(tb, err)
	})
}

// execute runs a command that must succeed.
func execute[S eventstore.State[S, domain.Event]](tb testing.TB, b *bundle, cmd eventstore.Command[S, domain.Event]) eventstore.Outcome[S] {
	tb.Helper()
	o, err := eventstore.Execute(tb.Context(), b.store, cmd)
	require.NoError(tb, err)
	return o
}

// delivery opens a delivery with the destinations and returns its state.
func (b *bundle) delivery(tb testing.TB, destinations ...domain.Destination) domain.Delivery {
	tb.Helper()
	return b.deliveryOf(tb, org, destinations...)
}

// deliveryOf is delivery for an organisation.
func (b *bundle) deliveryOf(tb testing.TB, owner domain.OrganisationID, destinations ...domain.Destination) domain.Delivery {
	tb.Helper()
	id := domain.NewDeliveryID()
	state := execute(tb, b, domain.CreateDelivery{ID: id, Organisation: owner, Name: "CRM Sync", Search: domain.NewSearchID()}).State
	for _, d := range destinations {
		state = execute(tb, b, domain.AddDestination{Delivery: id, Organisation: owner, Destination: d}).State
	}
	return state
}

// prove records that attempts succeeded at each destination of d, so that it may have a whole share
// under way.
func (b *bundle) prove(tb testing.TB, d domain.Delivery) {
	tb.Helper()
	for id := range d.Destinations {
		b.answer(tb, d, id, 64, domain.RecordAttempt{Attempt: domain.Attempt{Status: http.StatusOK}})
	}
}

// answer records first attempts of as many dispatches, of which nothing else is known, to a destination.
func (b *bundle) answer(tb testing.TB, d domain.Delivery, id domain.DestinationID, many int, attempt domain.RecordAttempt) {
	tb.Helper()
	attempt.Attempt.Delivery, attempt.Attempt.Destination, attempt.Attempt.Number = d.ID, id, 1
	plans := make([]eventstore.Plan[domain.Dispatch, domain.Event], many)
	for i := range plans {
		attempt.Attempt.Dispatch = domain.DispatchIDFor(domain.NewHandOverID(), id)
		plans[i].Command = attempt
	}
	for _, o := range eventstore.ExecuteEach(tb.Context(), b.store, plans) {
		require.NoError(tb, o.Err)
	}
}

// destination returns a webhook destination at url.
func destination(url string) domain.Destination {
	return domain.Destination{ID: domain.NewDestinationID(), Type: domain.Webhook, URL: url}
}

// secret keeps a secret and returns its name.
func (b *bundle) secret(tb testing.TB, text string) domain.SecretID {
	tb.Helper()
	id := domain.NewSecretID()
	require.NoError(tb, b.vault.Put(tb.Context(), string(id), text))
	return id
}

// change changes a destination.
func (b *bundle) change(tb testing.TB, d domain.Delivery, id domain.DestinationID, f func(*domain.Destination)) {
	tb.Helper()
	execute(tb, b, domain.ChangeDestination{
		Delivery: d.ID, Organisation: org, Destination: id,
		Change: func(dst domain.Destination) domain.Destination {
			f(&dst)
			return dst
		},
	})
}

// set gives a delivery a status.
func (b *bundle) set(tb testing.TB, d domain.Delivery, status domain.DeliveryStatus) {
	tb.Helper()
	execute(tb, b, domain.UpdateDelivery{ID: d.ID, Organisation: org, Status: &status})
}

// settle waits until the read model of dispatches shows all that the log has.
func (b *bundle) settle(tb testing.TB) {
	tb.Helper()
	b.settleIn(tb, "dispatches")
}

// settleIn is settle for a read model by its name: each follows the log on its own.
func (b *bundle) settleIn(tb testing.TB, projection string) {
	tb.Helper()
	head, err := b.store.Head(tb.Context())
	require.NoError(tb, err)
	require.NoError(tb, b.store.Await(tb.Context(), projection, head))
}

// counts returns the numbers of a delivery's dispatches by status; those that are not 0.
func (b *bundle) counts(tb testing.TB, d domain.Delivery) projections.Counts {
	tb.Helper()
	counts, err := b.tryCounts(tb.Context(), d)
	require.NoError(tb, err)
	return counts
}

// tryCounts is like counts, where the database may be away.
func (b *bundle) tryCounts(ctx context.Context, d domain.Delivery) (projections.Counts, error) {
	counts, err := b.views.Counts(ctx, d.ID)
	maps.DeleteFunc(counts, func(_ domain.DispatchStatus, n int64) bool { return n == 0 })
	return counts, err
}

// awaitCounts waits until a delivery's dispatches have the statuses.
func (b *bundle) awaitCounts(tb testing.TB, d domain.Delivery, want projections.Counts) {
	tb.Helper()
	var got projections.Counts
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		head, appended := b.store.Mark("").Next()
		if err := b.store.Await(ctx, "dispatches", head); err == nil {
			if got, err = b.tryCounts(ctx, d); err == nil && maps.Equal(got, want) {
				return
			}
		}
		select {
		case <-appended:
		case <-time.After(100 * time.Millisecond): // should a look have failed
		case <-ctx.Done():
		}
	}
	require.Equal(tb, want, got)
}

// events returns the events of a dispatch, once there are n or more.
func (b *bundle) events(tb testing.TB, id domain.DispatchID, n int) []domain.Event {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	for {
		_, appended := b.store.Mark("").Next()
		records, err := b.store.ReadStream(ctx, domain.DispatchStream(id))
		require.NoError(tb, err)
		if len(records) >= n {
			events := make([]domain.Event, len(records))
			for i, rec := range records {
				decoded, err := b.store.Registry().Decode(rec)
				require.NoError(tb, err)
				events[i], err = b.cfg.Keyring.Open(ctx, rec.Position, decoded.(domain.Event))
				require.NoError(tb, err)
			}
			return events
		}
		select {
		case <-appended:
		case <-ctx.Done():
			require.FailNow(tb, "too few events", "%d of %d of dispatch %s", len(records), n, id)
		}
	}
}

// qualify hands companies over and returns the hand-overs, in order.
func (b *bundle) qualify(tb testing.TB, d domain.Delivery, companies ...domain.CompanyID) []domain.HandOverID {
	tb.Helper()
	ids := make([]domain.HandOverID, len(companies))
	for i, o := range b.qualifyEach(tb.Context(), d, companies) {
		require.NoError(tb, o.Err)
		ids[i] = o.State.ID
	}
	return ids
}

// qualifyEach hands companies over in one go.
func (b *bundle) qualifyEach(ctx context.Context, d domain.Delivery, companies []domain.CompanyID) []eventstore.Outcome[domain.HandOver] {
	score := 85
	plans := make([]eventstore.Plan[domain.HandOver, domain.Event], len(companies))
	for i, id := range companies {
		plans[i].Command = domain.QualifyCompany{
			ID: domain.NewHandOverID(), Delivery: d, CompanyID: id,
			Qualification: domain.Qualification{
				Company:      json.RawMessage(fmt.Sprintf(`{"id":%q,"name":"Acme & Söhne","domain":"acme.example","technologies":["HubSpot","AWS"]}`, id)),
				Prospects:    json.RawMessage(`[{"id":"pros_1","first_name":"Jane","title":"CTO","email":"jane@acme.example"}]`),
				Score:        &score,
				MatchReasons: []string{"Uses HubSpot", "Revenue > $10M"},
			},
		}
	}
	return eventstore.ExecuteEach(ctx, b.store, plans)
}

// names returns n company IDs.
func names(n int) []domain.CompanyID {
	ids := make([]domain.CompanyID, n)
	for i := range ids {
		ids[i] = domain.CompanyID(fmt.Sprintf("comp_%06d", i))
	}
	return ids
}

// dispatch returns the dispatch of a received request once it has the status.
func (b *bundle) dispatch(tb testing.TB, id string, status domain.DispatchStatus) projections.Dispatch {
	tb.Helper()
	var d projections.Dispatch
	require.Eventually(tb, func() bool {
		var err error
		d, err = b.views.Dispatch(tb.Context(), domain.DispatchID(id))
		return err == nil && d.Status == status
	}, patience, 10*time.Millisecond, "dispatch %s did not become %s", id, status)
	return d
}
