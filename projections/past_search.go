package projections

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// searchBounds are what a search looks at.
type searchBounds struct {
	stretch int // rows at once
	rows    int // at most, and
	streams int // of those whose rows do not tell, or a stretch more
}

var defaultSearchBounds = searchBounds{stretch: 1_000, rows: 50_000, streams: 10_000}

// A PastPlace says where a list by status goes on. The zero PastPlace is its begin.
type PastPlace struct {
	Position eventstore.Position // of what comes next, or above it
	Before   domain.DispatchID   // there, only those whose ID is less; "": all
	Skip     int64               // so many that had the status
}

// errNoPlace is why a text is no place.
var errNoPlace = errors.New("it is no place in a list by status")

// String returns the place as a text that UnmarshalText reads.
func (p PastPlace) String() string { return fmt.Sprintf("%d/%s/%d", p.Position, p.Before, p.Skip) }

// UnmarshalText reads a place.
func (p *PastPlace) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "/")
	if len(parts) != 3 {
		return errNoPlace
	}
	position, err := strconv.ParseInt(parts[0], 10, 64)
	skip, err2 := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || err2 != nil || position < 0 || skip < 0 {
		return errNoPlace
	}
	*p = PastPlace{Position: eventstore.Position(position), Before: domain.DispatchID(parts[1]), Skip: skip}
	return nil
}

// DispatchesHaving returns a page of the dispatches that had the filter's status, limit at most, in the order of
// [Views.DispatchesOf], and where the list goes on if it does.
//
// Which dispatches had a status then is no column of a table. All up to the position are looked at, 50,000 at most: what
// had ended by then in the way in which it still has, its row tells, and of others the streams are read, 10,000 at
// most. A page may therefore hold less than limit, even nothing, although the list goes on. Total counts from the begin of
// the list in the same way, to some 10,000; Least says that there may be more.
func (p *Past) DispatchesHaving(ctx context.Context, filter DispatchFilter, from PastPlace, limit int) (list List[Dispatch], next PastPlace, err error) {
	if err := p.load(ctx, filter.Delivery); err != nil {
		return list, next, err
	}
	by, err := p.time(ctx)
	if err != nil {
		return list, next, err
	}
	filter = p.bounded(filter)
	begin := PastPlace{Position: filter.UpTo, Skip: from.Skip}
	whole := newPastSearch(p, filter, by, begin, limit)
	for err == nil && !whole.over() && (whole.found <= mostCounted || from.Position == 0 && !whole.full()) {
		err = whole.look(ctx)
	}
	page := whole
	if from.Position > 0 {
		page = newPastSearch(p, filter, by, from, limit)
	}
	for err == nil && !page.over() && !page.full() {
		err = page.look(ctx)
	}
	if err != nil {
		return list, next, p.failed(err, "dispatches", filter.Delivery)
	}
	list, next = page.page()
	list.Total, list.Least = whole.found, !whole.ended
	if seen := begin.Skip + int64(len(list.Items)); from.Position == 0 && list.Least {
		list.Total = max(list.Total, seen)
	}
	return list, next, p.failed(p.revise(ctx, list.Items), "dispatches", filter.Delivery)
}

// A pastSearch looks for the dispatches that had a status, the newest first.
type pastSearch struct {
	*Past
	filter DispatchFilter
	by     time.Time // the position's
	at     PastPlace // where it goes on
	limit  int       // of a page

	items []Dispatch // of the page, and one more if there is one
	found int64
	ended bool         // all was looked at
	left  searchBounds // of what may be looked at yet
}

// newPastSearch returns one that begins at a place.
func newPastSearch(p *Past, filter DispatchFilter, by time.Time, from PastPlace, limit int) *pastSearch {
	return &pastSearch{Past: p, filter: filter, by: by, at: from, limit: limit, left: p.bounds}
}

// over reports whether nothing more is, or may be, looked at.
func (s *pastSearch) over() bool { return s.ended || s.left.rows <= 0 || s.left.streams <= 0 }

