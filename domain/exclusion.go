package domain

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/openprospect/delivery-ledger/domain/rules"
)

// An ExclusionKind says what an exclusion goes by.
type ExclusionKind string

// The kinds of exclusions.
const (
	ByDomain  ExclusionKind = "domain"  // a domain, and all below it
	ByCompany ExclusionKind = "company" // the ID of one company
)

// maxLabels is how many parts an excluded domain has at most. Of a company's domain as many, the
// last ones, are looked at: whatever is sent, few exclusions come into question.
const maxLabels = 8

// maxDomain is the length of a domain at most.
const maxDomain = 253

// Excluded is what an organisation does not want to be handed over, and why.
type Excluded struct {
	Exclusion ExclusionID   `json:"exclusion"`
	Kind      ExclusionKind `json:"kind"`
	Value     string        `json:"value"` // of a domain: as DNS has it, in ASCII and lower case
	Reason    string        `json:"reason,omitempty"`
}

// An Exclusion is what the events of one excluded value of an organisation add up to. The zero
// Exclusion never was.
type Exclusion struct {
	Organisation OrganisationID
	Excluded
	Stands   bool  // it was not removed
	Revision int64 // the stream's version
}

// ExclusionStream names the stream of an organisation's exclusion. Those of one organisation lie
// together in the log's index: whether there is one is seen in few pages of it.
func ExclusionStream(org OrganisationID, id ExclusionID) string {
	return "exclusion/" + string(org) + "/" + string(id)
}

// ExclusionIDFor returns the ID of the one exclusion of a value, a function of its arguments: whether
// a company is excluded is seen without a list of what is.
func ExclusionIDFor(org OrganisationID, kind ExclusionKind, value string) ExclusionID {
	h := sha256.New()
	for _, part := range []string{string(org), string(kind), value} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // a hash takes everything
		h.Write([]byte(part))
	}
	return ExclusionID("exc_" + encoding.EncodeToString(h.Sum(nil)[:16]))
}

// ExclusionStreams names the streams of all exclusions of an organisation that a company could fall
// under: that of its ID, those of its domain, and of the domains above it.
func ExclusionStreams(org OrganisationID, id CompanyID, company json.RawMessage) []string {
	streams := []string{ExclusionStream(org, ExclusionIDFor(org, ByCompany, string(id)))}
	labels := strings.Split(companyDomain(company), ".")
	for i := max(0, len(labels)-maxLabels); i < len(labels)-1; i++ {
		streams = append(streams, ExclusionStream(org, ExclusionIDFor(org, ByDomain, strings.Join(labels[i:], "."))))
	}
	return streams
}

// Evolve returns the exclusion after event. Events of other streams leave it unchanged.
func (x Exclusion) Evolve(event Event) Exclusion {
	switch e := event.(type) {
	case ExclusionAdded:
		return Exclusion{Organisation: e.Organisation, Excluded: e.Excluded, Stands: true, Revision: x.Revision + 1}
	case ExclusionRemoved:
		x.Stands = false
		x.Revision++
	}
	return x
}

// ExclusionsStream names the stream that has an event once an organisation has begun to exclude.
func ExclusionsStream(org OrganisationID) string { return "exclusions/" + string(org) }

// Exclusions are what is known of all exclusions of an organisation together.
type Exclusions struct{ Begun bool }

// Evolve returns the state after event. Events of other streams leave it unchanged.
func (x Exclusions) Evolve(event Event) Exclusions {
	if _, ok := event.(ExclusionsBegun); ok {
		x.Begun = true
	}
	return x
}

// BeginExclusions lets an organisation exclude. It comes before its first [AddExclusion].
type BeginExclusions struct{ Organisation OrganisationID }

// Stream names the stream the command is about.
func (c BeginExclusions) Stream() string { return ExclusionsStream(c.Organisation) }

// Decide returns what the command adds.
func (c BeginExclusions) Decide(x Exclusions, _ time.Time) ([]Event, error) {
	if x.Begun {
		return nil, nil
	}
	return []Event{ExclusionsBegun(c)}, nil
}

// AddExclusion excludes a value. Where it is excluded already that adds nothing, and the reason stays
// what it was.
type AddExclusion struct {
	Organisation OrganisationID
	Excluded     // as [NewExcluded] makes it
}

// Stream names the stream the command is about.
func (c AddExclusion) Stream() string { return ExclusionStream(c.Organisation, c.Exclusion) }

