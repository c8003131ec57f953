package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// Dispatches keeps what is owed to whom and what became of it: a row for each dispatch, made
// from a hand-over and the webhook destinations as of its position, and moved on by the
// outcomes of attempts. A row is also made for each destination that is to be told of an operational
// event; see notices.
//
// Events of configuration are entered one by one, in order. Between two of them hand-overs and
// notices are entered as one set, and then outcomes as one set: the former only add rows, the latter
// only change their own, so it comes to the same. What is back-filled makes sets of its own, of as many as follow on one another, since
// numbers rise with positions.
//
// What is owed to a destination that gets one dispatch after the other is marked as ordered, and so
// found by its sequence: in an index that holds nothing else.
func Dispatches() Projection {
	return Projection{
		Name:    "dispatches",
		Version: 2,
		Tables:  []string{"dispatch_deliveries", "dispatch_targets", "dispatches"},
		Late:    []string{"dispatches_of_handover", "dispatches_of_delivery", "dispatches_lost", "dispatches_in_sequence", "dispatches_ordered"},
		Types: types(domain.DeliveryCreated{}, domain.DeliveryPaused{}, domain.DeliveryResumed{}, domain.DeliveryDeleted{},
			domain.DestinationAdded{}, domain.DestinationChanged{}, domain.DestinationRemoved{}, domain.DestinationDisabled{},
			domain.DestinationEnabled{}, domain.DestinationRecovered{}, domain.SigningSecretRotated{},
			domain.CompanyQualified{},
			domain.AttemptSucceeded{}, domain.AttemptFailed{}, domain.DispatchFailed{}, domain.DispatchCancelled{},
			domain.DispatchRetried{}, domain.DispatchBackfilled{}),
		Apply: func(batch *pgx.Batch, page []Entry) {
			var owed handOvers
			var filled backfills
			var moved outcomes
			var felt health
			flush := func() {
				owed.flush(batch)
				filled.flush(batch)
				moved.flush(batch)
				felt.flush(batch)
			}
			for _, entry := range page {
				switch e := entry.Event.(type) {
				case domain.CompanyQualified:
					filled.flush(batch)
					owed.add(entry, e)
				case domain.DispatchBackfilled:
					owed.flush(batch)
					filled.add(entry, e)
				case domain.AttemptSucceeded:
					moved.add(entry, outcome{id: e.Dispatch, status: domain.Delivered, attempts: e.Number})
					felt.of(e.Destination).succeed()
				case domain.AttemptFailed:
					moved.add(entry, outcome{id: e.Dispatch, status: domain.Retrying, attempts: e.Number, due: e.Due})
					felt.of(e.Destination).fail(entry.RecordedAt, e.Event == "")
				case domain.DispatchFailed:
					moved.add(entry, outcome{id: e.Dispatch, status: domain.Failed, attempts: e.Attempts})
					felt.of(e.Destination).exhaust()
					if e.Event == "" { // or one that fails would owe the next, and so on
						filled.flush(batch)
						owed.notices.add(entry, e.Destination)
					}
				case domain.DispatchCancelled:
					moved.add(entry, outcome{id: e.Dispatch, status: domain.Cancelled})
				case domain.DispatchRetried:
					moved.add(entry, outcome{
						id: e.Dispatch, status: domain.Pending, attempts: e.Attempts, due: &entry.RecordedAt, retry: &retry{e.Attempts, e.Replay != ""},
					})
				default:
					flush()
					applyToTargets(batch, entry)
					switch e := entry.Event.(type) {
					case domain.DestinationDisabled:
						owed.notices.add(entry, e.Destination)
					case domain.DestinationRecovered:
						owed.notices.add(entry, e.Destination)
					}
				}
			}
			flush()
		},
	}
}

