package apikey

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

// Organisations returns a page of all organisations, oldest first.
func (k *Keys) Organisations(ctx context.Context, p projections.Page) (projections.List[Organisation], error) {
	const count = `SELECT count(*) FROM organisations`
	const query = `SELECT ` + organisationColumns + ` FROM organisations WHERE id > $1 ORDER BY id LIMIT $2 OFFSET $3`
	var list projections.List[Organisation]
	if err := k.pool.QueryRow(ctx, count).Scan(&list.Total); err != nil {
		return list, fmt.Errorf("count organisations: %w", err)
	}
	rows, _ := k.pool.Query(ctx, query, p.After, p.Limit+1, p.Offset) // CollectRows reports the error
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[Organisation])
	if err != nil {
		return list, fmt.Errorf("list organisations: %w", err)
	}
	list.More = len(items) > p.Limit
	list.Items = items[:min(len(items), p.Limit)]
	return list, nil
}

// Key returns the key of that ID, whether it is active or not, and false when there is none.
func (k *Keys) Key(ctx context.Context, id string) (Key, bool, error) {
	const query = `SELECT ` + columns + ` FROM api_keys WHERE id = $1`
	rows, _ := k.pool.Query(ctx, query, id) // one reports the error
	key, ok, err := one[Key](rows)
	if err != nil {
		return key, false, fmt.Errorf("read key %s: %w", id, err)
	}
	return key, ok, nil
}

// List returns an organisation's keys, also those that are no longer active, oldest first.
func (k *Keys) List(ctx context.Context, org domain.OrganisationID) ([]Key, error) {
	list, err := k.Page(ctx, org, projections.Page{Limit: math.MaxInt32})
	return list.Items, err
}

// Page returns a page of what List returns.
func (k *Keys) Page(ctx context.Context, org domain.OrganisationID, p projections.Page) (projections.List[Key], error) {
	const count = `SELECT count(*) FROM api_keys WHERE organisation_id = $1`
	const query = `SELECT ` + columns + ` FROM api_keys WHERE organisation_id = $1 AND id > $2 ORDER BY id LIMIT $3 OFFSET $4`
	var list projections.List[Key]
	if err := k.pool.QueryRow(ctx, count, org).Scan(&list.Total); err != nil {
		return list, fmt.Errorf("count keys of %s: %w", org, err)
	}
	rows, _ := k.pool.Query(ctx, query, org, p.After, p.Limit+1, p.Offset) // CollectRows reports the error
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[Key])
	if err != nil {
		return list, fmt.Errorf("list keys of %s: %w", org, err)
	}
	list.More = len(items) > p.Limit
	list.Items = items[:min(len(items), p.Limit)]
	return list, nil
}
