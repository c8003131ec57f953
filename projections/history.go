package projections

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// History keeps the audit trail: for each delivery the positions of all events about it, its
// hand-overs, dispatches and attempts. An event has a number among all of its delivery, and one
// among those of its type. Numbers are dense and never change, so a page of the trail is a range
// of an index however deep it lies. What happened stays in the log; a page of events costs one
// statement here, and each event a row of a hundred bytes.
func History() Projection {
	const insert = `
		WITH page AS (
			SELECT *,
				row_number() OVER (PARTITION BY delivery_id ORDER BY position) AS turn,
				row_number() OVER (PARTITION BY delivery_id, type ORDER BY position) AS type_turn
			FROM unnest($1::bigint[], $2::text[], $3::text[]) AS p(position, delivery_id, type)
		),
		ends AS MATERIALIZED (
			SELECT d.delivery_id, coalesce((SELECT h.number FROM history h WHERE h.delivery_id = d.delivery_id ORDER BY h.number DESC LIMIT 1), 0) AS last
			FROM (SELECT DISTINCT delivery_id FROM page) AS d
		),
		type_ends AS MATERIALIZED (
			SELECT d.delivery_id, d.type, coalesce((
					SELECT h.type_number FROM history h
					WHERE h.delivery_id = d.delivery_id AND h.type = d.type
					ORDER BY h.type_number DESC LIMIT 1
				), 0) AS last
			FROM (SELECT DISTINCT delivery_id, type FROM page) AS d
		)
		INSERT INTO history (delivery_id, number, position, type, type_number)
		SELECT p.delivery_id, e.last + p.turn, p.position, p.type, t.last + p.type_turn
		FROM page p
		JOIN ends e USING (delivery_id)
		JOIN type_ends t USING (delivery_id, type)
		ORDER BY p.position`
	return Projection{
		Name:    "history",
		Version: 2,
		Tables:  []string{"history"},
		Types:   types(domain.Events()...),
		Unread:  true,
		Rest:    atLeisure,
		Apply: func(batch *pgx.Batch, page []Entry) {
			positions, deliveries, kinds := make([]int64, 0, len(page)), make([]string, 0, len(page)), make([]string, 0, len(page))
			for _, entry := range page {
				if id := deliveryOf(entry); id != "" {
					positions, deliveries, kinds = append(positions, int64(entry.Position)), append(deliveries, string(id)), append(kinds, entry.Type)
				}
			}
			if len(positions) > 0 {
				batch.Queue(insert, positions, deliveries, kinds)
			}
		},
	}
}

// deliveryOf returns the delivery that an event is about, "" when it is about none. All events
// name it alike, and before what is long; those that webhooks cause were read for it.
func deliveryOf(entry Entry) domain.DeliveryID {
	switch e := entry.Event.(type) {
	case domain.CompanyQualified:
		return e.Delivery
	case domain.CompanyDisqualified:
		return e.Delivery
	case domain.AttemptSucceeded:
		return e.Delivery
	case domain.AttemptFailed:
		return e.Delivery
	}
	in := jsontext.NewDecoder(bytes.NewBuffer(entry.Data), jsontext.AllowDuplicateNames(true))
	if _, err := in.ReadToken(); err != nil { // the brace: the log holds objects
		return ""
	}
	for in.PeekKind() == '"' {
		name, _ := in.ReadToken() // it was peeked at
		if name.String() == "delivery" {
			id, _ := in.ReadToken()
			return domain.DeliveryID(id.String())
		}
		if in.SkipValue() != nil {
			return ""
		}
	}
	return ""
}

// An AuditEvent is an event about a delivery.
type AuditEvent struct {
	Number     int64               `db:"number"` // in its trail
	Position   eventstore.Position `db:"position"`
	RecordedAt time.Time           `db:"recorded_at"`
	Type       string              `db:"type"`
	Schema     int16               `db:"schema_version"` // of the data
	Data       json.RawMessage     `db:"data"`
	Metadata   json.RawMessage     `db:"metadata"`
}

// A Trail is a delivery's audit trail, or the part of it that is wanted.
type Trail struct {
	Delivery domain.DeliveryID
	Type     string     // of the events; "": any
	Since    *time.Time // recorded then or later
	Until    *time.Time // recorded before
}

// TrailPage says which part of a trail is wanted.
type TrailPage struct {
	Before int64 // number of the last event seen; 0: from the newest
	Limit  int
	Offset int64 // events to skip
}

