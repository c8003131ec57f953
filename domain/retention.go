package domain

import (
	"maps"
	"time"
)

// RetentionApplied says what was erased of an organisation by its age.
type RetentionApplied struct {
	Organisation OrganisationID `json:"organisation"`
	Days         int            `json:"days"`            // for which what is personal is kept
	UpTo         int64          `json:"up_to"`           // position: nothing that was recorded up to there is to be shown any more
	Keys         []int64        `json:"keys,omitempty"`  // that were destroyed, by number; absent: none was old enough
	Feeds        []RetainedFeed `json:"feeds,omitempty"` // in which companies came to be too old
}

// A RetainedFeed is a delivery's feed, of which the companies from one number on, up to another, came to be too old.
type RetainedFeed struct {
	Delivery DeliveryID `json:"delivery"`
	After    int64      `json:"after"` // exclusive
	Until    int64      `json:"until"`
}

// EventType returns the event's name in storage.
func (RetentionApplied) EventType() string { return "retention.applied" }

func (RetentionApplied) event() {}

// Retention is what the events of an organisation's retention add up to. The zero Retention was never applied.
type Retention struct {
	UpTo  int64
	Until map[DeliveryID]int64 // number of the last company that was too old, in each feed
}

// RetentionStream names the stream that says what was erased of an organisation by its age.
func RetentionStream(org OrganisationID) string { return "retention/" + string(org) }

// Evolve returns the state after event. Events of other streams leave it unchanged.
func (r Retention) Evolve(event Event) Retention {
	if e, ok := event.(RetentionApplied); ok {
		r.UpTo, r.Until = e.UpTo, maps.Clone(r.Until)
		if r.Until == nil {
			r.Until = map[DeliveryID]int64{}
		}
		for _, feed := range e.Feeds {
			r.Until[feed.Delivery] = feed.Until
		}
	}
	return r
}

// ApplyRetention notes what was erased of an organisation by its age.
type ApplyRetention struct{ Applied RetentionApplied }

// Stream names the stream the command is about.
func (c ApplyRetention) Stream() string { return RetentionStream(c.Applied.Organisation) }

// Decide returns what it adds: nothing when as much was erased before.
func (c ApplyRetention) Decide(r Retention, _ time.Time) ([]Event, error) {
	if c.Applied.UpTo <= r.UpTo && len(c.Applied.Keys) == 0 {
		return nil, nil
	}
	return []Event{c.Applied}, nil
}
