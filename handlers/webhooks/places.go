package webhooks

import (
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// places are the destinations among which a claim looks for what is due: all, or those of which
// there is reason to think that they have something.
type places struct {
	all         bool
	after, upTo eventstore.Position // hand-overs in between are looked for
	touched     []string            // destinations besides
}

// query returns the SQL of a list of the destinations, and its arguments, from $14 on.
func (p places) query() (sql string, args []any) {
	const (
		// Destinations with something owed are found by skipping through the index, one look-up each.
		all = `
		WITH RECURSIVE owing AS (
			(SELECT destination_id FROM dispatches WHERE due IS NOT NULL ORDER BY destination_id LIMIT 1)
			UNION ALL
			SELECT (
				SELECT d.destination_id FROM dispatches d
				WHERE d.due IS NOT NULL AND d.destination_id > o.destination_id
				ORDER BY d.destination_id LIMIT 1
			)
			FROM owing o
			WHERE o.destination_id IS NOT NULL
		),`

		// The stream of a hand-over names its delivery: see [domain.HandOverStream].
		some = `
		WITH owing AS (
			SELECT t.destination_id
			FROM (
				SELECT DISTINCT split_part(stream, '/', 2) AS delivery_id
				FROM events
				WHERE position > $14 AND position <= $15 AND type = $16
			) AS h
			JOIN dispatch_targets t USING (delivery_id)
			UNION
			SELECT destination_id FROM unnest($17::text[]) AS touched(destination_id)
		),`
	)
	if p.all {
		return all, nil
	}
	return some, []any{p.after, p.upTo, domain.CompanyQualified{}.EventType(), p.touched}
}

// A search decides where a worker looks for what is due. Mostly that is where something was handed
// over, where there was more than could be claimed and a request has ended since, and where an order
// has moved on; every now and then it is everywhere. So a claim costs what there is to do, and not what many destinations
// owe to whom nothing may be sent now.
type search struct {
	poll    time.Duration                 // between two looks everywhere, if they cost little
	next    time.Time                     // look everywhere
	seen    eventstore.Position           // hand-overs up to there were looked for
	more    map[domain.DestinationID]bool // had more than was claimed
	touched map[domain.DestinationID]bool // to be looked at

	// Ordered destinations, by where the read model shows what became of their heads, and so the next.
	moving map[domain.DestinationID]eventstore.Position
}

// Bounds of a search.
const (
	searchMost = 5000            // positions that are searched for hand-overs: more than those are not worth it
	searchCost = 10              // times as long as it took to look everywhere nobody looks so again,
	searchRest = 2 * time.Second // at most
)

// newSearch returns a search that looks everywhere first.
func newSearch(poll time.Duration) search {
	return search{
		poll: poll, more: map[domain.DestinationID]bool{}, touched: map[domain.DestinationID]bool{},
		moving: map[domain.DestinationID]eventstore.Position{},
	}
}

// begin returns where to look, with the read model as of a position. It is false if there is nowhere.
func (s *search) begin(now time.Time, shown eventstore.Position) (places, bool) {
	p := places{all: !now.Before(s.next) || shown-s.seen > searchMost, after: s.seen, upTo: shown}
	for id, at := range s.moving {
		if at <= shown {
			s.touched[id] = true
			delete(s.moving, id)
		}
	}
	for id := range s.touched {
		p.touched = append(p.touched, string(id))
	}
	clear(s.touched)
	s.seen = max(s.seen, shown)
	return p, p.all || p.upTo > p.after || len(p.touched) > 0
}

// end enters what was claimed there, and how long it took.
func (s *search) end(now time.Time, took time.Duration, p places, claims []claim) {
	if p.all {
		s.next = now.Add(max(s.poll, min(searchCost*took, searchRest)))
	}
	for _, c := range claims {
		if c.More {
			s.more[c.Destination], s.touched[c.Destination] = true, true
		} else {
			delete(s.more, c.Destination)
		}
	}
	if len(claims) >= claimMost {
		s.next = now // others may have got nothing
	}
}

// fail makes the next look one everywhere: what this one would have found is not known.
func (s *search) fail() { s.next = time.Time{} }

// answered enters that a request to a destination has ended.
func (s *search) answered(id domain.DestinationID) {
	if s.more[id] {
		s.touched[id] = true
	}
}

// settle enters that what became of a claim is in the log at a position.
func (s *search) settle(c claim, at eventstore.Position) {
	if c.Ordered {
		s.moving[c.Destination] = at
	}
}
