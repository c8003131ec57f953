package domain

import "time"

// RequalifyCompany judges a company again that was disqualified, as it was recorded last, by the
// delivery's rules and by what the organisation excludes. It is handed over if it qualifies now; else
// that is recorded, unless it is what is known already. A company that came qualified, and was
// excluded, is handed over as it came once it is excluded no more. One that was handed over, or came
// again in another form since it was looked up, is left as it is.
type RequalifyCompany struct {
	ID              HandOverID
	Requalification RequalificationID
	Delivery        Delivery  // as it stood; whoever executes the command guards its version
	Company         HandOver  // as it was when Excluded was looked up, in the clear
	Excluded        *Excluded // by which the organisation excludes the company, nil: it does not
}

// Stream names the stream the command is about.
func (c RequalifyCompany) Stream() string { return HandOverStream(c.Delivery.ID, c.Company.Company) }

// Decide returns what judging the company again adds.
func (c RequalifyCompany) Decide(h HandOver, now time.Time) ([]Event, error) {
	if h.ID != "" || h.Disqualified.Fingerprint != c.Company.Disqualified.Fingerprint {
		return nil, nil
	}
	events, err := c.judge(h, now)
	for i, event := range events {
		switch e := event.(type) {
		case CompanyQualified:
			e.Requalification = c.Requalification
			events[i] = e
		case CompanyDisqualified:
			e.Requalification = c.Requalification
			events[i] = e
		}
	}
	return events, err
}

// judge returns what would be added if the company was sent now.
func (c RequalifyCompany) judge(h HandOver, now time.Time) ([]Event, error) {
	last, candidate := h.Disqualified, c.Company.Disqualified.Candidate // the state's may be sealed
	if last.Profile > 0 {
		return JudgeCandidate{
			ID: c.ID, Delivery: c.Delivery, CompanyID: h.Company, Candidate: candidate, Excluded: c.Excluded,
		}.Decide(h, now)
	}
	return QualifyCompany{
		ID: c.ID, Delivery: c.Delivery, CompanyID: h.Company, Excluded: c.Excluded,
		Qualification: Qualification{
			Company: candidate.Company, Prospects: candidate.Prospects, Score: &last.Score, MatchReasons: last.MatchReasons,
		},
	}.Decide(h, now)
}
