package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/domain/rules"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "25") // each is a whole ledger; the command line may ask for more
	os.Exit(m.Run())
}

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// Organisations of the tests.
const (
	org   = domain.OrganisationID("org_a")
	other = domain.OrganisationID("org_b")
)

// within returns a context for what must happen before the test loses patience.
func within(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// newStore returns a store as a process of its own would have it.
func newStore(pool *pgxpool.Pool) *eventstore.Store {
	return eventstore.New(pool, eventstore.NewRegistry(domain.Events()...), eventstore.Options{})
}

// bundle is what a test works with.
type bundle struct {
	pool  *pgxpool.Pool
	store *eventstore.Store
	views *projections.Views
	owed  map[domain.DispatchID]domain.RecordAttempt // what each attempt of a dispatch tells of it
}

// newBundle returns a ledger in pool's database.
func newBundle(pool *pgxpool.Pool) *bundle {
	return &bundle{
		pool: pool, store: newStore(pool), views: projections.NewViews(pool), owed: map[domain.DispatchID]domain.RecordAttempt{},
	}
}

// execute runs a command, and returns what the stream is then.
func execute[S eventstore.State[S, domain.Event]](t require.TestingT, b *bundle, cmd eventstore.Command[S, domain.Event]) eventstore.Known[S] {
	o, err := eventstore.Execute(context.Background(), b.store, cmd)
	require.NoError(t, err)
	return o.Known
}

// try runs a command that the rules may refuse.
func try[S eventstore.State[S, domain.Event]](t require.TestingT, b *bundle, cmd eventstore.Command[S, domain.Event]) {
	_, err := eventstore.Execute(context.Background(), b.store, cmd)
	if _, refused := errors.AsType[*domain.Error](err); !refused {
		require.NoError(t, err)
	}
}

// delivery opens a delivery with destinations.
func (b *bundle) delivery(t require.TestingT, search domain.SearchID, destinations ...domain.Destination) domain.Delivery {
	id := domain.NewDeliveryID()
	state := execute(t, b, domain.CreateDelivery{ID: id, Organisation: org, Name: "CRM Sync", Search: search}).State
	for _, d := range destinations {
		state = execute(t, b, domain.AddDestination{Delivery: id, Organisation: org, Destination: d}).State
	}
	return state
}

// webhook returns a destination that is pushed to.
func webhook() domain.Destination {
	return domain.Destination{ID: domain.NewDestinationID(), Type: domain.Webhook, URL: "https://example.com/a?b&c", Headers: map[string]string{"X-B": "1", "X-A": "<2>"}}
}

// qualify hands a company over under a delivery.
func (b *bundle) qualify(t require.TestingT, d domain.Delivery, company string) domain.HandOver {
	score := 85
	o, err := eventstore.Execute(context.Background(), b.store, domain.QualifyCompany{
		ID: domain.NewHandOverID(), Delivery: d, CompanyID: domain.CompanyID(company),
		Qualification: domain.Qualification{
			Company:      json.RawMessage(fmt.Sprintf(`{ "id": %q, "name": "Acme & Söhne", "z": 1, "a": [1.50, 1e3] }`, company)),
			Prospects:    json.RawMessage(`[{"id":"pros_1","first_name":"Jane"}]`),
			Score:        &score,
			MatchReasons: []string{"Uses <HubSpot>", "Revenue > $10M"},
		},
	})
	require.NoError(t, err)
	for destination := range d.Destinations {
		id := domain.DispatchIDFor(o.State.ID, destination)
		about := domain.RecordAttempt{Attempt: domain.Attempt{Dispatch: id, HandOver: o.State.ID, Delivery: d.ID, Destination: destination}}
		if o.Commit.Position > 0 {
			about.Owed = new(o.Commit.RecordedAt)
		}
		if b.owed[id].Owed == nil {
			b.owed[id] = about
		}
	}
	return o.State
}

// attempt records the outcome of the next attempt of a dispatch.
func (b *bundle) attempt(t require.TestingT, d domain.DispatchID, failure string, status int) {
	known, err := eventstore.Load[domain.Dispatch, domain.Event](context.Background(), b.store, domain.DispatchStream(d))
	require.NoError(t, err)
	outcome := b.owed[d]
	outcome.Attempt.Dispatch, outcome.Attempt.Number, outcome.Attempt.Status = d, known.State.Attempts+1, status
	outcome.Error, outcome.Retries = failure, domain.RetrySchedule{time.Minute, time.Hour}
	try(t, b, outcome)
}

// build applies the log to a projection's empty tables, a page after the other, as cut says:
// given how many positions are left it returns how many make the next page.
func build(t require.TestingT, b *bundle, p projections.Projection, cut func(left int) int) {
	ctx := context.Background()
	head, err := b.store.Head(ctx)
	require.NoError(t, err)
	err = pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		for _, table := range p.Tables {
			if _, err := tx.Exec(ctx, `TRUNCATE `+table); err != nil {
				return err
			}
		}
		for at := eventstore.Position(0); at < head; {
			last := at + eventstore.Position(cut(int(head-at)))
			if err := p.ApplyRange(ctx, tx, b.store.Registry(), at+1, last); err != nil {
				return err
			}
			at = last
		}
		return nil
	})
	require.NoError(t, err)
}

