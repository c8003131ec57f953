package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A claim is a dispatch that this process has leased for one attempt.
type claim struct {
	Dispatch     domain.DispatchID     `db:"id"`
	Destination  domain.DestinationID  `db:"destination_id"`
	Organisation domain.OrganisationID `db:"organisation_id"`
	Ordered      bool                  `db:"ordered"`        // it holds what comes after it
	More         bool                  `db:"more"`           // the destination may have more that is due
	Suspect      bool                  `db:"suspect"`        // the destination has not answered well of late
	Config       int64                 `db:"config_version"` // of the destination
	Sequence     int64                 `db:"sequence"`
	Attempts     int                   `db:"attempts"`    // made before
	Base         int                   `db:"base"`        // of those, not counted by the schedule
	Version      eventstore.Version    `db:"version"`     // of the dispatch's stream
	Position     eventstore.Position   `db:"position"`    // of the event that it tells of
	Backfilled   bool                  `db:"backfilled"`  // it was owed to its destination later than to others
	Delivery     domain.DeliveryID     `db:"delivery_id"` // of the destination
	Type         string                `db:"-"`           // of that event
	Schema       int16                 `db:"-"`           // of that event's data
	Data         json.RawMessage       `db:"-"`           // of that event
	RecordedAt   time.Time             `db:"-"`           // of that event
	Trace        eventstore.Trace      `db:"-"`           // in which that was recorded
	Again        bool                  `db:"again"`       // somebody had leased the same attempt before
	leased       time.Time             // or a little earlier
	settled      eventstore.Position   // of its outcome, which the read model does not show yet; 0: it has none
}

// attempt is the number of the attempt that was claimed.
func (c claim) attempt() int { return c.Attempts + 1 }

// An attemptKey names an attempt.
type attemptKey struct {
	dispatch domain.DispatchID
	number   int
}

// key names the attempt that was claimed.
func (c claim) key() attemptKey { return attemptKey{c.Dispatch, c.attempt()} }

// settle finds the claims whose outcome is in the log, though the read model does not show it: whoever had the
// lease before recorded it, and the follower has been away for longer than the lease.
func (l *leases) settle(ctx context.Context, claims []claim) error {
	const query = `
		SELECT stream, max(position)
		FROM unnest($1::text[], $2::bigint[]) AS c(stream, known)
		JOIN events USING (stream)
		WHERE version > known
		GROUP BY stream`
	again := map[string]*claim{}
	var streams []string
	var known []int64
	for i := range claims {
		if c := &claims[i]; c.Again {
			stream := domain.DispatchStream(c.Dispatch)
			again[stream] = c
			streams, known = append(streams, stream), append(known, int64(c.Version))
		}
	}
	if len(again) == 0 {
		return nil
	}
	rows, _ := l.pool.Query(ctx, query, streams, known) // ForEachRow reports the error
	var stream string
	var at eventstore.Position
	_, err := pgx.ForEachRow(rows, []any{&stream, &at}, func() error {
		again[stream].settled = at
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for outcomes of what is claimed again: %w", err)
	}
	return nil
}

// fill reads what claims send.
func (l *leases) fill(ctx context.Context, claims []claim) error {
	const query = `
		SELECT position, type, schema_version, data, recorded_at, coalesce(metadata->>'traceparent', ''), coalesce(metadata->>'tracestate', '')
		FROM events
		WHERE position = ANY ($1)`
	if len(claims) == 0 {
		return nil
	}
	wanted := make(map[eventstore.Position][]*claim, len(claims))
	positions := make([]int64, 0, len(claims))
	for i := range claims {
		c := &claims[i]
		if wanted[c.Position] == nil {
			positions = append(positions, int64(c.Position))
		}
		wanted[c.Position] = append(wanted[c.Position], c)
	}
	rows, _ := l.pool.Query(ctx, query, positions) // ForEachRow reports the error
	var position eventstore.Position
	var eventType string
	var schema int16
	var data json.RawMessage
	var at time.Time
	var trace eventstore.Trace
	_, err := pgx.ForEachRow(rows, []any{&position, &eventType, &schema, &data, &at, &trace.Parent, &trace.State}, func() error {
		for _, c := range wanted[position] {
			c.Type, c.Schema, c.Data, c.RecordedAt, c.Trace = eventType, schema, data, at, trace
		}
		data = nil // not to be written over
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is claimed: %w", err)
	}
	return nil
}
