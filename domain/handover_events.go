package domain

import (
	"encoding/json"
	"time"

	"github.com/openprospect/delivery-ledger/domain/rules"
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
	Prospects    json.RawMessage `json:"prospects"` // as the engine sent them; sealed: a list of their ids, each with the whole
	Score        int             `json:"qualification_score"`
	MatchReasons []string        `json:"match_reasons"`
	Due          *time.Time      `json:"due,omitempty"` // of its pushes; absent: at once

	// Of a company that came as a candidate, and was judged by the delivery's rules.
	Profile  int64           `json:"profile_version,omitempty"`
	Verdicts []rules.Verdict `json:"verdicts,omitempty"` // on each rule

	Requalification RequalificationID `json:"requalification,omitempty"` // the job that judged it again; empty: it was sent

	Key int64 `json:"key,omitempty"` // under which the prospects are sealed; absent: they are in the clear
}

// CompanyDisqualified records that a candidate does not qualify under a delivery's rules, or that a
// company, qualified or not, is excluded by the organisation. It is in the stream of the company's
// hand-over, which it may still come to.
type CompanyDisqualified struct {
	Organisation OrganisationID  `json:"organisation"`
	Delivery     DeliveryID      `json:"delivery"`
	Search       SearchID        `json:"prospect_search"`
	CompanyID    CompanyID       `json:"company_id"`
	Company      json.RawMessage `json:"company"`              // as the engine sent it
	Prospects    json.RawMessage `json:"prospects"`            // as the engine sent them; sealed: a list of their ids, each with the whole
	Attributes   json.RawMessage `json:"attributes,omitempty"` // sealed: an object with the whole
	Fingerprint  string          `json:"fingerprint"`          // of what was sent: tells whether it is sent again
	Score        int             `json:"qualification_score"`
	Profile      int64           `json:"profile_version"`
	Verdicts     []rules.Verdict `json:"verdicts"` // on each rule

	Excluded     *Excluded `json:"excluded,omitempty"`      // what excludes it: then it was not judged by rules
	MatchReasons []string  `json:"match_reasons,omitempty"` // of an excluded company that came qualified

	Requalification RequalificationID `json:"requalification,omitempty"` // the job that judged it again; empty: it was sent

	Key int64 `json:"key,omitempty"` // under which prospects and attributes are sealed; absent: they are in the clear
}

// CompanyQualifiedV1 is a [CompanyQualified] as it was recorded before prospects were sealed.
type CompanyQualifiedV1 struct {
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

	// Of a company that came as a candidate, and was judged by the delivery's rules.
	Profile  int64           `json:"profile_version,omitempty"`
	Verdicts []rules.Verdict `json:"verdicts,omitempty"` // on each rule

	Requalification RequalificationID `json:"requalification,omitempty"` // the job that judged it again; empty: it was sent
}

// Upcast returns the event in the clear.
func (e CompanyQualifiedV1) Upcast() any {
	return CompanyQualified{
		HandOver: e.HandOver, Organisation: e.Organisation, Delivery: e.Delivery, Search: e.Search, CompanyID: e.CompanyID, Company: e.Company,
		Prospects: e.Prospects, Score: e.Score, MatchReasons: e.MatchReasons, Due: e.Due, Profile: e.Profile, Verdicts: e.Verdicts,
		Requalification: e.Requalification,
	}
}

// Former returns what was recorded before.
func (CompanyQualified) Former() []Former { return []Former{CompanyQualifiedV1{}} }

// CompanyDisqualifiedV1 is a [CompanyDisqualified] as it was recorded before prospects were sealed.
type CompanyDisqualifiedV1 struct {
	Organisation OrganisationID  `json:"organisation"`
	Delivery     DeliveryID      `json:"delivery"`
	Search       SearchID        `json:"prospect_search"`
	CompanyID    CompanyID       `json:"company_id"`
	Company      json.RawMessage `json:"company"`   // as the engine sent it
	Prospects    json.RawMessage `json:"prospects"` // as the engine sent them
	Attributes   json.RawMessage `json:"attributes,omitempty"`
	Fingerprint  string          `json:"fingerprint"` // of what was sent: tells whether it is sent again
	Score        int             `json:"qualification_score"`
	Profile      int64           `json:"profile_version"`
	Verdicts     []rules.Verdict `json:"verdicts"` // on each rule

	Excluded     *Excluded `json:"excluded,omitempty"`      // what excludes it: then it was not judged by rules
	MatchReasons []string  `json:"match_reasons,omitempty"` // of an excluded company that came qualified

	Requalification RequalificationID `json:"requalification,omitempty"` // the job that judged it again; empty: it was sent
}

// Upcast returns the event in the clear.
func (e CompanyDisqualifiedV1) Upcast() any {
	return CompanyDisqualified{
		Organisation: e.Organisation, Delivery: e.Delivery, Search: e.Search, CompanyID: e.CompanyID, Company: e.Company, Prospects: e.Prospects,
		Attributes: e.Attributes, Fingerprint: e.Fingerprint, Score: e.Score, Profile: e.Profile, Verdicts: e.Verdicts, Excluded: e.Excluded,
		MatchReasons: e.MatchReasons, Requalification: e.Requalification,
	}
}

// Former returns what was recorded before.
func (CompanyDisqualified) Former() []Former { return []Former{CompanyDisqualifiedV1{}} }

// EventType returns the event's name in storage.
func (CompanyQualified) EventType() string { return "company.qualified" }

// EventType returns the event's name in storage.
func (CompanyDisqualified) EventType() string { return "company.disqualified" }

func (CompanyQualified) event()    {}
func (CompanyDisqualified) event() {}

// OwedSince returns when its pushes came due: once the event was recorded, or when the delivery's
// schedule said.
func (e CompanyQualified) OwedSince(recordedAt time.Time) time.Time {
	if e.Due != nil {
		return *e.Due
	}
	return recordedAt
}