// follow brings every projection to the head of the log.
func (b *bundle) follow(t require.TestingT) {
	for _, p := range projections.All() {
		require.NoError(t, projections.Rebuild(context.Background(), b.pool, b.store.Registry(), p))
	}
}

// dump returns every row of a projection's tables, as text.
func dump(t require.TestingT, b *bundle, p projections.Projection) string {
	return dumpOf(t, b.pool, "public", p)
}

// dumpOf returns every row of a projection's tables in a schema, as text.
func dumpOf(t require.TestingT, q eventstore.Querier, schema string, p projections.Projection) string {
	var text strings.Builder
	for _, table := range p.Tables {
		rows, err := q.Query(context.Background(), `SELECT t::text FROM `+pgx.Identifier{schema, table}.Sanitize()+` t ORDER BY t::text COLLATE "C"`)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		text.WriteString(table + "\n" + strings.Join(lines, "\n") + "\n")
	}
	return text.String()
}

// reset makes the database as good as new.
func (b *bundle) reset(t require.TestingT) {
	err := pgx.BeginFunc(context.Background(), b.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(context.Background(), `
			SET LOCAL session_replication_role = replica;
			TRUNCATE events, cursors, deliveries, destinations, companies, dispatch_deliveries, dispatch_targets, dispatches, history,
				replays, requalifications, erasures, stats, stats_targets, daily, reasons, daily_targets, daily_rules, delivery_totals, searches, exclusions, exclusion_totals;
			UPDATE log_head SET position = 0, recorded_at = '1970-01-01 00:00:00Z', hash = decode(repeat('00', 32), 'hex')`)
		return err
	})
	require.NoError(t, err)
	b.store = newStore(b.pool)
}

// A history draws what happens in a ledger, all of it by the domain's commands.
type history struct {
	*bundle
	deliveries   []domain.Delivery // the latest that is known of each
	destinations []domain.DestinationID
	dispatches   []domain.DispatchID
	targets      map[domain.DispatchID]domain.DestinationID
}

// step draws one thing that happens.
func (h *history) step(t *rapid.T) {
	if len(h.deliveries) == 0 {
		h.create(t)
		return
	}
	i := rapid.IntRange(0, len(h.deliveries)-1).Draw(t, "delivery")
	steps := []func(*rapid.T, int){h.qualify, h.qualify, h.qualify, h.judge, h.attempt, h.attempt, h.attempt, h.attempt, h.retry, h.retry, h.replay, h.backfill, h.backfill, h.requalify, h.erase, h.configure, h.configure, h.exclude, h.wait}
	rapid.SampledFrom(steps).Draw(t, "step")(t, i)
	h.deliveries[i] = h.load(t, h.deliveries[i].ID)
}

