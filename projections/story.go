package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A Story is what happened to a company, under all deliveries of an organisation.
type Story struct {
	List[eventstore.Record]                               // a page of it, oldest first
	Dispatches              map[domain.HandOverID][]Route // of all its hand-overs
}

// A Route is a dispatch of a hand-over, and where it goes.
type Route struct {
	HandOver    domain.HandOverID    `db:"handover_id"`
	Dispatch    domain.DispatchID    `db:"id"`
	Destination domain.DestinationID `db:"destination_id"`
}

// StoryKey returns what a story goes on after, once that event was seen.
func StoryKey(r eventstore.Record) string { return strconv.FormatInt(int64(r.Position), 10) }

// Story returns a page of what happened to org's company: what became of it under each delivery, also
// of those that were deleted, its dispatches and their attempts, and what excludes it. The log is not
// searched: the names of the streams are known. It costs a look-up for each delivery of the organisation.
func (v *Views) Story(ctx context.Context, org domain.OrganisationID, company domain.CompanyID, page Page) (Story, error) {
	var story Story
	streams, handOvers, err := v.handOverStreams(ctx, org, company)
	if err != nil {
		return story, err
	}
	if story.Dispatches, err = v.routes(ctx, handOvers); err != nil {
		return story, err
	}
	for _, routes := range story.Dispatches {
		for _, r := range routes {
			streams = append(streams, domain.DispatchStream(r.Dispatch))
		}
	}
	positions, err := eventstore.PositionsOf(ctx, v.pool, streams)
	if err != nil {
		return story, err
	}
	story.Total = int64(len(positions))
	after, _ := strconv.ParseInt(page.After, 10, 64) // as it was written; empty: from the start
	first, seen := slices.BinarySearch(positions, eventstore.Position(after))
	if seen {
		first++
	}
	first = int(min(int64(first)+page.Offset, story.Total))
	last := min(first+page.Limit, len(positions))
	story.More = last < len(positions)
	story.Items, err = eventstore.ReadAt(ctx, v.pool, positions[first:last])
	return story, err
}

// handOverStreams names the streams of a company's hand-overs, and of the exclusions that it can fall
// under by what was sent of it, and returns the IDs of the hand-overs.
func (v *Views) handOverStreams(ctx context.Context, org domain.OrganisationID, company domain.CompanyID) (streams []string, ids []domain.HandOverID, err error) {
	deliveries, err := v.DeliveriesEver(ctx, org)
	if err != nil {
		return nil, nil, err
	}
	candidates := make([]string, len(deliveries))
	for i, d := range deliveries {
		candidates[i] = domain.HandOverStream(d, company)
	}
	records, err := v.recordsOf(ctx, candidates)
	if err != nil {
		return nil, nil, err
	}
	streams = domain.ExclusionStreams(org, company, nil)
	for _, r := range records {
		var sent struct {
			HandOver domain.HandOverID `json:"hand_over"`
			Company  json.RawMessage   `json:"company"`
		}
		if err := json.Unmarshal(r.Data, &sent); err != nil {
			return nil, nil, fmt.Errorf("read event at position %d: %w", r.Position, err)
		}
		if sent.HandOver != "" {
			ids = append(ids, sent.HandOver)
		}
		streams = append(append(streams, r.Stream), domain.ExclusionStreams(org, company, sent.Company)...)
	}
	slices.Sort(streams)
	return slices.Compact(streams), ids, nil
}

// routes returns the dispatches of hand-overs.
func (v *Views) routes(ctx context.Context, handOvers []domain.HandOverID) (map[domain.HandOverID][]Route, error) {
	const query = `SELECT handover_id, id, destination_id FROM dispatches WHERE handover_id = ANY ($1) ORDER BY id`
	rows, _ := v.pool.Query(ctx, query, handOvers) // CollectRows reports the error
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[Route])
	if err != nil {
		return nil, fmt.Errorf("view dispatches of %d hand-overs: %w", len(handOvers), err)
	}
	routes := map[domain.HandOverID][]Route{}
	for _, r := range found {
		routes[r.HandOver] = append(routes[r.HandOver], r)
	}
	return routes, nil
}
