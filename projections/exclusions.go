package projections

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// applyToExclusions queues what a page of events changes: a row for each exclusion that stands, and how
// many there are. Thousands may come at once. Nothing is decided by it.
func applyToExclusions(batch *pgx.Batch, page []Entry) {
	const (
		remove = `
			WITH gone AS (
				DELETE FROM exclusions x
				USING unnest($1::text[], $2::text[]) AS r(organisation_id, id)
				WHERE x.organisation_id = r.organisation_id AND x.id = r.id
				RETURNING x.organisation_id, x.kind
			)
			UPDATE exclusion_totals t SET total = t.total - g.count
			FROM (SELECT organisation_id, kind, count(*) FROM gone GROUP BY organisation_id, kind) AS g
			WHERE t.organisation_id = g.organisation_id AND t.kind = g.kind`
		add = `
			WITH added AS (
				INSERT INTO exclusions (organisation_id, id, kind, value, reason, position, version, created_at)
				SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::timestamptz[])
				RETURNING organisation_id, kind
			)
			INSERT INTO exclusion_totals AS t (organisation_id, kind, total)
			SELECT organisation_id, kind, count(*) FROM added GROUP BY organisation_id, kind
			ON CONFLICT (organisation_id, kind) DO UPDATE SET total = t.total + EXCLUDED.total`
	)
	page = slices.DeleteFunc(slices.Clone(page), func(entry Entry) bool { return !isExclusion(entry) })
	for len(page) > 0 { // a run of additions, or of removals, after the other
		_, adds := page[0].Event.(domain.ExclusionAdded)
		var c exclusionColumns
		for len(page) > 0 && c.take(page[0], adds) {
			page = page[1:]
		}
		if adds {
			batch.Queue(add, c.organisations, c.ids, c.kinds, c.values, c.reasons, c.positions, c.versions, c.times)
		} else {
			batch.Queue(remove, c.organisations, c.ids)
		}
	}
}

// isExclusion reports whether an event is about one.
func isExclusion(entry Entry) bool {
	switch entry.Event.(type) {
	case domain.ExclusionAdded, domain.ExclusionRemoved:
		return true
	}
	return false
}

// exclusionColumns are exclusions turned on their side, as the statements want them.
type exclusionColumns struct {
	organisations, ids     []string
	kinds, values, reasons []string
	positions, versions    []int64
	times                  []time.Time
}

// take takes an addition, or a removal, and reports whether it is one.
func (c *exclusionColumns) take(entry Entry, adds bool) bool {
	switch e := entry.Event.(type) {
	case domain.ExclusionAdded:
		if !adds {
			return false
		}
		c.organisations, c.ids = append(c.organisations, string(e.Organisation)), append(c.ids, string(e.Exclusion))
		c.kinds, c.values, c.reasons = append(c.kinds, string(e.Kind)), append(c.values, e.Value), append(c.reasons, e.Reason)
		c.positions, c.versions = append(c.positions, int64(entry.Position)), append(c.versions, int64(entry.Version))
		c.times = append(c.times, entry.RecordedAt)
	case domain.ExclusionRemoved:
		if adds {
			return false
		}
		c.organisations, c.ids = append(c.organisations, string(e.Organisation)), append(c.ids, string(e.Exclusion))
	}
	return true
}

// An Exclusion is one that stands, as customers see it.
type Exclusion struct {
	domain.Excluded
	Position  eventstore.Position
	Version   eventstore.Version
	CreatedAt time.Time
}

// Key returns what a list of exclusions goes on after.
func (x Exclusion) Key() string { return strconv.FormatInt(int64(x.Position), 10) }

const exclusionColumnNames = `id, kind, value, reason, position, version, created_at`

// scanExclusion reads a row of exclusionColumnNames.
func scanExclusion(row pgx.CollectableRow) (x Exclusion, err error) {
	err = row.Scan(&x.Exclusion, &x.Kind, &x.Value, &x.Reason, &x.Position, &x.Version, &x.CreatedAt)
	return x, err
}

// Exclusion returns org's exclusion named id, or a NotFound error.
func (v *Views) Exclusion(ctx context.Context, org domain.OrganisationID, id domain.ExclusionID) (Exclusion, error) {
	const query = `SELECT ` + exclusionColumnNames + ` FROM exclusions WHERE organisation_id = $1 AND id = $2`
	rows, _ := v.pool.Query(ctx, query, org, id) // CollectExactlyOneRow reports the error
	x, err := pgx.CollectExactlyOneRow(rows, scanExclusion)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return x, domain.ErrNoExclusion(id)
	case err != nil:
		return x, fmt.Errorf("view exclusion %s: %w", id, err)
	}
	return x, nil
}

// Exclusions returns a page of org's exclusions, newest first; when kind is given, only those of it.
func (v *Views) Exclusions(ctx context.Context, org domain.OrganisationID, kind domain.ExclusionKind, page Page) (List[Exclusion], error) {
	const (
		total = `SELECT coalesce(sum(total), 0)::bigint FROM exclusion_totals WHERE organisation_id = $1`
		query = `
			SELECT ` + exclusionColumnNames + `
			FROM exclusions
			WHERE organisation_id = $1 AND position < $2::text::bigint
			ORDER BY position DESC
			LIMIT $3 OFFSET $4`
		totalOf = `SELECT coalesce((SELECT total FROM exclusion_totals WHERE organisation_id = $1 AND kind = $2), 0)`
		queryOf = `
			SELECT ` + exclusionColumnNames + `
			FROM exclusions
			WHERE organisation_id = $1 AND kind = $2 AND position < $3::text::bigint
			ORDER BY position DESC
			LIMIT $4 OFFSET $5`
	)
	if page.After == "" {
		page.After = strconv.FormatInt(math.MaxInt64, 10)
	}
	if kind == "" {
		return listOf(ctx, v, "exclusions", total, query, scanExclusion, page, org)
	}
	return listOf(ctx, v, "exclusions", totalOf, queryOf, scanExclusion, page, org, kind)
}