// wait lets time pass: nothing is recorded before what was, so that moves the log's clock.
func (h *history) wait(t *rapid.T, _ int) {
	const query = `UPDATE log_head SET recorded_at = greatest(recorded_at, now()) + make_interval(secs => $1)`
	_, err := h.pool.Exec(context.Background(), query, rapid.SampledFrom([]int{1, 600, 3600, 100_000}).Draw(t, "seconds"))
	require.NoError(t, err)
}

// searches are those that deliveries are bound to.
var searches = rapid.SampledFrom([]domain.SearchID{"search_1", "search_2"})

// create opens a delivery.
func (h *history) create(t *rapid.T) {
	d := execute(t, h.bundle, domain.CreateDelivery{
		ID: domain.NewDeliveryID(), Organisation: rapid.SampledFrom([]domain.OrganisationID{org, org, other}).Draw(t, "organisation"),
		Name: "Delivery", Search: searches.Draw(t, "search"),
		Status:   rapid.SampledFrom([]domain.DeliveryStatus{domain.Active, domain.Active, domain.Paused}).Draw(t, "status"),
		Schedule: rapid.SampledFrom([]domain.Schedule{domain.Immediate, domain.Daily, "0 9 * * 1-5"}).Draw(t, "schedule"),
		Timezone: rapid.SampledFrom([]domain.Timezone{"", "Europe/Berlin"}).Draw(t, "timezone"),
	}).State
	h.addDestination(t, d)
	h.deliveries = append(h.deliveries, h.load(t, d.ID))
}

// load returns a delivery as it is now.
func (h *history) load(t *rapid.T, id domain.DeliveryID) domain.Delivery {
	known, err := eventstore.Load[domain.Delivery, domain.Event](context.Background(), h.store, domain.DeliveryStream(id))
	require.NoError(t, err)
	return known.State
}

// addDestination adds one to a delivery.
func (h *history) addDestination(t *rapid.T, d domain.Delivery) {
	dst := webhook()
	dst.Ordered, dst.Events = rapid.Bool().Draw(t, "ordered"), subscriptions.Draw(t, "events")
	if rapid.IntRange(0, 4).Draw(t, "pulled at 0") == 0 {
		dst = domain.Destination{ID: dst.ID, Type: domain.API}
	}
	h.destinations = append(h.destinations, dst.ID)
	try(t, h.bundle, domain.AddDestination{Delivery: d.ID, Organisation: d.Organisation, Destination: dst})
}

