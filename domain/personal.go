package domain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// A Cipher seals and opens what is personal, under one of an organisation's keys. What is sealed is about a subject, named by its
// parts, and opens in its place alone. Number 0 is of what is in the clear: it tells what was erased of that.
type Cipher interface {
	Number() int64

	// Holds reports whether what is about a subject can be opened: it was not erased.
	Holds(subject []string) bool

	Seal(subject []string, place string, plain []byte) ([]byte, error)

	// Open is false when the subject was erased.
	Open(subject []string, place string, sealed []byte) (plain []byte, held bool, err error)
}

// A Personal event holds what is personal: prospects, what else the engine told with them, and what receivers answered to them.
// Commands decide on such events in the clear, and record them sealed: what was erased is then not there when they are opened.
type Personal interface {
	Event

	// Owner is whose keys seal the event; empty: it is not known, since it was recorded before that was told.
	Owner() OrganisationID

	// Bare reports whether the event has nothing personal, sealed or not.
	Bare() bool

	// SealedBy is the number of the key under which the event is sealed, 0: it is in the clear.
	SealedBy() int64

	// Sealed returns the event, which is in the clear, and not bare, sealed.
	Sealed(c Cipher) (Event, error)

	// Opened returns the event in the clear, without what was erased. The cipher is that of [Personal.SealedBy].
	Opened(c Cipher) (Event, error)
}

// subjectOfProspect names a prospect, as a person known in a company.
func subjectOfProspect(company CompanyID, id string) []string {
	return []string{"prospect", string(company), id}
}

// subjectOfAttributes names what the engine knows of a candidate beside company and prospects.
func subjectOfAttributes(company CompanyID) []string { return []string{"attributes", string(company)} }

// SubjectOfAnswers names what receivers answered to a hand-over.
func SubjectOfAnswers(h HandOverID) []string { return []string{"answers", string(h)} }

// A prospect is one of a list.
type prospect struct {
	id  string
	raw []byte // as it was sent, without white space between its parts
}

// prospectsIn returns those in a list in the clear.
func prospectsIn(list json.RawMessage) ([]prospect, error) {
	if !given(list) {
		return nil, nil
	}
	var all []json.RawMessage
	if err := json.Unmarshal(list, &all); err != nil {
		return nil, fmt.Errorf("read prospects: %w", err)
	}
	prospects := make([]prospect, len(all))
	for i, raw := range all {
		var named struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(raw, &named); err != nil {
			return nil, fmt.Errorf("read prospect %d: %w", i, err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return nil, fmt.Errorf("read prospect %d: %w", i, err)
		}
		prospects[i] = prospect{named.ID, compact.Bytes()}
	}
	return prospects, nil
}

// sealedProspect is one as it is recorded.
type sealedProspect struct {
	ID     string `json:"id"`
	Sealed []byte `json:"sealed"`
}

// sealProspects returns a list sealed for a company, in a place.
func sealProspects(c Cipher, company CompanyID, place string, list json.RawMessage) (json.RawMessage, error) {
	prospects, err := prospectsIn(list)
	if err != nil {
		return nil, err
	}
	sealed := make([]sealedProspect, len(prospects))
	for i, p := range prospects {
		sealed[i].ID = p.id
		if sealed[i].Sealed, err = c.Seal(subjectOfProspect(company, p.id), place, p.raw); err != nil {
			return nil, fmt.Errorf("seal prospect %s: %w", p.id, err)
		}
	}
	return marshal(sealed)
}

// openProspects returns a list in the clear that is sealed for a company, in a place, without the prospects that were erased.
func openProspects(c Cipher, company CompanyID, place string, list json.RawMessage) (json.RawMessage, error) {
	var sealed []sealedProspect
	if err := json.Unmarshal(list, &sealed); err != nil {
		return nil, fmt.Errorf("read sealed prospects: %w", err)
	}
	opened := make([]byte, 1, len(list))
	opened[0] = '['
	for _, p := range sealed {
		plain, held, err := c.Open(subjectOfProspect(company, p.ID), place, p.Sealed)
		if err != nil {
			return nil, fmt.Errorf("open prospect %s: %w", p.ID, err)
		}
		if held {
			opened = appendItem(opened, plain)
		}
	}
	return append(opened, ']'), nil
}

// leaveProspects returns a list that was recorded in the clear without the prospects that were erased: where there are none, as it is.
func leaveProspects(c Cipher, company CompanyID, list json.RawMessage) (json.RawMessage, error) {
	prospects, err := prospectsIn(list)
	if err != nil {
		return nil, err
	}
	left, erased := []byte("["), false
	for _, p := range prospects {
		if !c.Holds(subjectOfProspect(company, p.id)) {
			erased = true
			continue
		}
		left = appendItem(left, p.raw)
	}
	if !erased {
		return list, nil
	}
	return append(left, ']'), nil
}

// appendItem appends an item to a list that is being written.
func appendItem(list, item []byte) []byte {
	if len(list) > 1 {
		list = append(list, ',')
	}
	return append(list, item...)
}

// sealText returns text sealed, as text.
func sealText(c Cipher, subject []string, place string, text []byte) (string, error) {
	sealed, err := c.Seal(subject, place, text)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// openText returns what sealText sealed, nil when it was erased.
func openText(c Cipher, subject []string, place, text string) ([]byte, error) {
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("read what is sealed: %w", err)
	}
	plain, held, err := c.Open(subject, place, sealed)
	if err != nil || !held {
		return nil, err
	}
	return plain, nil
}
