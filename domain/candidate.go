package domain

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/openprospect/delivery-ledger/domain/rules"
)

// A Candidate is a company as the engine found it, to be judged by a delivery's rules (contract,
// section 9).
type Candidate struct {
	Company    json.RawMessage // an object with an id and a name
	Prospects  json.RawMessage // a list of objects with an id each; absent or null: none
	Attributes json.RawMessage // an object of whatever else the engine knows; absent or null: nothing
}

// JudgeCandidate hands a company over under a delivery if it qualifies by the delivery's rules, and
// else records that it does not. A company that was handed over is not judged again. One that was
// disqualified is: what is sent again unchanged under the same rules adds nothing, anything else
// another judgement. One that the organisation excludes is disqualified, whatever the rules say.
type JudgeCandidate struct {
	ID        HandOverID
	Delivery  Delivery // as it stood; whoever executes the command guards its version
	CompanyID CompanyID
	Candidate Candidate
	Excluded  *Excluded // by which the organisation excludes the company, nil: it does not
}

// Stream names the stream the command is about.
func (c JudgeCandidate) Stream() string { return HandOverStream(c.Delivery.ID, c.CompanyID) }

// Decide returns what judging the candidate adds. The candidate must have passed [Candidate.Check],
// and the delivery must have rules.
func (c JudgeCandidate) Decide(h HandOver, now time.Time) ([]Event, error) {
	if h.ID != "" {
		return nil, nil
	}
	if !c.Delivery.Judges() {
		return nil, ErrNoRules(string(c.Delivery.ID))
	}
	if c.Excluded != nil {
		return exclude(h, CompanyDisqualified{
			Organisation: c.Delivery.Organisation, Delivery: c.Delivery.ID, Search: c.Delivery.Search, CompanyID: c.CompanyID,
			Company: c.Candidate.Company, Prospects: c.Candidate.Prospects, Attributes: c.Candidate.Attributes,
			Profile: c.Delivery.Profile.Version, Excluded: c.Excluded,
		}), nil
	}
	sum, version := c.Candidate.fingerprint(), c.Delivery.Profile.Version
	if h.Disqualified.Fingerprint == sum && h.Disqualified.Profile == version && h.Disqualified.Excluded == nil {
		return nil, nil
	}
	_, judged, err := c.judge()
	if err != nil {
		return nil, err
	}
	if judged.Qualified {
		return c.qualify(judged, now)
	}
	disqualified := CompanyDisqualified{
		Organisation: c.Delivery.Organisation, Delivery: c.Delivery.ID, Search: c.Delivery.Search, CompanyID: c.CompanyID,
		Company: c.Candidate.Company, Prospects: listOf(c.Candidate.Prospects), Fingerprint: sum,
		Score: judged.Score, Profile: version, Verdicts: judged.Verdicts,
	}
	if given(c.Candidate.Attributes) {
		disqualified.Attributes = c.Candidate.Attributes
	}
	return []Event{disqualified}, nil
}

// judge returns the candidate as the rules see it, and what they say of it.
func (c JudgeCandidate) judge() (seen rules.Candidate, judged rules.Judgement, err error) {
	if seen, err = rules.NewCandidate(c.Candidate.Company, c.Candidate.Prospects, c.Candidate.Attributes); err != nil {
		return seen, judged, fmt.Errorf("read candidate %s: %w", c.CompanyID, err)
	}
	if judged, err = c.Delivery.judge.Judge(seen); err != nil {
		return seen, judged, fmt.Errorf("judge candidate %s by %s: %w", c.CompanyID, c.Delivery.ID, err)
	}
	return seen, judged, nil
}

// qualify returns what handing the company over adds.
func (c JudgeCandidate) qualify(judged rules.Judgement, now time.Time) ([]Event, error) {
	events, err := QualifyCompany{
		ID: c.ID, Delivery: c.Delivery, CompanyID: c.CompanyID,
		Qualification: Qualification{
			Company: c.Candidate.Company, Prospects: c.Candidate.Prospects, Score: &judged.Score, MatchReasons: judged.Reasons,
		},
	}.Decide(HandOver{}, now)
	if err != nil {
		return nil, err
	}
	qualified := events[0].(CompanyQualified)
	qualified.Profile, qualified.Verdicts = c.Delivery.Profile.Version, judged.Verdicts
	return []Event{qualified}, nil
}

// Judges reports whether the delivery has rules to judge candidates by.
func (d Delivery) Judges() bool { return len(d.Profile.Rules) > 0 }

// ErrNoRules returns what is said of candidates for a delivery, or a prospect search, without rules.
func ErrNoRules(id string) error {
	return Errorf(Conflict, "CONFLICT", "%s has no rules to judge candidates by", id)
}

// Check returns the ID of the company, or an Invalid error with all that is wrong.
func (c Candidate) Check() (CompanyID, error) {
	var f faults
	id := f.checkCompany(c.Company)
	f.checkProspects(c.Prospects)
	if given(c.Attributes) && !isText(c.Attributes, '{') {
		f.add("attributes", nil, "must be an object")
	}
	return id, f.err()
}

// fingerprint returns what tells a candidate from another, or from itself once it was changed. White
// space does not count, and no prospects are an empty list.
func (c Candidate) fingerprint() string {
	h := sha256.New()
	for _, raw := range []json.RawMessage{c.Company, c.Prospects, c.Attributes} {
		var compact bytes.Buffer
		if given(raw) {
			_ = json.Compact(&compact, raw) // it is JSON
		}
		if compact.String() == "[]" {
			compact.Reset()
		}
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(compact.Len()))) // a hash takes everything
		h.Write(compact.Bytes())
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