// configure changes a delivery or its destinations.
func (h *history) configure(t *rapid.T, i int) {
	d := h.deliveries[i]
	dst := rapid.SampledFrom(h.destinations).Draw(t, "destination")
	switch rapid.IntRange(0, 10).Draw(t, "change") {
	case 0, 1:
		h.create(t)
	case 2:
		h.addDestination(t, d)
	case 3:
		status := rapid.SampledFrom([]domain.DeliveryStatus{domain.Active, domain.Paused}).Draw(t, "status")
		try(t, h.bundle, domain.UpdateDelivery{ID: d.ID, Organisation: d.Organisation, Status: &status})
	case 4:
		if rapid.Bool().Draw(t, "of rules") {
			list := make([]rules.Rule, rapid.IntRange(0, 2).Draw(t, "rules"))
			for i := range list {
				list[i] = rules.Rule{Name: string(rune('a' + i)), When: rules.Condition{Field: "company.name", Op: rules.Exists}}
			}
			threshold := rapid.IntRange(49, 51).Draw(t, "threshold")
			try(t, h.bundle, domain.UpdateDelivery{ID: d.ID, Organisation: d.Organisation, Rules: &list, Threshold: &threshold})
			return
		}
		name, search := rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "name"), searches.Draw(t, "search")
		try(t, h.bundle, domain.UpdateDelivery{ID: d.ID, Organisation: d.Organisation, Name: &name, Search: &search})
	case 5:
		timeout, ordered := rapid.IntRange(1, 60).Draw(t, "timeout"), rapid.Bool().Draw(t, "ordered")
		events := subscriptions.Draw(t, "events")
		try(t, h.bundle, domain.ChangeDestination{Delivery: d.ID, Organisation: d.Organisation, Destination: dst, Change: func(dst domain.Destination) domain.Destination {
			if dst.Type == domain.Webhook {
				dst.TimeoutSeconds, dst.Ordered, dst.Events = timeout, ordered, events
			}
			return dst
		}})
	case 6:
		try(t, h.bundle, domain.RemoveDestination{Delivery: d.ID, Organisation: d.Organisation, Destination: dst})
	case 7:
		if rapid.Bool().Draw(t, "gone") {
			try(t, h.bundle, domain.DisableDestination{Delivery: d.ID, Destination: dst, Reason: "410 Gone"})
			return
		}
		try(t, h.bundle, domain.GiveUpDestination{
			Delivery: d.ID, Destination: dst, Revision: d.Revision, Exhausted: 1, FailingSince: time.Unix(0, 0), Tolerance: domain.Tolerance{Dispatches: 1},
		})
	case 8:
		if rapid.Bool().Draw(t, "recovered") {
			since := time.Unix(rapid.Int64Range(1, 9).Draw(t, "failing since"), 0).UTC()
			try(t, h.bundle, domain.RecordRecovery{Delivery: d.ID, Destination: dst, FailingSince: since})
			return
		}
		try(t, h.bundle, domain.EnableDestination{Delivery: d.ID, Organisation: d.Organisation, Destination: dst})
	case 9:
		overlap := time.Duration(rapid.IntRange(0, 1).Draw(t, "overlap")) * time.Hour
		try(t, h.bundle, domain.RotateSigningSecret{
			Delivery: d.ID, Organisation: d.Organisation, Destination: dst, Secret: domain.NewSecretID(), Overlap: overlap,
		})
	case 10:
		if rapid.IntRange(0, 2).Draw(t, "delete at 0") == 0 {
			try(t, h.bundle, domain.DeleteDelivery{ID: d.ID, Organisation: d.Organisation})
		}
	}
}

// qualify hands companies over.
func (h *history) qualify(t *rapid.T, i int) {
	d := h.deliveries[i]
	if d.Deleted {
		return
	}
	for _, company := range rapid.SliceOfN(rapid.IntRange(1, 8), 1, 4).Draw(t, "companies") {
		handOver := h.bundle.qualify(t, d, fmt.Sprint("comp_", company))
		for _, id := range slices.Sorted(maps.Keys(d.Destinations)) {
			if d.Destinations[id].Type == domain.Webhook {
				dispatch := domain.DispatchIDFor(handOver.ID, id)
				h.dispatches = append(h.dispatches, dispatch)
				h.targets[dispatch] = id
			}
		}
	}
}

// judge judges a candidate that may qualify, where the delivery has rules. One that was handed over before adds nothing.
func (h *history) judge(t *rapid.T, i int) {
	d := h.deliveries[i]
	if d.Deleted || !d.Judges() {
		return
	}
	company, asked := rapid.SampledFrom([]domain.CompanyID{"comp_1", "comp_2", "comp_9"}).Draw(t, "company"), rapid.Bool().Draw(t, "named")
	raw := `{"id":"` + string(company) + `"}`
	if asked {
		raw = `{"id":"` + string(company) + `","name":"x"}`
	}
	handOver := execute(t, h.bundle, domain.JudgeCandidate{
		ID: domain.NewHandOverID(), Delivery: d, CompanyID: company, Candidate: domain.Candidate{Company: json.RawMessage(raw)},
	}).State
	if handOver.ID == "" {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(d.Destinations)) {
		if d.Destinations[id].Type == domain.Webhook {
			dispatch := domain.DispatchIDFor(handOver.ID, id)
			h.dispatches = append(h.dispatches, dispatch)
			h.targets[dispatch] = id
		}
	}
}