// Decide returns what the command adds.
func (c AddExclusion) Decide(x Exclusion, _ time.Time) ([]Event, error) {
	if x.Stands {
		return nil, nil
	}
	return []Event{ExclusionAdded(c)}, nil
}

// RemoveExclusion ends an exclusion.
type RemoveExclusion struct {
	Organisation OrganisationID
	ID           ExclusionID
}

// Stream names the stream the command is about.
func (c RemoveExclusion) Stream() string { return ExclusionStream(c.Organisation, c.ID) }

// Decide returns what the command adds, or a NotFound error.
func (c RemoveExclusion) Decide(x Exclusion, _ time.Time) ([]Event, error) {
	if !x.Stands {
		return nil, ErrNoExclusion(c.ID)
	}
	return []Event{ExclusionRemoved{Organisation: c.Organisation, Exclusion: c.ID}}, nil
}

// ErrNoExclusion returns what is said of an exclusion that is not there.
func ErrNoExclusion(id ExclusionID) error {
	return Errorf(NotFound, "ENTITY_NOT_FOUND", "there is no exclusion %s", id)
}

// NewExcluded returns what excluding a value asks for, or an Invalid error with all that is wrong. A
// domain may be written as people do: in any script and case, and with a final dot.
func NewExcluded(org OrganisationID, kind ExclusionKind, value, reason string) (Excluded, error) {
	var f faults
	switch kind {
	case ByDomain:
		value = f.checkDomain("value", value)
	case ByCompany:
		f.checkExternalID("value", value)
	case "":
		f.add("kind", nil, "is required")
	default:
		f.add("kind", string(kind), "must be domain or company")
	}
	f.checkText("reason", reason, 0, maxReason)
	return Excluded{Exclusion: ExclusionIDFor(org, kind, value), Kind: kind, Value: value, Reason: reason}, f.err()
}

// checkDomain returns a domain as DNS has it, and notes what is wrong with it.
func (f *faults) checkDomain(field, text string) string {
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(text, "."))
	labels := strings.Split(name, ".")
	switch {
	case text == "":
		f.add(field, nil, "is required")
	case err != nil || !utf8.ValidString(text) || len(labels) < 2 || len(name) > maxDomain || !allLabels(labels):
		f.add(field, strings.ToValidUTF8(text[:min(len(text), maxDomain)], ""), "must be a domain such as example.com, without scheme, port or path")
	case len(labels) > maxLabels:
		f.add(field, text, "must have at most %d parts", maxLabels)
	}
	return name
}

// allLabels reports whether DNS takes each of those for a part of a name.
func allLabels(labels []string) bool {
	for _, label := range labels {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}

// written is how names of companies' hosts are read: leniently, since what is above a part that is no
// good may still be excluded.
var written = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// companyDomain returns the domain of a company as DNS has it, "" when it says none. It may be written
// as an address: of https://www.example.com:8080/about it is www.example.com.
func companyDomain(company json.RawMessage) string {
	var fields map[string]json.RawMessage
	var text string
	if json.Unmarshal(company, &fields) != nil || json.Unmarshal(fields["domain"], &text) != nil {
		return ""
	}
	if _, rest, ok := strings.Cut(text, "://"); ok {
		text = rest
	}
	text, _, _ = strings.Cut(text, "/")
	text, _, _ = strings.Cut(text, "?")
	text, _, _ = strings.Cut(text, "#")
	text = text[strings.LastIndex(text, "@")+1:]
	text, _, _ = strings.Cut(text, ":")
	name, _ := written.ToASCII(strings.Trim(strings.TrimSpace(text), ".")) // as much of it as can be
	return strings.ToLower(name)
}

// exclude returns what disqualifying an excluded company adds: nothing when it was sent unchanged
// before, and the same exclusion was the reason.
func exclude(h HandOver, d CompanyDisqualified) []Event {
	d.Fingerprint = Candidate{Company: d.Company, Prospects: d.Prospects, Attributes: d.Attributes}.fingerprint()
	before := h.Disqualified
	if before.Excluded != nil && *before.Excluded == *d.Excluded && before.Fingerprint == d.Fingerprint && before.Score == d.Score {
		return nil
	}
	if !given(d.Prospects) {
		d.Prospects = json.RawMessage("[]")
	}
	if !given(d.Attributes) {
		d.Attributes = nil
	}
	d.Verdicts = []rules.Verdict{}
	return []Event{d}
}
