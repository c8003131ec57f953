package projections

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// Requalifications keeps the jobs that judge recorded companies again: a row for each.
func Requalifications() Projection {
	const (
		start = `
			INSERT INTO requalifications (id, delivery_id, status, filter, profile_version, count, version, started_at)
			VALUES ($1, $2, 'running', $3, $4, $5, $6, $7)`
		advance = `
			UPDATE requalifications
			SET seen = $2, qualified = $3, disqualified = $4, excluded = $5, version = $6
			WHERE id = $1`
		end = `UPDATE requalifications SET status = $2, obstacle = $3, version = $4, ended_at = $5 WHERE id = $1`
	)
	return Projection{
		Name:    "requalifications",
		Version: 1,
		Tables:  []string{"requalifications"},
		Rest:    atLeisure,
		Types: types(domain.RequalificationStarted{}, domain.RequalificationAdvanced{}, domain.RequalificationEnded{},
			domain.RequalificationCancelled{}),
		Apply: func(batch *pgx.Batch, page []Entry) {
			for _, entry := range page {
				switch e := entry.Event.(type) {
				case domain.RequalificationStarted:
					batch.Queue(start, e.Requalification, e.Delivery, e.Filter, e.Profile, e.Count, entry.Version, entry.RecordedAt)
				case domain.RequalificationAdvanced:
					p := e.Progress
					batch.Queue(advance, e.Requalification, p.Seen, p.Qualified, p.Disqualified, p.Excluded, entry.Version)
				case domain.RequalificationEnded:
					batch.Queue(end, e.Requalification, e.Status(), e.Obstacle, entry.Version, entry.RecordedAt)
				case domain.RequalificationCancelled:
					batch.Queue(end, e.Requalification, domain.RequalificationCalledOff, "", entry.Version, entry.RecordedAt)
				}
			}
		},
	}
}

// A Requalification is a job as customers see it.
type Requalification struct {
	ID        domain.RequalificationID
	Delivery  domain.DeliveryID
	Status    domain.RequalificationStatus
	Obstacle  domain.Obstacle
	Filter    domain.RequalificationFilter
	Profile   int64
	Count     int64 // of disqualifications found when it was started
	Progress  domain.RequalificationProgress
	Version   eventstore.Version
	StartedAt time.Time
	EndedAt   *time.Time
}

const requalificationColumns = `id, delivery_id, status, obstacle, filter, profile_version, count, seen, qualified, disqualified, excluded, version,
	started_at, ended_at`

// scanRequalification reads a row of requalificationColumns.
func scanRequalification(row pgx.CollectableRow) (r Requalification, err error) {
	var filter json.RawMessage
	p := &r.Progress
	err = row.Scan(&r.ID, &r.Delivery, &r.Status, &r.Obstacle, &filter, &r.Profile, &r.Count, &p.Seen, &p.Qualified, &p.Disqualified, &p.Excluded,
		&r.Version, &r.StartedAt, &r.EndedAt)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(filter, &r.Filter)
}

// Requalification returns a delivery's requalification named id, or a NotFound error.
func (v *Views) Requalification(ctx context.Context, delivery domain.DeliveryID, id domain.RequalificationID) (Requalification, error) {
	const query = `SELECT ` + requalificationColumns + ` FROM requalifications WHERE id = $1 AND delivery_id = $2`
	rows, _ := v.pool.Query(ctx, query, id, delivery) // CollectExactlyOneRow reports the error
	r, err := pgx.CollectExactlyOneRow(rows, scanRequalification)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return r, domain.ErrNoRequalification(id)
	case err != nil:
		return r, fmt.Errorf("view requalification %s: %w", id, err)
	}
	return r, nil
}

// Requalifications returns a page of a delivery's requalifications, newest first.
func (v *Views) Requalifications(ctx context.Context, delivery domain.DeliveryID, page Page) (List[Requalification], error) {
	const (
		count = `SELECT count(*) FROM requalifications WHERE delivery_id = $1`
		query = `
			SELECT ` + requalificationColumns + `
			FROM requalifications
			WHERE delivery_id = $1 AND id < $2
			ORDER BY id DESC
			LIMIT $3 OFFSET $4`
	)
	page.After = cmp.Or(page.After, pastAll)
	return listOf(ctx, v, "requalifications", count, query, scanRequalification, page, delivery)
}

// RunningRequalifications returns up to limit jobs that have not ended, oldest first.
func (v *Views) RunningRequalifications(ctx context.Context, limit int) ([]domain.RequalificationID, error) {
	const query = `SELECT id FROM requalifications WHERE status = 'running' ORDER BY id LIMIT $1`
	rows, _ := v.pool.Query(ctx, query, limit) // CollectRows reports the error
	ids, err := pgx.CollectRows(rows, pgx.RowTo[domain.RequalificationID])
	if err != nil {
		return nil, fmt.Errorf("view running requalifications: %w", err)
	}
	return ids, nil
}