// exclude excludes a value, or no longer.
func (h *history) exclude(t *rapid.T, i int) {
	owner := h.deliveries[i].Organisation
	kind := rapid.SampledFrom([]domain.ExclusionKind{domain.ByDomain, domain.ByCompany}).Draw(t, "kind")
	excluded, err := domain.NewExcluded(owner, kind, rapid.SampledFrom([]string{"a.example", "b.example"}).Draw(t, "value"), "")
	require.NoError(t, err)
	if rapid.Bool().Draw(t, "removed") {
		try(t, h.bundle, domain.RemoveExclusion{Organisation: owner, ID: excluded.Exclusion})
		return
	}
	execute(t, h.bundle, domain.AddExclusion{Organisation: owner, Excluded: excluded})
}

// attempt records what came of attempts, also of those that nobody owes any more.
func (h *history) attempt(t *rapid.T, _ int) {
	if len(h.dispatches) == 0 {
		return
	}
	for range rapid.IntRange(1, 3).Draw(t, "attempts") {
		id := h.dispatches[rapid.IntRange(0, len(h.dispatches)-1).Draw(t, "dispatch")]
		switch rapid.IntRange(0, 5).Draw(t, "outcome") {
		case 0, 1:
			h.bundle.attempt(t, id, "", 200)
		case 2, 3:
			h.bundle.attempt(t, id, "500 Internal Server Error", 500)
		case 4:
			h.bundle.attempt(t, id, "410 Gone", 410)
		case 5:
			try(t, h.bundle, domain.CancelDispatch{Dispatch: id, Reason: "its destination went away"})
		}
		h.notice(t)
	}
}

// retry has a dispatch of a delivery attempted again: by itself, or by a job.
func (h *history) retry(t *rapid.T, i int) {
	d := h.deliveries[i]
	var ids []domain.DispatchID
	targets := map[domain.DispatchID]domain.DestinationID{}
	for id, dst := range h.targets {
		if _, there := d.Destinations[dst]; there {
			ids, targets[id] = append(ids, id), dst
		}
	}
	if len(ids) == 0 {
		return
	}
	slices.Sort(ids)
	id := rapid.SampledFrom(ids).Draw(t, "retried")
	try(t, h.bundle, domain.RetryDispatch{
		Dispatch: id, Destination: targets[id], Delivery: d, Replay: rapid.SampledFrom([]domain.ReplayID{"", "rpl_1"}).Draw(t, "job"),
	})
}

// replay moves one of two jobs on.
func (h *history) replay(t *rapid.T, i int) {
	id := rapid.SampledFrom([]domain.ReplayID{"rpl_1", "rpl_2"}).Draw(t, "job")
	switch rapid.IntRange(0, 5).Draw(t, "step of the job") {
	case 0, 1, 2:
		try(t, h.bundle, domain.StartReplay{ID: id, Delivery: h.deliveries[i], Count: 3})
	case 3:
		try(t, h.bundle, domain.AdvanceReplay{ID: id, Place: domain.ReplayPlace{Position: rapid.Int64Range(1, 50).Draw(t, "place")}})
	case 4:
		try(t, h.bundle, domain.EndReplay{ID: id})
	case 5:
		try(t, h.bundle, domain.CancelReplay{ID: id, Delivery: h.deliveries[i].ID})
	}
}

// backfill makes a company owed to a destination by one of two jobs, also one that is owed, which the runner of jobs would not.
func (h *history) backfill(t *rapid.T, i int) {
	d := h.deliveries[i]
	job, dst := rapid.SampledFrom([]domain.ReplayID{"rpl_1", "rpl_2"}).Draw(t, "job"), rapid.SampledFrom(h.destinations).Draw(t, "destination")
	try(t, h.bundle, domain.StartBackfill{ID: job, Delivery: d, Organisation: d.Organisation, Destination: dst, Count: 2})
	for _, company := range rapid.SliceOfN(rapid.IntRange(1, 8), 1, 3).Draw(t, "companies") {
		records, err := h.store.ReadStream(context.Background(), domain.HandOverStream(d.ID, domain.CompanyID(fmt.Sprint("comp_", company))))
		require.NoError(t, err)
		for _, rec := range records {
			event, err := h.store.Registry().Decode(rec)
			require.NoError(t, err)
			if e, ok := event.(domain.CompanyQualified); ok {
				id := domain.DispatchIDFor(e.HandOver, dst)
				try(t, h.bundle, domain.BackfillDispatch{
					Dispatch: id, Destination: dst, HandOver: e.HandOver, Position: int64(rec.Position), Delivery: d, Replay: job,
				})
				h.enlist(d, id, e.HandOver, dst)
			}
		}
	}
}

