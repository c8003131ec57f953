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

// Erasures keeps who was erased from what an organisation was told: a row for each job.
func Erasures() Projection {
	const (
		start = `
			INSERT INTO erasures (id, organisation_id, status, subject, version, started_at)
			VALUES ($1, $2, 'running', $3, $4, $5)`
		identify = `UPDATE erasures SET prospects = $2, version = $3 WHERE id = $1`
		apply    = `UPDATE erasures SET applied = true, events = events + $2, in_clear = in_clear + $3, version = $4 WHERE id = $1`
		end      = `
			UPDATE erasures
			SET status = 'ended', prospects = $2, companies = $3, events = $4, in_clear = $5, version = $6, ended_at = $7
			WHERE id = $1`
	)
	return Projection{
		Name:    "erasures",
		Version: 1,
		Tables:  []string{"erasures"},
		Rest:    atLeisure,
		Types:   types(domain.ErasureStarted{}, domain.ErasureIdentified{}, domain.ErasureApplied{}, domain.ErasureEnded{}),
		Apply: func(batch *pgx.Batch, page []Entry) {
			for _, entry := range page {
				switch e := entry.Event.(type) {
				case domain.ErasureStarted:
					batch.Queue(start, e.Erasure, e.Organisation, e.Subject, entry.Version, entry.RecordedAt)
				case domain.ErasureIdentified:
					batch.Queue(identify, e.Erasure, len(e.Prospects), entry.Version)
				case domain.ErasureApplied:
					batch.Queue(apply, e.Erasure, len(e.Erased), inClear(e.Erased), entry.Version)
				case domain.ErasureEnded:
					c := e.Counts
					batch.Queue(end, e.Erasure, c.Prospects, c.Companies, c.Events, c.InClear, entry.Version, entry.RecordedAt)
				}
			}
		},
	}
}

// inClear returns how many of those were recorded in the clear.
func inClear(erased []domain.Erased) (n int64) {
	for _, e := range erased {
		if e.InClear {
			n++
		}
	}
	return n
}

// An Erasure is a job as customers see it.
type Erasure struct {
	ID           domain.ErasureID
	Organisation domain.OrganisationID
	Status       domain.ErasureStatus
	Subject      domain.ErasureSubject
	Applied      bool
	Counts       domain.ErasureCounts
	Version      eventstore.Version
	StartedAt    time.Time
	EndedAt      *time.Time
}

const erasureColumns = `id, organisation_id, status, subject, applied, prospects, companies, events, in_clear, version, started_at, ended_at`

// scanErasure reads a row of erasureColumns.
func scanErasure(row pgx.CollectableRow) (e Erasure, err error) {
	var subject json.RawMessage
	c := &e.Counts
	err = row.Scan(&e.ID, &e.Organisation, &e.Status, &subject, &e.Applied, &c.Prospects, &c.Companies, &c.Events, &c.InClear, &e.Version,
		&e.StartedAt, &e.EndedAt)
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(subject, &e.Subject)
}

// Erasure returns org's erasure named id, or a NotFound error.
func (v *Views) Erasure(ctx context.Context, org domain.OrganisationID, id domain.ErasureID) (Erasure, error) {
	const query = `SELECT ` + erasureColumns + ` FROM erasures WHERE id = $1 AND organisation_id = $2`
	rows, _ := v.pool.Query(ctx, query, id, org) // CollectExactlyOneRow reports the error
	e, err := pgx.CollectExactlyOneRow(rows, scanErasure)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return e, domain.ErrNoErasure(id)
	case err != nil:
		return e, fmt.Errorf("view erasure %s: %w", id, err)
	}
	return e, nil
}

// Erasures returns a page of org's erasures, newest first.
func (v *Views) Erasures(ctx context.Context, org domain.OrganisationID, page Page) (List[Erasure], error) {
	const (
		count = `SELECT count(*) FROM erasures WHERE organisation_id = $1`
		query = `
			SELECT ` + erasureColumns + `
			FROM erasures
			WHERE organisation_id = $1 AND id < $2
			ORDER BY id DESC
			LIMIT $3 OFFSET $4`
	)
	page.After = cmp.Or(page.After, pastAll)
	return listOf(ctx, v, "erasures", count, query, scanErasure, page, org)
}

// RunningErasures returns up to limit jobs that have not ended, oldest first.
func (v *Views) RunningErasures(ctx context.Context, limit int) ([]domain.ErasureID, error) {
	const query = `SELECT id FROM erasures WHERE status = 'running' ORDER BY id LIMIT $1`
	rows, _ := v.pool.Query(ctx, query, limit) // CollectRows reports the error
	ids, err := pgx.CollectRows(rows, pgx.RowTo[domain.ErasureID])
	if err != nil {
		return nil, fmt.Errorf("view running erasures: %w", err)
	}
	return ids, nil
}
