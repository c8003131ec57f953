package projections

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
)

// An outcome is what the last event about a dispatch makes of it.
type outcome struct {
	id       domain.DispatchID
	status   domain.DispatchStatus
	attempts int // 0: as many as before
	due      *time.Time
	retry    *retry // the last of the run; nil: nobody asked for one
	version  int64
	at       time.Time
}

// A retry is what is kept of somebody's asking for one.
type retry struct {
	base     int
	replayed bool // by a job
}

// outcomes are a run of them, one for each dispatch.
type outcomes struct {
	order []domain.DispatchID
	last  map[domain.DispatchID]outcome
}

// add adds what an event makes of a dispatch to the run.
func (o *outcomes) add(entry Entry, made outcome) {
	if o.last == nil {
		o.last = map[domain.DispatchID]outcome{}
	}
	before, ok := o.last[made.id]
	if !ok {
		o.order = append(o.order, made.id)
	}
	made.version, made.at, made.attempts = int64(entry.Version), entry.RecordedAt, max(made.attempts, before.attempts)
	if made.retry == nil {
		made.retry = before.retry
	}
	o.last[made.id] = made
}

// flush queues the changes of the run, and begins another. A dispatch that was cancelled
// with its destination while an attempt was under way stays so, unless the attempt succeeded; one
// that was retried since then had a destination. One that had ended knows nothing of how its
// destination was changed since; once it is retried, it is held to the order that stands.
func (o *outcomes) flush(batch *pgx.Batch) {
	const move = `
		WITH moved AS (
			SELECT d.id, d.destination_id, d.status AS old,
				CASE WHEN d.status = 'cancelled' AND m.status <> 'delivered' AND m.base IS NULL THEN d.status ELSE m.status END AS new,
				m.version, m.due, m.at, greatest(m.attempts, d.attempts) AS attempts, d.settled_at,
				m.base IS NOT NULL AS retried, coalesce(m.base, d.base) AS base, coalesce(m.replayed, d.replayed) AS replayed
			FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::int[], $8::boolean[])
				AS m(id, status, version, attempts, due, at, base, replayed)
			JOIN dispatches d ON d.id = m.id
		),
		updated AS (
			UPDATE dispatches d
			SET status = m.new, version = m.version, attempts = m.attempts,
				base = m.base, replayed = m.replayed,
				ordered = CASE WHEN m.retried THEN (SELECT t.ordered FROM dispatch_targets t WHERE t.destination_id = d.destination_id) ELSE d.ordered END,
				due = CASE WHEN m.new IN ('pending', 'retrying') THEN m.due END,
				settled_at = CASE WHEN m.new IN ('pending', 'retrying') THEN NULL WHEN m.new = m.old AND NOT m.retried THEN m.settled_at ELSE m.at END
			FROM moved m
			WHERE d.id = m.id
		)
		UPDATE dispatch_targets t
		SET pending = t.pending + c.pending, retrying = t.retrying + c.retrying, delivered = t.delivered + c.delivered,
			failed = t.failed + c.failed, cancelled = t.cancelled + c.cancelled
		FROM (
			SELECT destination_id,
				count(*) FILTER (WHERE new = 'pending') - count(*) FILTER (WHERE old = 'pending') AS pending,
				count(*) FILTER (WHERE new = 'retrying') - count(*) FILTER (WHERE old = 'retrying') AS retrying,
				count(*) FILTER (WHERE new = 'delivered') - count(*) FILTER (WHERE old = 'delivered') AS delivered,
				count(*) FILTER (WHERE new = 'failed') - count(*) FILTER (WHERE old = 'failed') AS failed,
				count(*) FILTER (WHERE new = 'cancelled') - count(*) FILTER (WHERE old = 'cancelled') AS cancelled
			FROM moved
			GROUP BY destination_id
		) AS c
		WHERE t.destination_id = c.destination_id`
	if n := len(o.order); n > 0 {
		ids, statuses := make([]string, n), make([]string, n)
		versions, attempts := make([]int64, n), make([]int32, n)
		due, at := make([]*time.Time, n), make([]time.Time, n)
		bases, replayed := make([]*int32, n), make([]*bool, n)
		for i, id := range o.order {
			last := o.last[id]
			ids[i], statuses[i], versions[i], attempts[i] = string(id), string(last.status), last.version, int32(last.attempts)
			due[i], at[i] = last.due, last.at
			if last.retry != nil {
				bases[i], replayed[i] = new(int32(last.retry.base)), &last.retry.replayed
			}
		}
		batch.Queue(move, ids, statuses, versions, attempts, due, at, bases, replayed)
	}
	*o = outcomes{}
}