// enlist has a dispatch attempted now and then.
func (h *history) enlist(d domain.Delivery, id domain.DispatchID, handOver domain.HandOverID, dst domain.DestinationID) {
	if _, known := h.targets[id]; known || d.Destinations[dst].Type != domain.Webhook {
		return
	}
	h.dispatches, h.targets[id] = append(h.dispatches, id), dst
	h.owed[id] = domain.RecordAttempt{Attempt: domain.Attempt{Dispatch: id, HandOver: handOver, Delivery: d.ID, Destination: dst}}
}

// requalify moves one of two jobs on.
func (h *history) requalify(t *rapid.T, i int) {
	id := rapid.SampledFrom([]domain.RequalificationID{"rql_1", "rql_2"}).Draw(t, "job")
	switch rapid.IntRange(0, 5).Draw(t, "step of the job") {
	case 0, 1, 2:
		try(t, h.bundle, domain.StartRequalification{ID: id, Delivery: h.deliveries[i], Count: 3})
	case 3:
		n := rapid.Int64Range(1, 50).Draw(t, "progress")
		try(t, h.bundle, domain.AdvanceRequalification{ID: id, Progress: domain.RequalificationProgress{Number: n, Seen: n, Qualified: 1, Disqualified: 2, Excluded: 3}})
	case 4:
		try(t, h.bundle, domain.EndRequalification{ID: id, Obstacle: rapid.SampledFrom([]domain.Obstacle{"", domain.RulesChanged}).Draw(t, "obstacle")})
	case 5:
		try(t, h.bundle, domain.CancelRequalification{ID: id, Delivery: h.deliveries[i].ID})
	}
}

// erase moves one of two erasures on, and now and then what an organisation keeps for a time.
func (h *history) erase(t *rapid.T, i int) {
	const query = `SELECT position FROM events WHERE type = 'company.qualified' AND data->>'delivery' = $1 ORDER BY position`
	d := h.deliveries[i]
	id := rapid.SampledFrom([]domain.ErasureID{"ers_1", "ers_2"}).Draw(t, "erasure")
	rows, err := h.bundle.pool.Query(context.Background(), query, d.ID)
	require.NoError(t, err)
	positions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	number := rapid.Int64Range(0, int64(len(positions))).Draw(t, "number")
	switch rapid.IntRange(0, 5).Draw(t, "step of the erasure") {
	case 0, 1:
		try(t, h.bundle, domain.StartErasure{ID: id, Organisation: d.Organisation, Subject: domain.ErasureSubject{Company: "comp_1"}})
	case 2:
		try(t, h.bundle, domain.IdentifyErasure{ID: id, Prospects: []string{"p"}})
	case 3:
		if number > 0 {
			try(t, h.bundle, domain.ApplyErasure{ID: id, Found: []domain.ErasureApplied{{Erasure: id, Delivery: d.ID, Organisation: d.Organisation, Erased: []domain.Erased{
				{Position: positions[number-1], Number: number, Prospects: []string{"p"}, InClear: true}, {Prospects: []string{}},
			}}}})
		}
	case 4:
		try(t, h.bundle, domain.EndErasure{ID: id, Counts: domain.ErasureCounts{Prospects: 1, Events: number}})
	case 5:
		try(t, h.bundle, domain.ApplyRetention{Applied: domain.RetentionApplied{
			Organisation: d.Organisation, UpTo: number + 1, Feeds: []domain.RetainedFeed{{Delivery: d.ID, Until: number}},
		}})
	}
}