// applyToTargets queues what an event of configuration changes.
func applyToTargets(batch *pgx.Batch, entry Entry) {
	const (
		create = `INSERT INTO dispatch_deliveries (delivery_id, organisation_id, paused) VALUES ($1, $2, $3)`
		pause  = `UPDATE dispatch_deliveries SET paused = $2 WHERE delivery_id = $1`
		add    = `
			INSERT INTO dispatch_targets (destination_id, delivery_id, organisation_id, config, version)
			VALUES ($1, $2, (SELECT organisation_id FROM dispatch_deliveries WHERE delivery_id = $2), $3, $4)`
		reorder = `
			UPDATE dispatches SET ordered = $2
			WHERE destination_id = $1 AND due IS NOT NULL AND (SELECT ordered FROM dispatch_targets WHERE destination_id = $1) <> $2`
		change  = `UPDATE dispatch_targets SET config = $2, version = $3, disabled = false` + anew + ` WHERE destination_id = $1`
		disable = `
			UPDATE dispatch_targets
			SET disabled = true, given_up = $2, mended = false, broken_since = coalesce(broken_since, CASE WHEN missed THEN failing_since END)
			WHERE destination_id = $1`
		mend   = `UPDATE dispatch_targets SET broken_since = ` + broken + ` WHERE destination_id = $1`
		enable = `UPDATE dispatch_targets SET disabled = false` + anew + ` WHERE destination_id = $1`
		rotate = `UPDATE dispatch_targets SET config = ` + withSigning + `, version = $3 WHERE destination_id = $1`
		remove = `UPDATE dispatch_targets SET removed = true WHERE destination_id = $1 OR delivery_id = $1`
		cancel = `
			WITH gone AS (
				UPDATE dispatches SET status = 'cancelled', due = NULL, settled_at = $2
				WHERE due IS NOT NULL
					AND destination_id IN (SELECT destination_id FROM dispatch_targets WHERE destination_id = $1 OR delivery_id = $1)
				RETURNING destination_id, attempts, base
			)
			UPDATE dispatch_targets t
			SET pending = t.pending - g.pending, retrying = t.retrying - g.retrying, cancelled = t.cancelled + g.pending + g.retrying
			FROM (
				SELECT destination_id, count(*) FILTER (WHERE attempts = base) AS pending, count(*) FILTER (WHERE attempts > base) AS retrying
				FROM gone
				GROUP BY destination_id
			) AS g
			WHERE t.destination_id = g.destination_id`
	)
	switch e := entry.Event.(type) {
	case domain.DeliveryCreated:
		batch.Queue(create, e.Delivery, e.Organisation, e.Status == domain.Paused)
	case domain.DeliveryPaused:
		batch.Queue(pause, e.Delivery, true)
	case domain.DeliveryResumed:
		batch.Queue(pause, e.Delivery, false)
	case domain.DeliveryDeleted:
		batch.Queue(remove, e.Delivery)
		batch.Queue(cancel, e.Delivery, entry.RecordedAt)
	case domain.DestinationAdded:
		if e.Destination.Type == domain.Webhook {
			batch.Queue(add, e.Destination.ID, e.Delivery, e.Destination, entry.Version)
		}
	case domain.DestinationChanged:
		batch.Queue(reorder, e.Destination.ID, e.Destination.Ordered)
		batch.Queue(change, e.Destination.ID, e.Destination, entry.Version)
	case domain.DestinationDisabled:
		batch.Queue(disable, e.Destination, e.FailingSince)
	case domain.DestinationEnabled:
		batch.Queue(enable, e.Destination)
	case domain.DestinationRecovered:
		batch.Queue(mend, e.Destination)
	case domain.SigningSecretRotated:
		batch.Queue(rotate, e.Destination, signingOf(e), entry.Version)
	case domain.DestinationRemoved:
		batch.Queue(remove, e.Destination)
		batch.Queue(cancel, e.Destination, entry.RecordedAt)
	}
}

// handOvers are a run of them, turned on their side, with the notices of the run.
type handOvers struct {
	positions       []int64
	due             []time.Time
	ids, deliveries []string
	notices         notices
}

// add adds a hand-over to the run.
func (h *handOvers) add(entry Entry, e domain.CompanyQualified) {
	h.positions = append(h.positions, int64(entry.Position))
	h.due = append(h.due, e.OwedSince(entry.RecordedAt))
	h.ids = append(h.ids, string(e.HandOver))
	h.deliveries = append(h.deliveries, string(e.Delivery))
}

// dispatchID is [domain.DispatchIDFor] in SQL.
const dispatchID = `'dsp_' || substr(split_part(handover_id, '_', 2), 1, 10)
						|| substr(encode(sha256(convert_to(handover_id || '/' || destination_id, 'UTF8')), 'hex'), 1, 20)`

// flush queues the dispatches that the run owes, and begins another.
func (h *handOvers) flush(batch *pgx.Batch) {
	const (
		companies = `
				SELECT p.position, p.due, p.handover_id, NULL AS event, t.destination_id, t.delivery_id, t.ordered, t.last_sequence,
					` + dispatchID + ` AS id
				FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[]) AS p(position, due, handover_id, delivery_id)
				JOIN dispatch_targets t ON t.delivery_id = p.delivery_id AND NOT t.removed AND t.companies`
		begin = `
		WITH owed AS (
			SELECT *, last_sequence + row_number() OVER (PARTITION BY destination_id ORDER BY position) AS sequence
			FROM (`
		end = `
			) AS told
		),
		inserted AS (
			INSERT INTO dispatches (id, sequence, position, due, ordered, destination_id, delivery_id, handover_id, event)
			SELECT id, sequence, position, due, ordered, destination_id, delivery_id, handover_id, event
			FROM owed
			ORDER BY position, destination_id
		)
		UPDATE dispatch_targets t
		SET last_sequence = t.last_sequence + o.count, pending = t.pending + o.count
		FROM (SELECT destination_id, count(*) FROM owed GROUP BY destination_id) AS o
		WHERE t.destination_id = o.destination_id`
		owe     = begin + companies + end
		oweBoth = begin + companies + `
				UNION ALL` + told + end
	)
	switch n := h.notices; {
	case len(n.positions) > 0:
		batch.Queue(oweBoth, h.positions, h.due, h.ids, h.deliveries, n.positions, n.due, n.events, n.about)
	case len(h.ids) > 0:
		batch.Queue(owe, h.positions, h.due, h.ids, h.deliveries)
	}
	*h = handOvers{}
}

