package projections

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
)

// leaveTotals and joinTotals take delivery $1, as its row is, out of what is kept of its search and
// its organisation, and enter it. Between the two its row may change.
const (
	leaveTotals = `
		WITH gone AS (
			SELECT organisation_id, prospect_search_id, (status = 'active')::int AS active, (status <> 'active')::int AS paused
			FROM deliveries
			WHERE id = $1
		),
		ended AS (
			DELETE FROM searches s
			USING gone g
			WHERE s.organisation_id = g.organisation_id AND s.prospect_search_id = g.prospect_search_id AND s.active + s.paused = 1
			RETURNING s.organisation_id
		),
		smaller AS (
			UPDATE searches s
			SET active = s.active - g.active, paused = s.paused - g.paused, oldest = (
					SELECT min(d.id) FROM deliveries d
					WHERE d.organisation_id = g.organisation_id AND d.prospect_search_id = g.prospect_search_id AND d.id <> $1
				)
			FROM gone g
			WHERE s.organisation_id = g.organisation_id AND s.prospect_search_id = g.prospect_search_id AND s.active + s.paused > 1
		)
		UPDATE delivery_totals t
		SET active = t.active - g.active, paused = t.paused - g.paused, searches = t.searches - (SELECT count(*) FROM ended)
		FROM gone g
		WHERE t.organisation_id = g.organisation_id`
	joinTotals = `
		WITH come AS (
			SELECT organisation_id, prospect_search_id, id, (status = 'active')::int AS active, (status <> 'active')::int AS paused
			FROM deliveries
			WHERE id = $1
		),
		larger AS (
			INSERT INTO searches AS s (organisation_id, prospect_search_id, oldest, active, paused)
			SELECT organisation_id, prospect_search_id, id, active, paused
			FROM come
			ON CONFLICT (organisation_id, prospect_search_id) DO UPDATE
			SET oldest = least(s.oldest, excluded.oldest), active = s.active + excluded.active, paused = s.paused + excluded.paused
			RETURNING s.active + s.paused AS deliveries
		)
		INSERT INTO delivery_totals AS t (organisation_id, active, paused, searches)
		SELECT organisation_id, active, paused, (SELECT count(*) FROM larger WHERE deliveries = 1)
		FROM come
		ON CONFLICT (organisation_id) DO UPDATE
		SET active = t.active + excluded.active, paused = t.paused + excluded.paused, searches = t.searches + excluded.searches`
)

// A Search is a prospect search that deliveries are bound to.
type Search struct {
	ID     domain.SearchID       `db:"id"`
	Name   string                `db:"name"`   // of the oldest delivery bound to it
	Status domain.DeliveryStatus `db:"status"` // active while one of them is
	Oldest domain.DeliveryID     `db:"oldest"` // of them, by which searches are listed
}

// Searches returns a page of the prospect searches that org's deliveries are bound to, the one
// with the oldest delivery first.
func (v *Views) Searches(ctx context.Context, org domain.OrganisationID, page Page) (List[Search], error) {
	const (
		total = `SELECT coalesce((SELECT searches FROM delivery_totals WHERE organisation_id = $1), 0)`
		query = `
			SELECT id, (SELECT d.name FROM deliveries d WHERE d.id = s.oldest) AS name, status, oldest
			FROM (
				SELECT prospect_search_id AS id, CASE WHEN active > 0 THEN 'active' ELSE 'paused' END AS status, oldest
				FROM searches
				WHERE organisation_id = $1 AND oldest > $2
				ORDER BY oldest
				LIMIT $3 OFFSET $4
			) AS s
			ORDER BY oldest`
	)
	return listOf(ctx, v, "prospect searches", total, query, pgx.RowToStructByName[Search], page, org)
}
