package projections

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// Replays keeps the jobs that have dispatches attempted again, or back-filled: a row for each. How many it has
// asked for is counted from the dispatches' own events, so that it is right wherever a job was
// interrupted.
func Replays() Projection {
	const (
		start = `
			INSERT INTO replays (id, delivery_id, status, backfill, filter, count, version, started_at)
			VALUES ($1, $2, 'running', $3, $4, $5, $6, $7)`
		touch = `UPDATE replays SET version = $2 WHERE id = $1`
		end   = `UPDATE replays SET status = $2, version = $3, ended_at = $4 WHERE id = $1`
		count = `
			UPDATE replays r SET replayed = r.replayed + c.count
			FROM unnest($1::text[], $2::bigint[]) AS c(id, count)
			WHERE r.id = c.id`
	)
	return Projection{
		Name:    "replays",
		Version: 2,
		Tables:  []string{"replays"},
		Types: types(domain.ReplayStarted{}, domain.ReplayAdvanced{}, domain.ReplayEnded{}, domain.ReplayCancelled{},
			domain.DispatchRetried{}, domain.BackfillStarted{}, domain.DispatchBackfilled{}),
		Rest: atLeisure,
		Apply: func(batch *pgx.Batch, page []Entry) {
			var ids []string
			var counts []int64
			places := map[domain.ReplayID]int{}
			begin := func(entry Entry, job domain.Replay, found int64) {
				batch.Queue(start, job.ID, job.Delivery, job.Backfill, job.Filter, found, entry.Version, entry.RecordedAt)
				if place, known := places[job.ID]; known { // of none that was started
					counts[place] = 0
				}
			}
			asked := func(id domain.ReplayID) {
				place, known := places[id]
				if !known {
					place = len(ids)
					places[id] = place
					ids, counts = append(ids, string(id)), append(counts, 0)
				}
				counts[place]++
			}
			for _, entry := range page {
				switch e := entry.Event.(type) {
				case domain.ReplayStarted:
					begin(entry, domain.Replay{}.Evolve(e), e.Count)
				case domain.BackfillStarted:
					begin(entry, domain.Replay{}.Evolve(e), e.Count)
				case domain.ReplayAdvanced:
					batch.Queue(touch, e.Replay, entry.Version)
				case domain.ReplayEnded:
					batch.Queue(end, e.Replay, domain.ReplayDone, entry.Version, entry.RecordedAt)
				case domain.ReplayCancelled:
					batch.Queue(end, e.Replay, domain.ReplayCalledOff, entry.Version, entry.RecordedAt)
				case domain.DispatchRetried:
					if e.Replay != "" {
						asked(e.Replay)
					}
				case domain.DispatchBackfilled:
					asked(e.Replay)
				}
			}
			if len(ids) > 0 {
				batch.Queue(count, ids, counts)
			}
		},
	}
}

// A Replay is a job as customers see it.
type Replay struct {
	ID        domain.ReplayID     `db:"id"`
	Delivery  domain.DeliveryID   `db:"delivery_id"`
	Status    domain.ReplayStatus `db:"status"`
	Backfill  bool                `db:"backfill"` // it made dispatches to the filter's destination
	Filter    domain.ReplayFilter `db:"-"`
	Count     int64               `db:"count"`    // of dispatches, or companies, found when it was started
	Replayed  int64               `db:"replayed"` // of those that it has asked for
	Version   eventstore.Version  `db:"version"`
	StartedAt time.Time           `db:"started_at"`
	EndedAt   *time.Time          `db:"ended_at"`
}

const replayColumns = `id, delivery_id, status, backfill, filter, count, replayed, version, started_at, ended_at`

// scanReplay reads a row of replayColumns.
func scanReplay(row pgx.CollectableRow) (r Replay, err error) {
	var filter json.RawMessage
	if err := row.Scan(&r.ID, &r.Delivery, &r.Status, &r.Backfill, &filter, &r.Count, &r.Replayed, &r.Version, &r.StartedAt, &r.EndedAt); err != nil {
		return r, err
	}
	return r, json.Unmarshal(filter, &r.Filter)
}

// Replay returns a delivery's replay named id, or a NotFound error.
func (v *Views) Replay(ctx context.Context, delivery domain.DeliveryID, id domain.ReplayID) (Replay, error) {
	const query = `SELECT ` + replayColumns + ` FROM replays WHERE id = $1 AND delivery_id = $2`
	rows, _ := v.pool.Query(ctx, query, id, delivery) // CollectExactlyOneRow reports the error
	r, err := pgx.CollectExactlyOneRow(rows, scanReplay)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return r, domain.Errorf(domain.NotFound, "ENTITY_NOT_FOUND", "there is no replay %s", id)
	case err != nil:
		return r, fmt.Errorf("view replay %s: %w", id, err)
	}
	return r, nil
}