// full reports whether the page is, and it is known that there is more.
func (s *pastSearch) full() bool { return len(s.items) > s.limit }

// page returns what was found, and where the list goes on.
func (s *pastSearch) page() (list List[Dispatch], next PastPlace) {
	list.Items, next = s.items, s.at
	if s.full() {
		list.Items = s.items[:s.limit]
		last := list.Items[s.limit-1]
		next = PastPlace{Position: last.Position, Before: last.ID}
	}
	list.More = s.full() || !s.ended
	return list, next
}

// look looks at the next stretch.
func (s *pastSearch) look(ctx context.Context) error {
	bottom, err := s.bottom(ctx)
	if err != nil {
		return err
	}
	candidates, err := s.candidates(ctx, bottom)
	if err != nil {
		return err
	}
	had, err := s.having(ctx, candidates)
	if err != nil {
		return err
	}
	skipped := min(s.at.Skip, int64(len(had)))
	s.found += int64(len(had))
	s.items = append(s.items, had[skipped:]...)
	s.items = s.items[:min(len(s.items), s.limit+1)]
	s.at = PastPlace{Position: bottom, Skip: s.at.Skip - skipped}
	s.ended = bottom <= s.filter.After
	return nil
}

// bottom returns the position before the next stretch. All that is at one position is in one stretch.
func (s *pastSearch) bottom(ctx context.Context) (eventstore.Position, error) {
	const query = `
		SELECT position FROM dispatches
		WHERE delivery_id = $1 AND position > $2 AND position <= $3
		ORDER BY position DESC
		LIMIT 1 OFFSET $4`
	s.left.rows -= s.left.stretch
	rows, _ := s.views.pool.Query(ctx, query, s.filter.Delivery, s.filter.After, s.at.Position, s.left.stretch) // CollectExactlyOneRow reports the error
	bottom, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[eventstore.Position])
	if errors.Is(err, pgx.ErrNoRows) {
		return s.filter.After, nil
	}
	return min(bottom, s.at.Position-1), err
}

// A candidate is a dispatch that may have had the status.
type candidate struct {
	Dispatch
	Known bool `db:"known"` // it had: the way in which it ended is that of then
}

// candidates returns those of the stretch down to a position. What had ended otherwise by then, and still has, is none.
func (s *pastSearch) candidates(ctx context.Context, bottom eventstore.Position) ([]candidate, error) {
	const query = `
		SELECT ` + dispatchColumns + `, coalesce(d.settled_at <= $7, false) AS known` + dispatchTables + `
		WHERE d.delivery_id = $1 AND ($2 = '' OR d.destination_id = $2) AND d.position > $3 AND d.position <= $4
			AND (d.position < $4 OR $5 = '' OR d.id < $5)
			AND (d.settled_at IS NULL OR d.settled_at > $7 OR d.status = $6)
		ORDER BY d.position DESC, d.id DESC`
	rows, _ := s.views.pool.Query(ctx, query, s.filter.Delivery, s.filter.Destination, bottom, s.at.Position, s.at.Before, s.filter.Status, s.by)
	return pgx.CollectRows(rows, pgx.RowToStructByName[candidate])
}

// having returns those of the candidates that had the status.
func (s *pastSearch) having(ctx context.Context, candidates []candidate) ([]Dispatch, error) {
	var open []Dispatch
	for _, c := range candidates {
		if !c.Known {
			open = append(open, c.Dispatch)
		}
	}
	s.left.streams -= len(open)
	folded, err := s.fold(ctx, open, nil)
	if err != nil {
		return nil, err
	}
	var had []Dispatch
	for _, c := range candidates {
		if !c.Known {
			was := folded[0]
			folded = folded[1:]
			if s.status(c.Dispatch, was) != s.filter.Status {
				continue
			}
		}
		had = append(had, c.Dispatch)
	}
	return had, nil
}
