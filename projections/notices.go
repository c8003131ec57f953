package projections

import (
	"time"

	"github.com/openprospect/delivery-ledger/domain"
)

// notices are the operational events of a run, turned on their side. Each is owed to the webhook
// destinations of the same organisation that were subscribed to it at its position, under whichever
// delivery, also to the one that it is about. It is due at once, whatever a delivery's schedule; where a delivery
// is paused or the destination disabled, it is held like all else. A dispatch that was under way when its
// destination was removed is shown as cancelled, and nobody is told that it failed.
//
// Why not a dispatch for each operational event that somebody appends: those are in the log already, and
// what follows from it is said once.
type notices struct {
	positions     []int64
	due           []time.Time
	events, about []string
}

// add adds an event about a destination to the run.
func (n *notices) add(entry Entry, about domain.DestinationID) {
	n.positions = append(n.positions, int64(entry.Position))
	n.due = append(n.due, entry.RecordedAt)
	n.events = append(n.events, entry.Event.EventType())
	n.about = append(n.about, string(about))
}

// told selects what a run of notices owes, for [handOvers.flush]. The names of types of events are those
// that destinations subscribe to. The SQL of the ID is [domain.NoticeIDFor].
const told = `
				SELECT n.position, n.due, NULL, n.event, t.destination_id, t.delivery_id, t.ordered, t.last_sequence,
					'dsp_' || lpad(to_hex(n.position), 12, '0')
						|| substr(encode(sha256(convert_to(n.position || '/' || t.destination_id, 'UTF8')), 'hex'), 1, 18)
				FROM unnest($5::bigint[], $6::timestamptz[], $7::text[], $8::text[]) AS n(position, due, event, about)
				JOIN dispatch_targets f ON f.destination_id = n.about AND NOT f.removed
				JOIN dispatch_targets t ON t.organisation_id = f.organisation_id AND t.operational IS NOT NULL AND NOT t.removed
					AND strpos(t.operational, '"' || n.event || '"') > 0`