// Replays returns a page of a delivery's replays, newest first.
func (v *Views) Replays(ctx context.Context, delivery domain.DeliveryID, page Page) (List[Replay], error) {
	const (
		count = `SELECT count(*) FROM replays WHERE delivery_id = $1`
		query = `
			SELECT ` + replayColumns + `
			FROM replays
			WHERE delivery_id = $1 AND id < $2
			ORDER BY id DESC
			LIMIT $3 OFFSET $4`
	)
	page.After = cmp.Or(page.After, pastAll)
	return listOf(ctx, v, "replays", count, query, scanReplay, page, delivery)
}

// RunningReplays returns up to limit jobs that have not ended, oldest first.
func (v *Views) RunningReplays(ctx context.Context, limit int) ([]domain.ReplayID, error) {
	const query = `SELECT id FROM replays WHERE status = 'running' ORDER BY id LIMIT $1`
	rows, _ := v.pool.Query(ctx, query, limit) // CollectRows reports the error
	ids, err := pgx.CollectRows(rows, pgx.RowTo[domain.ReplayID])
	if err != nil {
		return nil, fmt.Errorf("view running replays: %w", err)
	}
	return ids, nil
}

// ended are the conditions of a status that a dispatch can end with; see having.
var ended = map[domain.DispatchStatus]string{
	"":               ` AND d.status IN ('delivered', 'failed', 'cancelled')`,
	domain.Delivered: ` AND d.status = 'delivered'`,
	domain.Failed:    ` AND d.status = 'failed'`,
	domain.Cancelled: ` AND d.status = 'cancelled'`,
}

// endedFrom selects the dispatches of a filter that have ended, and whose destination still is. Those of one hand-over
// are few, and found by it.
func (f DispatchFilter) endedFrom() string {
	of := ` AND $6::text = ''`
	if f.HandOver != "" {
		of = ` AND d.handover_id = $6`
	}
	return `
		FROM dispatches d
		JOIN dispatch_targets t USING (destination_id)
		WHERE d.delivery_id = $1 AND ($2 = '' OR d.destination_id = $2) AND d.position > $3 AND d.position <= $4
			AND NOT t.removed AND d.settled_at >= coalesce($5, '-infinity'::timestamptz)` + of + ended[f.Status]
}

// args are the parameters of endedFrom.
func (f DispatchFilter) args(more ...any) []any {
	upTo := f.UpTo
	if upTo == 0 {
		upTo = math.MaxInt64
	}
	return append([]any{f.Delivery, f.Destination, f.After, upTo, f.EndedSince, f.HandOver}, more...)
}

// CountEnded returns how many dispatches of a filter have ended and could be attempted again. The
// database counts them; each costs it an entry of an index, unless they are of one hand-over.
func (v *Views) CountEnded(ctx context.Context, filter DispatchFilter) (n int64, err error) {
	if err := v.pool.QueryRow(ctx, `SELECT count(*)`+filter.endedFrom(), filter.args()...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count ended dispatches of %s: %w", filter.Delivery, err)
	}
	return n, nil
}

// An Ended is a dispatch that has ended.
type Ended struct {
	ID          domain.DispatchID    `db:"id"`
	Position    int64                `db:"position"` // of its hand-over
	Destination domain.DestinationID `db:"destination_id"`
}

// Place returns the place of a replay that has seen to the dispatch.
func (e Ended) Place() domain.ReplayPlace {
	return domain.ReplayPlace{Position: e.Position, Dispatch: e.ID}
}

// EndedAfter returns up to limit dispatches of a filter that have ended, the oldest hand-overs after
// a place first.
func (v *Views) EndedAfter(ctx context.Context, filter DispatchFilter, place domain.ReplayPlace, limit int) ([]Ended, error) {
	query := `
		SELECT d.id, d.position, d.destination_id` + filter.endedFrom() + `
			AND d.position >= $7 AND (d.position, d.id) > ($7, $8)
		ORDER BY d.position, d.id
		LIMIT $9`
	rows, _ := v.pool.Query(ctx, query, filter.args(place.Position, place.Dispatch, limit)...) // CollectRows reports the error
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[Ended])
	if err != nil {
		return nil, fmt.Errorf("view ended dispatches of %s: %w", filter.Delivery, err)
	}
	return found, nil
}

// Replaying returns how many of a delivery's replayed dispatches wait to be attempted now, up to
// most, but for those that are held with a disabled destination.
func (v *Views) Replaying(ctx context.Context, delivery domain.DeliveryID, most int) (n int, err error) {
	const query = `
		SELECT count(*)
		FROM (
			SELECT FROM dispatch_targets t
			CROSS JOIN LATERAL (
				SELECT FROM dispatches d
				WHERE d.destination_id = t.destination_id AND d.lane = 2 AND d.due <= now()
				LIMIT $2
			) AS d
			WHERE t.delivery_id = $1 AND NOT t.removed AND NOT t.disabled
			LIMIT $2
		) AS waiting`
	if err := v.pool.QueryRow(ctx, query, delivery, most).Scan(&n); err != nil {
		return 0, fmt.Errorf("count replayed dispatches of %s: %w", delivery, err)
	}
	return n, nil
}
