package domain

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a qualification.
const (
	maxExternalID = 200 // characters of an ID that is given to us
	maxProspects  = 1000
	maxReasons    = 100
	maxReason     = 500
)

// HandOver is what the events of one company under one delivery add up to. The zero
// HandOver did not happen.
type HandOver struct {
	ID           HandOverID
	Company      CompanyID
	Disqualified Disqualification // the last one, until the company is handed over
}

// A Disqualification is what is known of a company that did not qualify. The zero Disqualification
// did not happen.
type Disqualification struct {
	Profile     int64 // the version that it was judged by; 0: it came qualified, and was excluded
	Score       int
	Fingerprint string
	Excluded    *Excluded // what excludes the company; nil: it did not qualify by the rules

	Candidate    Candidate // as it was recorded: sealed, where the event was
	MatchReasons []string  // of one that came qualified
	Key          int64     // under which the candidate is sealed; 0: it is in the clear
}

// HandOverStream names the stream of a company's hand-over under a delivery. A company
// qualifying twice meets its own stream, which is what makes it a duplicate.
func HandOverStream(d DeliveryID, c CompanyID) string {
	return "handover/" + string(d) + "/" + string(c)
}

// Evolve returns the hand-over after event. Events of other streams leave it unchanged.
func (h HandOver) Evolve(event Event) HandOver {
	switch e := event.(type) {
	case CompanyQualified:
		return HandOver{ID: e.HandOver, Company: e.CompanyID}
	case CompanyDisqualified:
		h.Company = e.CompanyID
		h.Disqualified = Disqualification{
			Profile: e.Profile, Score: e.Score, Fingerprint: e.Fingerprint, Excluded: e.Excluded,
			Candidate: Candidate{Company: e.Company, Prospects: e.Prospects, Attributes: e.Attributes}, MatchReasons: e.MatchReasons,
			Key: e.Key,
		}
	}
	return h
}

// Recorded returns what was recorded of the candidate when the company was last disqualified under d, so that it can be opened.
func (h HandOver) Recorded(d Delivery) CompanyDisqualified {
	c := h.Disqualified.Candidate
	return CompanyDisqualified{
		Organisation: d.Organisation, Delivery: d.ID, CompanyID: h.Company,
		Company: c.Company, Prospects: c.Prospects, Attributes: c.Attributes, Key: h.Disqualified.Key,
	}
}

// Reading returns the hand-over with the candidate as e, which was opened, has it.
func (h HandOver) Reading(e CompanyDisqualified) HandOver {
	h.Disqualified.Candidate = Candidate{Company: e.Company, Prospects: e.Prospects, Attributes: e.Attributes}
	h.Disqualified.Key = e.Key
	return h
}

// A Qualification is a company that passed a customer's rules, as the engine sends it
// (contract, section 9).
type Qualification struct {
	Company      json.RawMessage `json:"company"`   // an object with an id and a name
	Prospects    json.RawMessage `json:"prospects"` // a list of objects with an id each; absent or null: none
	Score        *int            `json:"qualification_score"`
	MatchReasons []string        `json:"match_reasons"`
}

// QualifyCompany hands a company over under a delivery: once, however often it is sent. One that the
// organisation excludes is disqualified instead, for as long as it does.
type QualifyCompany struct {
	ID            HandOverID
	Delivery      Delivery // as it stood; whoever executes the command guards its version
	CompanyID     CompanyID
	Qualification Qualification
	Excluded      *Excluded // by which the organisation excludes the company, nil: it does not
}

// Stream names the stream the command is about.
func (c QualifyCompany) Stream() string { return HandOverStream(c.Delivery.ID, c.CompanyID) }

// Decide returns what the qualification adds: nothing when the company was handed over
// under this delivery before, or is excluded and that is known. The qualification must have passed [Qualification.Check].
func (c QualifyCompany) Decide(h HandOver, now time.Time) ([]Event, error) {
	if h.ID != "" {
		return nil, nil
	}
	q := c.Qualification
	if c.Excluded != nil {
		return exclude(h, CompanyDisqualified{
			Organisation: c.Delivery.Organisation, Delivery: c.Delivery.ID, Search: c.Delivery.Search, CompanyID: c.CompanyID,
			Company: q.Company, Prospects: q.Prospects, Score: *q.Score, MatchReasons: q.MatchReasons, Excluded: c.Excluded,
		}), nil
	}
	qualified := CompanyQualified{
		HandOver: c.ID, Organisation: c.Delivery.Organisation, Delivery: c.Delivery.ID, Search: c.Delivery.Search,
		CompanyID: c.CompanyID, Company: q.Company, Prospects: listOf(q.Prospects), Score: *q.Score, MatchReasons: q.MatchReasons,
	}
	if q.MatchReasons == nil {
		qualified.MatchReasons = []string{}
	}
	due, err := c.Delivery.due(now)
	if err != nil {
		return nil, err
	}
	if due.After(now) {
		qualified.Due = &due
	}
	return []Event{qualified}, nil
}

