package projections

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Views reads the projections. It is safe for concurrent use.
type Views struct{ pool *pgxpool.Pool }

// NewViews returns views of the projections in pool's database.
func NewViews(pool *pgxpool.Pool) *Views { return &Views{pool: pool} }

// A Page says which part of a list is wanted.
type Page struct {
	Limit  int
	Offset int64  // items to skip
	After  string // only items after the one of this key; empty: from the start
}

// pastAll sorts after every ID: a list that falls goes on after it from the start. With a plain
// comparison, also a plan for any parameters finds the begin of a page in the index.
const pastAll = "\U0010FFFF"

// A List is a page of a list.
type List[T any] struct {
	Items []T
	Total int64 // of the whole list
	Least bool  // whether Total is no more than the least that it can be
	More  bool  // whether it goes on after the page
}

// listOf returns a page of what query selects, whose last three parameters are the key to go
// on after, limit and offset, and the total that another gives.
func listOf[T any](ctx context.Context, v *Views, what, total, query string, scan pgx.RowToFunc[T], page Page, args ...any) (List[T], error) {
	var list List[T]
	if err := v.pool.QueryRow(ctx, total, args...).Scan(&list.Total); err != nil {
		return list, fmt.Errorf("count %s: %w", what, err)
	}
	rows, _ := v.pool.Query(ctx, query, append(args, page.After, page.Limit+1, page.Offset)...) // CollectRows reports the error
	items, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return list, fmt.Errorf("view %s: %w", what, err)
	}
	list.More = len(items) > page.Limit
	list.Items = items[:min(len(items), page.Limit)]
	return list, nil
}
