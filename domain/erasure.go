package domain

import (
	"strings"
	"time"
	"unicode/utf8"
)

// An ErasureStatus says how far an erasure has come.
type ErasureStatus string

// The statuses of an erasure.
const (
	ErasureRunning ErasureStatus = "running"
	ErasureDone    ErasureStatus = "ended"
)

// An ErasureSubject says whom an erasure is about: exactly one of these.
type ErasureSubject struct {
	Prospect string    `json:"prospect_id,omitempty"`  // in whatever company
	Company  CompanyID `json:"company_id,omitempty"`   // all of its prospects, and its attributes
	Email    SecretID  `json:"email_secret,omitempty"` // all prospects who have the e-mail address that is kept under it until the end
}

// longestEmail is the length of an e-mail address at most.
const longestEmail = 320

// CheckErasure returns an Invalid error with all that is wrong with a request to erase: exactly one of the three is wanted.
func CheckErasure(prospect, email *string, company *CompanyID) error {
	var f faults
	given := 0
	if prospect != nil {
		given++
		f.checkExternalID("prospect_id", *prospect)
	}
	if company != nil {
		given++
		f.checkExternalID("company_id", string(*company))
	}
	if email != nil {
		given++
		switch {
		case !strings.Contains(strings.Trim(*email, "@"), "@") || strings.ContainsAny(*email, " \t\r\n"):
			f.add("email", nil, "must be an e-mail address")
		case utf8.RuneCountInString(*email) > longestEmail:
			f.add("email", nil, "must have at most %d characters", longestEmail)
		}
	}
	if given != 1 {
		f.add("body", nil, "must have exactly one of prospect_id, email and company_id")
	}
	return f.err()
}

// Erasure is what the events of one erasure add up to. The zero Erasure was never started.
type Erasure struct {
	ID           ErasureID
	Organisation OrganisationID
	Status       ErasureStatus
	Subject      ErasureSubject
	Identified   bool     // whose the e-mail address is
	Prospects    []string // likewise
	Applied      bool     // keys are destroyed; read models, and what else there is, are yet to be seen to
	Counts       ErasureCounts
}

// ErasureCounts say what was found to be erased.
type ErasureCounts struct {
	Prospects int64 `json:"prospects"` // persons in a company
	Companies int64 `json:"companies"`
	Events    int64 `json:"events"`   // that held something of theirs
	InClear   int64 `json:"in_clear"` // of these, recorded in the clear: they can be kept from being shown, not be destroyed
}

// CountErased returns what was erased.
func CountErased(erased []Erased) (c ErasureCounts) {
	companies, prospects := map[CompanyID]bool{}, map[[2]string]bool{}
	for _, e := range erased {
		companies[e.Company] = true
		for _, id := range e.Prospects {
			prospects[[2]string{string(e.Company), id}] = true
		}
		c.Events++
		if e.InClear {
			c.InClear++
		}
	}
	c.Companies, c.Prospects = int64(len(companies)), int64(len(prospects))
	return c
}

// ErasureStream names the stream that holds the erasure's events.
func ErasureStream(id ErasureID) string { return "erasure/" + string(id) }

// ErasureSecret returns under what the e-mail address of an erasure is kept.
func ErasureSecret(id ErasureID) SecretID { return SecretID("erasure/" + string(id)) }

// Evolve returns the erasure after event. Events of other streams leave it unchanged.
func (x Erasure) Evolve(event Event) Erasure {
	switch e := event.(type) {
	case ErasureStarted:
		return Erasure{ID: e.Erasure, Organisation: e.Organisation, Status: ErasureRunning, Subject: e.Subject}
	case ErasureIdentified:
		x.Identified, x.Prospects = true, e.Prospects
	case ErasureApplied:
		x.Applied = true
	case ErasureEnded:
		x.Status, x.Counts = ErasureDone, e.Counts
	}
	return x
}

// StartErasure begins to erase somebody from all that an organisation was told.
type StartErasure struct {
	ID           ErasureID
	Organisation OrganisationID
	Subject      ErasureSubject
}

// Stream names the stream the command is about.
func (c StartErasure) Stream() string { return ErasureStream(c.ID) }

// Decide returns what starting adds: nothing when it was started already.
func (c StartErasure) Decide(x Erasure, _ time.Time) ([]Event, error) {
	if x.ID != "" {
		return nil, nil
	}
	return []Event{ErasureStarted{Erasure: c.ID, Organisation: c.Organisation, Subject: c.Subject}}, nil
}

// IdentifyErasure notes whose the e-mail address is, before the keys are destroyed by which that could be told.
type IdentifyErasure struct {
	ID        ErasureID
	Prospects []string
}

// Stream names the stream the command is about.
func (c IdentifyErasure) Stream() string { return ErasureStream(c.ID) }

// Decide returns what it adds: nothing when it is known.
func (c IdentifyErasure) Decide(x Erasure, _ time.Time) ([]Event, error) {
	if x.Status != ErasureRunning || x.Identified {
		return nil, nil
	}
	return []Event{ErasureIdentified{Erasure: c.ID, Organisation: x.Organisation, Prospects: c.Prospects}}, nil
}

// ApplyErasure notes what was erased, once nobody can open it any more. Where nothing was found, there is nothing to note.
type ApplyErasure struct {
	ID    ErasureID
	Found []ErasureApplied
}

// Stream names the stream the command is about.
func (c ApplyErasure) Stream() string { return ErasureStream(c.ID) }

// Decide returns what it adds: nothing when that was noted before.
func (c ApplyErasure) Decide(x Erasure, _ time.Time) ([]Event, error) {
	if x.Status != ErasureRunning || x.Applied {
		return nil, nil
	}
	events := make([]Event, len(c.Found))
	for i, found := range c.Found {
		events[i] = found
	}
	return events, nil
}

// EndErasure notes that nothing is left of it.
type EndErasure struct {
	ID     ErasureID
	Counts ErasureCounts
}

// Stream names the stream the command is about.
func (c EndErasure) Stream() string { return ErasureStream(c.ID) }

// Decide returns what the end adds: nothing when it has ended.
func (c EndErasure) Decide(x Erasure, _ time.Time) ([]Event, error) {
	if x.Status != ErasureRunning {
		return nil, nil
	}
	return []Event{ErasureEnded{Erasure: c.ID, Organisation: x.Organisation, Counts: c.Counts}}, nil
}

// ErrNoErasure returns what is said of an erasure that is not there.
func ErrNoErasure(id ErasureID) error {
	return Errorf(NotFound, "ENTITY_NOT_FOUND", "there is no erasure %s", id)
}
