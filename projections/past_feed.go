package projections

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
)

// Feed returns the feed that id named for org, as [Views.Feed] does. Of a search from which nothing could be pulled yet, the
// deliveries of the organisation are read, until one is found that was bound to it.
func (p *Past) Feed(ctx context.Context, org domain.OrganisationID, id string) (Feed, error) {
	search := Feed{Search: domain.SearchID(id), Organisation: org}
	if err := p.load(ctx, domain.DeliveryID(id)); err != nil {
		return Feed{}, p.failed(err, "feed", id)
	}
	if p.deliveries[domain.DeliveryID(id)].Exists(org) {
		return Feed{Delivery: domain.DeliveryID(id)}, nil
	}
	last, err := p.last(ctx, search)
	if err != nil || last > 0 {
		return search, p.failed(err, "feed", id)
	}
	bound, err := p.bound(ctx, search)
	if err == nil && !bound {
		err = domain.Errorf(domain.NotFound, "PROSPECT_SEARCH_NOT_FOUND", "there was no prospect search or delivery %s at position %d", id, p.at)
	}
	return search, p.failed(err, "feed", id)
}

// bound reports whether a delivery was bound to a search. Those that are bound to it now are looked at first.
func (p *Past) bound(ctx context.Context, search Feed) (bool, error) {
	const (
		atOnce = 100
		query  = `
			SELECT v.delivery_id
			FROM dispatch_deliveries v
			LEFT JOIN deliveries d ON d.id = v.delivery_id AND d.prospect_search_id = $2
			WHERE v.organisation_id = $1
			ORDER BY d.id IS NULL, v.delivery_id`
	)
	rows, _ := p.views.pool.Query(ctx, query, search.Organisation, search.Search) // CollectRows reports the error
	ids, err := pgx.CollectRows(rows, pgx.RowTo[domain.DeliveryID])
	if err != nil {
		return false, err
	}
	for some := range slices.Chunk(ids, atOnce) {
		if err := p.load(ctx, some...); err != nil {
			return false, err
		}
		for _, id := range some {
			if d := p.deliveries[id]; d.Exists(search.Organisation) && d.Search == search.Search {
				return true, nil
			}
		}
	}
	return false, nil
}

// last returns the number of the last company in a feed, 0 when there was none.
func (p *Past) last(ctx context.Context, feed Feed) (int64, error) {
	return p.views.lastNumber(ctx, feed, `c.position`, p.at)
}

// NumberAt returns the number of the last company of a feed that had been delivered at or before t, 0 when there was none.
func (p *Past) NumberAt(ctx context.Context, feed Feed, t time.Time) (int64, error) {
	last, err := p.last(ctx, feed)
	if err != nil {
		return 0, p.failed(err, "feed", feed.id())
	}
	at, err := p.views.NumberAt(ctx, feed, t)
	return min(at, last), err
}

// Companies returns a page like [Views.Companies], as it was: numbers in a feed never change, so it is a part of what can be
// pulled now, with the status that each company had.
func (p *Past) Companies(ctx context.Context, feed Feed, page FeedPage) (list List[Company], err error) {
	last, err := p.last(ctx, feed)
	if err != nil {
		return list, p.failed(err, "companies", feed.id())
	}
	list.Total = max(0, last-page.After)
	limit := min(int64(page.Limit), list.Total-page.Offset)
	if limit <= 0 {
		return list, nil
	}
	rows, _ := p.views.pool.Query(ctx, feed.rows(`''`), feed.id(), page.After+page.Offset, limit) // CollectRows reports the error
	list.Items, err = pgx.CollectRows(rows, pgx.RowToStructByName[Company])
	if err == nil {
		err = p.setStatus(ctx, list.Items)
	}
	return list, p.failed(err, "companies", feed.id())
}

// setStatus enters the status that each company had, over all of its dispatches.
func (p *Past) setStatus(ctx context.Context, companies []Company) error {
	const query = `
		SELECT ` + dispatchColumns + dispatchTables + `
		WHERE d.handover_id = ANY ($1) AND d.position <= $2`
	handOvers := make([]domain.HandOverID, len(companies))
	ids := make([]domain.DeliveryID, len(companies))
	for i, c := range companies {
		handOvers[i], ids[i] = c.HandOver, c.Delivery
	}
	if err := p.load(ctx, ids...); err != nil {
		return err
	}
	rows, _ := p.views.pool.Query(ctx, query, handOvers, p.at) // CollectRows reports the error
	dispatches, err := pgx.CollectRows(rows, pgx.RowToStructByName[Dispatch])
	if err != nil {
		return err
	}
	folded, err := p.fold(ctx, dispatches, nil)
	if err != nil {
		return err
	}
	statuses := map[domain.HandOverID][]domain.DispatchStatus{}
	for i, d := range dispatches {
		statuses[d.HandOver] = append(statuses[d.HandOver], p.status(d, folded[i]))
	}
	for i, c := range companies {
		companies[i].Status = domain.StatusOf(statuses[c.HandOver])
	}
	return nil
}