// Check returns the ID of the company, or an Invalid error with all that is wrong.
func (q Qualification) Check() (CompanyID, error) {
	var f faults
	id := f.checkCompany(q.Company)
	f.checkProspects(q.Prospects)
	switch {
	case q.Score == nil:
		f.add("qualification_score", nil, "is required")
	case *q.Score < 0 || *q.Score > 100:
		f.add("qualification_score", *q.Score, "must be from 0 to 100")
	}
	if len(q.MatchReasons) > maxReasons {
		f.add("match_reasons", len(q.MatchReasons), "must be at most %d", maxReasons)
	}
	for i, reason := range q.MatchReasons[:min(len(q.MatchReasons), maxReasons)] {
		f.checkText("match_reasons."+strconv.Itoa(i), reason, 1, maxReason)
	}
	return id, f.err()
}

// checkCompany notes what is wrong with a company, and returns its ID. The names of its fields
// count as they are written: to encoding/json alone "ID" would be "id", to a receiver not.
func (f *faults) checkCompany(raw json.RawMessage) CompanyID {
	var fields map[string]json.RawMessage
	if !isText(raw, '{') || json.Unmarshal(raw, &fields) != nil {
		f.add("company", nil, "must be an object with an id and a name that are text")
		return ""
	}
	id, ok := f.textField(fields, "id")
	if ok {
		f.checkExternalID("company.id", id)
	}
	if name, ok := f.textField(fields, "name"); ok {
		f.checkName("company.name", name, 1)
	}
	return CompanyID(id)
}

// textField returns a field of a company, empty if it is absent, and false if it is no text.
// It notes fields whose name differs by case alone.
func (f *faults) textField(company map[string]json.RawMessage, name string) (text string, ok bool) {
	var others []string
	for key := range company {
		if key != name && strings.EqualFold(key, name) {
			others = append(others, key)
		}
	}
	slices.Sort(others)
	for _, key := range others {
		f.add("company."+key, nil, "must be written %s", name)
	}
	if value, given := company[name]; given && json.Unmarshal(value, &text) != nil {
		f.add("company."+name, nil, "must be text")
		return "", false
	}
	return text, true
}

// checkProspects notes what is wrong with a list of prospects.
func (f *faults) checkProspects(raw json.RawMessage) {
	if !given(raw) {
		return
	}
	var prospects []struct {
		ID *string `json:"id"`
	}
	if !isText(raw, '[') || json.Unmarshal(raw, &prospects) != nil {
		f.add("prospects", nil, "must be a list of objects, each with an id that is text")
		return
	}
	if len(prospects) > maxProspects {
		f.add("prospects", len(prospects), "must be at most %d", maxProspects)
	}
	for i, p := range prospects[:min(len(prospects), maxProspects)] {
		f.checkExternalID("prospects."+strconv.Itoa(i)+".id", or(p.ID, ""))
	}
}

// given reports whether raw is there, and not null.
func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// listOf returns the list that raw is, an empty one when it says nothing.
func listOf(raw json.RawMessage) json.RawMessage {
	if !given(raw) {
		return json.RawMessage("[]")
	}
	return raw
}

// isText reports whether raw begins with first and is UTF-8 throughout, which
// encoding/json does not ask for and the log does.
func isText(raw json.RawMessage, first byte) bool {
	return len(raw) > 0 && raw[0] == first && utf8.Valid(raw)
}

// checkName notes a name that is too short, too long, or not printable.
func (f *faults) checkName(field, name string, shortest int) {
	f.checkText(field, name, shortest, maxName)
}

// checkText notes a text that is too short, too long, or not printable.
func (f *faults) checkText(field, text string, shortest, longest int) {
	switch n := utf8.RuneCountInString(text); {
	case n < shortest && text == "":
		f.add(field, nil, "is required")
	case n > longest:
		f.add(field, nil, "must have at most %d characters", longest)
	case strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text):
		f.add(field, nil, "must not contain control characters")
	}
}

// checkExternalID notes an ID of the engine's that cannot be kept. It becomes part of a
// stream's name, so it has neither white space nor control characters.
func (f *faults) checkExternalID(field, id string) {
	switch {
	case id == "":
		f.add(field, nil, "is required")
	case utf8.RuneCountInString(id) > maxExternalID:
		f.add(field, nil, "must have at most %d characters", maxExternalID)
	case strings.ContainsFunc(id, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) || !utf8.ValidString(id):
		f.add(field, id, "must not contain white space or control characters")
	}
}
