package domain

import (
	"encoding/json"
	"time"
)

// CompanyQualified hands a company over under a delivery. It opens the hand-over's
// stream, and the time at which it is recorded is the company's delivered_at.
type CompanyQualified struct {
	HandOver     HandOverID      `json:"hand_over"`
	Organisation OrganisationID  `json:"organisation"`
	Delivery     DeliveryID      `json:"delivery"`
	Search       SearchID        `json:"prospect_search"`
	CompanyID    CompanyID       `json:"company_id"`
	Company      json.RawMessage `json:"company"`   // as the engine sent it
	Prospects    json.RawMessage `json:"prospects"` // as the engine sent them
	Score        int             `json:"qualification_score"`
	MatchReasons []string        `json:"match_reasons"`
	Due          *time.Time      `json:"due,omitempty"` // of its pushes; absent: at once
}

// EventType returns the event's name in storage.
func (CompanyQualified) EventType() string { return "company.qualified" }

func (CompanyQualified) event() {}

// OwedSince returns when its pushes came due: once the event was recorded, or when the delivery's
// schedule said.
func (e CompanyQualified) OwedSince(recordedAt time.Time) time.Time {
	if e.Due != nil {
		return *e.Due
	}
	return recordedAt
}