// companyStatus is the status of company c over all of its dispatches. What is still under
// way comes first, then what went wrong. Without a dispatch there is nothing to push; but
// none is known yet of companies that the dispatches' follower has not come to.
const companyStatus = `(
	SELECT CASE
		WHEN count(*) = 0 AND c.position <= (SELECT k.position FROM cursors k WHERE k.name = 'dispatches') THEN 'delivered'
		WHEN count(*) = 0 THEN 'pending'
		WHEN bool_or(d.status = 'retrying' AND NOT held) THEN 'retrying'
		WHEN bool_or(d.status = 'pending' AND NOT held) THEN 'pending'
		WHEN bool_or(d.due IS NOT NULL) THEN 'held'
		WHEN bool_or(d.status = 'failed') THEN 'failed'
		WHEN bool_or(d.status = 'delivered') THEN 'delivered'
		ELSE 'cancelled'
	END
	FROM dispatches d
	JOIN dispatch_targets t ON t.destination_id = d.destination_id
	JOIN dispatch_deliveries v ON v.delivery_id = d.delivery_id
	CROSS JOIN LATERAL (SELECT v.paused OR t.disabled AS held) AS h
	WHERE d.handover_id = c.handover_id
)`

// Counts are numbers of dispatches by status.
type Counts map[domain.DispatchStatus]int64

// Counts returns the numbers of a delivery's dispatches, with a number for each status.
func (v *Views) Counts(ctx context.Context, delivery domain.DeliveryID) (Counts, error) {
	const query = `
		SELECT
			coalesce(sum(t.pending) FILTER (WHERE NOT held), 0)::bigint,
			coalesce(sum(t.retrying) FILTER (WHERE NOT held), 0)::bigint,
			coalesce(sum(t.pending + t.retrying) FILTER (WHERE held), 0)::bigint,
			coalesce(sum(t.delivered), 0)::bigint, coalesce(sum(t.failed), 0)::bigint, coalesce(sum(t.cancelled), 0)::bigint
		FROM dispatch_targets t
		JOIN dispatch_deliveries v USING (delivery_id)
		CROSS JOIN LATERAL (SELECT v.paused OR t.disabled AS held) AS h
		WHERE t.delivery_id = $1`
	var pending, retrying, held, delivered, failed, cancelled int64
	if err := v.pool.QueryRow(ctx, query, delivery).Scan(&pending, &retrying, &held, &delivered, &failed, &cancelled); err != nil {
		return nil, fmt.Errorf("count dispatches of %s: %w", delivery, err)
	}
	return Counts{
		domain.Pending: pending, domain.Retrying: retrying, domain.Held: held,
		domain.Delivered: delivered, domain.Failed: failed, domain.Cancelled: cancelled,
	}, nil
}

// A Dispatch is the way of one hand-over, or operational event, to one destination.
type Dispatch struct {
	ID          domain.DispatchID     `db:"id"`
	Sequence    int64                 `db:"sequence"`
	Position    eventstore.Position   `db:"position"` // where it came to be owed
	Source      eventstore.Position   `db:"source"`   // of what it tells of
	Status      domain.DispatchStatus `db:"status"`
	Attempts    int                   `db:"attempts"`
	Due         *time.Time            `db:"due"`
	SettledAt   *time.Time            `db:"settled_at"`
	Version     eventstore.Version    `db:"version"`
	Destination domain.DestinationID  `db:"destination_id"`
	Delivery    domain.DeliveryID     `db:"delivery_id"`
	HandOver    domain.HandOverID     `db:"handover_id"` // empty: it tells of an operational event
	Event       domain.WebhookEvent   `db:"event"`
}

// Dispatch returns the dispatch named id, or a NotFound error.
func (v *Views) Dispatch(ctx context.Context, id domain.DispatchID) (Dispatch, error) {
	const query = `SELECT ` + dispatchColumns + dispatchTables + `
		WHERE d.id = $1`
	rows, _ := v.pool.Query(ctx, query, id) // CollectExactlyOneRow reports the error
	d, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Dispatch])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return d, domain.Errorf(domain.NotFound, "DISPATCH_NOT_FOUND", "there is no dispatch %s", id)
	case err != nil:
		return d, fmt.Errorf("view dispatch %s: %w", id, err)
	}
	return d, nil
}
