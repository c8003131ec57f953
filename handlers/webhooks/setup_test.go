package webhooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

const org = domain.OrganisationID("org_test")

// bundle is what a test works with.
type bundle struct {
	pool  *pgxpool.Pool
	store *eventstore.Store
	views *projections.Views
	vault *vault.Vault
	cfg   webhooks.Config
}

// setup returns a ledger without workers: see work.
func setup(t testing.TB) *bundle {
	t.Helper()
	pool := testdb.New(t)
	key, err := vault.ParseKey(vault.NewKeyText())
	require.NoError(t, err)
	store := projectionstest.NewStore(t, pool)
	b := &bundle{pool: pool, store: store, views: projections.NewViews(pool), vault: vault.New(pool, key)}
	b.cfg = webhooks.Config{
		Pool: pool, Store: store, Vault: b.vault, Log: slog.New(slog.DiscardHandler),
		Sender:  webhooks.NewSender(webhooks.NewGuard(true), "test"),
		Retries: domain.RetrySchedule{100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond, 500 * time.Millisecond},
		Poll:    20 * time.Millisecond,
		Grace:   20 * time.Second,
	}
	return b
}

// work follows the log and attempts what is due until the test ends, or the function that it
// returns is called.
func (b *bundle) work(t testing.TB) (stop func()) {
	t.Helper()
	return projectionstest.Follow(t, b.pool, b.store, func(r *message.Router) {
		_, err := webhooks.Add(r, b.cfg)
		require.NoError(t, err)
	})
}

// execute runs a command that must succeed.
func execute[S eventstore.State[S, domain.Event]](t testing.TB, b *bundle, cmd eventstore.Command[S, domain.Event]) eventstore.Outcome[S] {
	t.Helper()
	o, err := eventstore.Execute(t.Context(), b.store, cmd)
	require.NoError(t, err)
	return o
}

// delivery opens a delivery with the destinations and returns its state.
func (b *bundle) delivery(t testing.TB, destinations ...domain.Destination) domain.Delivery {
	t.Helper()
	id := domain.NewDeliveryID()
	state := execute(t, b, domain.CreateDelivery{ID: id, Organisation: org, Name: "CRM Sync", Search: domain.NewSearchID()}).State
	for _, d := range destinations {
		state = execute(t, b, domain.AddDestination{Delivery: id, Organisation: org, Destination: d}).State
	}
	return state
}

// destination returns a webhook destination at url.
func destination(url string) domain.Destination {
	return domain.Destination{ID: domain.NewDestinationID(), Type: domain.Webhook, URL: url}
}

// qualify hands companies over and returns the last position.
func (b *bundle) qualify(t testing.TB, d domain.Delivery, companies ...domain.CompanyID) eventstore.Position {
	t.Helper()
	var last eventstore.Position
	for _, o := range b.qualifyEach(t.Context(), d, companies) {
		require.NoError(t, o.Err)
		last = max(last, o.Commit.Position)
	}
	return last
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

// A received is a request as the receiver saw it.
type received struct {
	at     time.Time
	header http.Header
	body   string
}

// A receiver keeps what it gets.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	got  []received
	news chan struct{}
}

// newReceiver starts a receiver on loopback that answers as answer says, given the number of
// requests with the same webhook-id so far, from 1.
func newReceiver(t testing.TB, answer func(w http.ResponseWriter, nth int)) *receiver {
	t.Helper()
	r := &receiver{news: make(chan struct{}, 1)}
	counts := map[string]int{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.got = append(r.got, received{at: time.Now(), header: req.Header, body: string(body)})
		counts[req.Header.Get("Webhook-Id")]++
		nth := counts[req.Header.Get("Webhook-Id")]
		r.mu.Unlock()
		select {
		case r.news <- struct{}{}:
		default:
		}
		answer(w, nth)
	}))
	t.Cleanup(r.Close)
	return r
}

// ok answers 200.
func ok(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusOK) }

// all returns what was received so far.
func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.got...)
}

// await returns what was received once that is n requests or more.
func (r *receiver) await(t testing.TB, n int) []received {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		if got := r.all(); len(got) >= n {
			return got
		}
		select {
		case <-r.news:
		case <-timeout:
			require.FailNow(t, "too few requests", "%d of %d", len(r.all()), n)
		}
	}
}

// dispatch returns the dispatch of a received request once it has the status.
func (b *bundle) dispatch(t testing.TB, id string, status domain.DispatchStatus) projections.Dispatch {
	t.Helper()
	var d projections.Dispatch
	require.Eventually(t, func() bool {
		var err error
		d, err = b.views.Dispatch(t.Context(), domain.DispatchID(id))
		return err == nil && d.Status == status
	}, 30*time.Second, 10*time.Millisecond, "dispatch %s did not become %s", id, status)
	return d
}
