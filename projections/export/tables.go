package export

import "github.com/openprospect/delivery-ledger/domain"

// organisationOf returns the organisation of a delivery, by the event that created it: also of one that was deleted.
func organisationOf(delivery string) string {
	return `(SELECT c.data->>'organisation' FROM events c WHERE c.stream = '` + domain.DeliveryStream("") + `' || ` + delivery + ` AND c.version = 1)`
}

// Log returns the table of the events.
func Log() Table {
	return Table{
		Name: "log", from: "events", order: `t.position`,
		of: `coalesce(t.data->>'organisation', ` + organisationOf(`(t.data->>'delivery')`) + `)`,
		Columns: []Column{
			{Name: "position", Type: Integer},
			{Name: "stream"},
			{Name: "version", Type: Integer},
			{Name: "type"},
			{Name: "schema_version", Type: Integer},
			{Name: "recorded_at", Type: Time},
			{Name: "id"},
			{Name: "data", Type: JSON},
			{Name: "metadata", Type: JSON},
			{Name: "hash", sql: `encode(t.hash, 'hex')`},
		},
	}
}

// Tables returns what can be exported: the log, and tables of the read models. Columns are only ever added, at the end.
func Tables() []Table {
	ofDelivery := organisationOf(`t.delivery_id`)
	organisation := Column{Name: "organisation_id", Optional: true, sql: ofDelivery}
	return []Table{
		Log(),
		{
			Name: "companies", follower: "companies", of: ofDelivery, order: `t.delivery_id, t.delivery_number`,
			Columns: []Column{
				organisation,
				{Name: "delivery_id"},
				{Name: "number", Type: Integer, sql: `t.delivery_number`},
				{Name: "prospect_search_id"},
				{Name: "position", Type: Integer},
				{Name: "delivered_at", Type: Time},
				{Name: "handover_id"},
				{Name: "company_id"},
				{Name: "score", Type: Integer},
				{Name: "company", Type: JSON},
				{Name: "prospects", Type: JSON},
				{Name: "match_reasons", Type: JSON},
			},
		},
		{
			Name: "daily", follower: "daily", of: ofDelivery, order: `t.delivery_id, t.destination_id, t.day`,
			Columns: []Column{
				organisation,
				{Name: "delivery_id"},
				{Name: "destination_id"},
				{Name: "day", Type: Date},
				{Name: "handed_over", Type: Integer},
				{Name: "disqualified", Type: Integer},
				{Name: "delivered", Type: Integer},
				{Name: "failed", Type: Integer},
				{Name: "attempts", Type: Integer},
				{Name: "failed_attempts", Type: Integer},
				{Name: "microseconds", Type: Integer},
				{Name: "p50_ms", Type: Real, Optional: true, sql: `time_to_deliver_ms(t.times, 50)`},
				{Name: "p95_ms", Type: Real, Optional: true, sql: `time_to_deliver_ms(t.times, 95)`},
				{Name: "p99_ms", Type: Real, Optional: true, sql: `time_to_deliver_ms(t.times, 99)`},
			},
		},
		{
			Name: "deliveries", follower: "deliveries", of: `t.organisation_id`, order: `t.id`,
			Columns: []Column{
				{Name: "organisation_id"},
				{Name: "id"},
				{Name: "name"},
				{Name: "status"},
				{Name: "schedule"},
				{Name: "timezone"},
				{Name: "prospect_search_id"},
				{Name: "rules", Type: JSON},
				{Name: "threshold", Type: Integer},
				{Name: "profile_version", Type: Integer},
				{Name: "destinations", Type: Integer},
				{Name: "version", Type: Integer},
				{Name: "created_at", Type: Time},
				{Name: "updated_at", Type: Time},
			},
		},
		{
			Name: "destinations", follower: "deliveries", of: ofDelivery, order: `t.id`,
			Columns: []Column{
				organisation,
				{Name: "delivery_id"},
				{Name: "id"},
				{Name: "config", Type: JSON},
				{Name: "disabled_reason"},
				{Name: "version", Type: Integer},
				{Name: "created_at", Type: Time},
				{Name: "updated_at", Type: Time},
			},
		},
		{
			Name: "dispatches", follower: "dispatches", of: ofDelivery, order: `t.id`,
			Columns: []Column{
				organisation,
				{Name: "delivery_id"},
				{Name: "destination_id"},
				{Name: "id"},
				{Name: "sequence", Type: Integer},
				{Name: "position", Type: Integer},
				{Name: "handover_id", Optional: true},
				{Name: "event", Optional: true},
				{Name: "status"},
				{Name: "attempts", Type: Integer},
				{Name: "replayed", Type: Boolean},
				{Name: "due", Type: Time, Optional: true},
				{Name: "settled_at", Type: Time, Optional: true},
			},
		},
		{
			Name: "erasures", follower: "erasures", of: `t.organisation_id`, order: `t.organisation_id, t.id`,
			Columns: []Column{
				{Name: "organisation_id"},
				{Name: "id"},
				{Name: "status"},
				{Name: "subject", Type: JSON},
				{Name: "prospects", Type: Integer},
				{Name: "companies", Type: Integer},
				{Name: "events", Type: Integer},
				{Name: "in_clear", Type: Integer},
				{Name: "started_at", Type: Time},
				{Name: "ended_at", Type: Time, Optional: true},
			},
		},
		{
			Name: "exclusions", follower: "deliveries", of: `t.organisation_id`, order: `t.organisation_id, t.id`,
			Columns: []Column{
				{Name: "organisation_id"},
				{Name: "id"},
				{Name: "position", Type: Integer},
				{Name: "kind"},
				{Name: "value"},
				{Name: "reason"},
				{Name: "created_at", Type: Time},
			},
		},
		{
			Name: "history", follower: "history", of: ofDelivery, order: `t.delivery_id, t.number`,
			Columns: []Column{
				organisation,
				{Name: "delivery_id"},
				{Name: "number", Type: Integer},
				{Name: "position", Type: Integer},
				{Name: "type"},
			},
		},
		{
			Name: "reasons", follower: "daily", of: ofDelivery, order: `t.delivery_id, t.day, t.kind, t.destination_id, t.reason`,
			Columns: []Column{
				organisation,
				{Name: "delivery_id"},
				{Name: "destination_id"},
				{Name: "day", Type: Date},
				{Name: "kind"},
				{Name: "reason"},
				{Name: "count", Type: Integer},
			},
		},
		{
			Name: "replays", follower: "replays", of: ofDelivery, order: `t.id`,
			Columns: []Column{
				organisation,
				{Name: "delivery_id"},
				{Name: "id"},
				{Name: "status"},
				{Name: "filter", Type: JSON},
				{Name: "count", Type: Integer},
				{Name: "replayed", Type: Integer},
				{Name: "started_at", Type: Time},
				{Name: "ended_at", Type: Time, Optional: true},
			},
		},
		{
			Name: "requalifications", follower: "requalifications", of: ofDelivery, order: `t.id`,
			Columns: []Column{
				organisation,
				{Name: "delivery_id"},
				{Name: "id"},
				{Name: "status"},
				{Name: "obstacle"},
				{Name: "filter", Type: JSON},
				{Name: "profile_version", Type: Integer},
				{Name: "count", Type: Integer},
				{Name: "seen", Type: Integer},
				{Name: "qualified", Type: Integer},
				{Name: "disqualified", Type: Integer},
				{Name: "excluded", Type: Integer},
				{Name: "started_at", Type: Time},
				{Name: "ended_at", Type: Time, Optional: true},
			},
		},
		{
			Name: "stats", follower: "stats", of: ofDelivery, order: `t.delivery_id, t.destination_id, t.hour`,
			Columns: []Column{
				organisation,
				{Name: "delivery_id"},
				{Name: "destination_id"},
				{Name: "hour", Type: Time},
				{Name: "handed_over", Type: Integer},
				{Name: "delivered", Type: Integer},
				{Name: "failed", Type: Integer},
				{Name: "attempts", Type: Integer},
				{Name: "failed_attempts", Type: Integer},
				{Name: "microseconds", Type: Integer},
			},
		},
	}
}

// TableNamed returns the table of that name, and false when there is none.
func TableNamed(name string) (Table, bool) {
	for _, t := range Tables() {
		if t.Name == name {
			return t, true
		}
	}
	return Table{}, false
}
