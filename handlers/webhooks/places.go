package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// places are the destinations among which a claim looks for what is due: those of which there is
// reason to think that they have something.
type places struct {
	after, upTo eventstore.Position // what was handed over in between is owed to destinations, which are looked for,
	touched     []string            // besides these

	stretch bool   // and the next ones of the walk over all that are owed something,
	from    string // which come after this one,
	to      string // up to this one; "": the walk ends with them
}

// A search decides where a worker looks for what is due. Mostly that is where something was handed
// over, where there was more than could be claimed and a request has ended since, and where an order
// has moved on. Besides, it walks over all destinations that are owed something, a stretch at a time, and
// from the beginning again every now and then. So a claim costs what there is to do, and not what many
// destinations owe to whom nothing may be sent now; and it takes no longer however many they are.
type search struct {
	poll    time.Duration                 // from the end of a walk to the next, if that costs little
	next    time.Time                     // stretch
	walked  string                        // the last destination of the stretch before; "": the walk begins
	seen    eventstore.Position           // hand-overs up to there were looked for
	more    map[domain.DestinationID]bool // had more than was claimed
	touched map[domain.DestinationID]bool // to be looked at

	// Ordered destinations, by where the read model shows what became of their heads, and so the next.
	moving map[domain.DestinationID]eventstore.Position
}

// Bounds of a search.
const (
	searchMost  = 5000            // positions that are searched for hand-overs: more than those are not worth it
	stretchMost = 128             // destinations
	searchCost  = 10              // times as long as a stretch took the next one waits,
	searchRest  = 2 * time.Second // at most
)

// newSearch returns a search that walks at once.
func newSearch(poll time.Duration) search {
	return search{
		poll: poll, more: map[domain.DestinationID]bool{}, touched: map[domain.DestinationID]bool{},
		moving: map[domain.DestinationID]eventstore.Position{},
	}
}

// begin returns where to look, with the read model as of a position. It is false if there is nowhere.
func (s *search) begin(now time.Time, shown eventstore.Position) (places, bool) {
	if shown-s.seen > searchMost {
		s.seen, s.next = shown-searchMost, now
	}
	p := places{after: s.seen, upTo: shown, stretch: !now.Before(s.next), from: s.walked}
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
	return p, p.stretch || p.upTo > p.after || len(p.touched) > 0
}

// end enters what was claimed there, and how long it took.
func (s *search) end(now time.Time, took time.Duration, p places, claims []claim) {
	if p.stretch {
		rest := min(searchCost*took, searchRest)
		if p.to == "" {
			rest = max(rest, s.poll)
		}
		s.next, s.walked = now.Add(rest), p.to
	}
	for _, c := range claims {
		if c.More {
			s.more[c.Destination], s.touched[c.Destination] = true, true
		} else {
			delete(s.more, c.Destination)
		}
	}
	if len(claims) >= claimMost {
		s.again(p) // others there may have got nothing
	}
}

// again has a claim look there once more.
func (s *search) again(p places) {
	s.seen = p.after
	for _, id := range p.touched {
		s.touched[domain.DestinationID(id)] = true
	}
}

// rest returns how long nothing need be looked at, unless there is news.
func (s *search) rest(now time.Time) time.Duration { return min(s.next.Sub(now), s.poll) }

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

// find adds the destinations to p that have to be looked up.
func (l *leases) find(ctx context.Context, p *places) error {
	if p.upTo > p.after {
		if err := l.follow(ctx, p); err != nil {
			return err
		}
	}
	if p.stretch {
		return l.walk(ctx, p)
	}
	return nil
}

// follow adds destinations to p that what was handed over is owed to. Looking for them takes a tenth of what a claim
// does, which is not made where there are none: every other page of the log tells what became of attempts.
func (l *leases) follow(ctx context.Context, p *places) error {
	const query = `
		SELECT t.destination_id
		FROM (
			SELECT DISTINCT split_part(stream, '/', 2) AS delivery_id -- see [domain.HandOverStream]
			FROM events
			WHERE position > $1 AND position <= $2 AND type = $3
		) AS h
		JOIN dispatch_targets t USING (delivery_id)`
	rows, _ := l.pool.Query(ctx, query, p.after, p.upTo, domain.CompanyQualified{}.EventType()) // CollectRows reports the error
	owed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look who is owed what was handed over: %w", err)
	}
	p.touched = append(p.touched, owed...)
	return nil
}

// walk adds the next stretch to p. Destinations that are owed something are found by skipping through
// the index, one look-up each.
func (l *leases) walk(ctx context.Context, p *places) error {
	const query = `
		WITH RECURSIVE walk AS (
			(SELECT destination_id FROM dispatches WHERE due IS NOT NULL AND destination_id > $1 ORDER BY destination_id LIMIT 1)
			UNION ALL
			SELECT (
				SELECT d.destination_id FROM dispatches d
				WHERE d.due IS NOT NULL AND d.destination_id > w.destination_id
				ORDER BY d.destination_id LIMIT 1
			)
			FROM walk w
			WHERE w.destination_id IS NOT NULL
		)
		SELECT destination_id FROM walk WHERE destination_id IS NOT NULL LIMIT $2`
	rows, _ := l.pool.Query(ctx, query, p.from, stretchMost) // CollectRows reports the error
	owing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look who is owed something: %w", err)
	}
	p.touched = append(p.touched, owing...)
	if len(owing) == stretchMost {
		p.to = owing[stretchMost-1]
	}
	return nil
}