// Events returns a page of a trail, newest first. Total counts the whole trail. The cost does
// not depend on where the page lies, nor on how many events there are.
func (v *Views) Events(ctx context.Context, trail Trail, page TrailPage) (List[AuditEvent], error) {
	where, number := trail.sql()
	query := `
		SELECT h.` + number + ` AS number, h.position, e.recorded_at, h.type, e.schema_version, e.data, e.metadata
		FROM history h
		JOIN events e ON e.position = h.position
		WHERE ` + where + ` AND h.` + number + ` > $3 AND h.` + number + ` <= $4
		ORDER BY h.` + number + ` DESC`
	first, last, err := v.span(ctx, trail)
	if err != nil {
		return List[AuditEvent]{}, err
	}
	top := last
	if page.Before > 0 {
		top = min(top, page.Before-1)
	}
	top = max(first, top-page.Offset)
	bottom := max(first, top-int64(page.Limit))
	rows, _ := v.pool.Query(ctx, query, trail.Delivery, trail.Type, bottom, top) // CollectRows reports the error
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[AuditEvent])
	if err != nil {
		return List[AuditEvent]{}, fmt.Errorf("view events of %s: %w", trail.Delivery, err)
	}
	return List[AuditEvent]{Items: items, Total: last - first, More: bottom > first}, nil
}

// span returns the numbers before the first event of a trail, and of the last.
func (v *Views) span(ctx context.Context, trail Trail) (first, last int64, err error) {
	if trail.Since != nil {
		if first, err = v.trailNumber(ctx, trail, trail.Since.Add(-1)); err != nil {
			return 0, 0, err
		}
	}
	end := time.Unix(1<<40, 0) // after all that is recorded
	if trail.Until != nil {
		end = trail.Until.Add(-1)
	}
	last, err = v.trailNumber(ctx, trail, end)
	return first, max(first, last), err
}

// trailNumber returns the number of the last event of a trail that was recorded at or before t,
// 0 when there is none. It halves the trail until it is found: both numbers and times rise.
func (v *Views) trailNumber(ctx context.Context, trail Trail, t time.Time) (int64, error) {
	where, number := trail.sql()
	query := `
		WITH RECURSIVE search AS (
			SELECT 0::bigint AS low, coalesce((SELECT h.` + number + ` FROM history h WHERE ` + where + ` ORDER BY h.` + number + ` DESC LIMIT 1), 0) AS high
			UNION ALL
			SELECT CASE WHEN before THEN middle ELSE low END, CASE WHEN before THEN high ELSE middle - 1 END
			FROM (
				SELECT low, high, (low + high + 1) / 2 AS middle, (
						SELECT e.recorded_at <= $3
						FROM history h
						JOIN events e ON e.position = h.position
						WHERE ` + where + ` AND h.` + number + ` = (low + high + 1) / 2
					) AS before
				FROM search
				WHERE low < high
				OFFSET 0 -- or each would be looked up twice
			) AS probe
		)
		SELECT low FROM search WHERE low = high`
	rows, _ := v.pool.Query(ctx, query, trail.Delivery, trail.Type, t.Truncate(time.Microsecond)) // CollectExactlyOneRow reports the error
	at, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
	if err != nil {
		return 0, fmt.Errorf("find %s in the events of %s: %w", t.Format(time.RFC3339Nano), trail.Delivery, err)
	}
	return at, nil
}

// sql returns the condition of the trail's rows, of parameters 1 and 2, and the column of their
// numbers.
func (t Trail) sql() (where, number string) {
	if t.Type == "" {
		return `h.delivery_id = $1 AND $2 = ''`, "number"
	}
	return `h.delivery_id = $1 AND h.type = $2`, "type_number"
}

// Record returns the record at a position if it is about org, or about a delivery that is, or before its
// deletion was, org's. Else it fails with a NotFound error, which does not say whether there is one.
func (v *Views) Record(ctx context.Context, org domain.OrganisationID, at eventstore.Position) (eventstore.Record, error) {
	none := domain.Errorf(domain.NotFound, "ENTITY_NOT_FOUND", "none of your events is at this position")
	records, err := eventstore.ReadPage(ctx, v.pool, at, at)
	if err != nil {
		return eventstore.Record{}, err
	}
	if len(records) == 0 {
		return eventstore.Record{}, none
	}
	var about struct {
		Organisation domain.OrganisationID `json:"organisation"`
		Delivery     domain.DeliveryID     `json:"delivery"`
	}
	if err := json.Unmarshal(records[0].Data, &about); err != nil {
		return eventstore.Record{}, fmt.Errorf("read whom event %d is about: %w", at, err)
	}
	if about.Organisation == "" { // the delivery knows
		err = v.Owned(ctx, org, about.Delivery)
	}
	if domain.KindOf(err) == domain.NotFound || about.Organisation != "" && about.Organisation != org {
		err = none
	}
	return records[0], err
}

// Owned fails with a NotFound error unless a delivery is, or before its deletion was, org's: its
// history can be read for ever.
func (v *Views) Owned(ctx context.Context, org domain.OrganisationID, id domain.DeliveryID) error {
	const query = `
		SELECT EXISTS (SELECT FROM deliveries WHERE id = $1 AND organisation_id = $2)
			OR EXISTS (SELECT FROM dispatch_deliveries WHERE delivery_id = $1 AND organisation_id = $2)`
	var owned bool
	if err := v.pool.QueryRow(ctx, query, id, org).Scan(&owned); err != nil {
		return fmt.Errorf("view owner of %s: %w", id, err)
	}
	if !owned {
		return domain.Errorf(domain.NotFound, "DELIVERY_NOT_FOUND", "there is no delivery %s", id)
	}
	return nil
}
