package domain

import (
	"encoding/json"
	"fmt"
)

// Owner returns whose keys seal the event.
func (e CompanyQualified) Owner() OrganisationID { return e.Organisation }

// Bare reports whether there are no prospects.
func (e CompanyQualified) Bare() bool { return isEmptyList(e.Prospects) }

// SealedBy returns the number of the key that seals the event.
func (e CompanyQualified) SealedBy() int64 { return e.Key }

// place says where its prospects are kept.
func (e CompanyQualified) place() string { return HandOverStream(e.Delivery, e.CompanyID) }

// Sealed returns the event sealed.
func (e CompanyQualified) Sealed(c Cipher) (Event, error) {
	sealed, err := sealProspects(c, e.CompanyID, e.place(), e.Prospects)
	e.Prospects, e.Key = sealed, c.Number()
	return e, err
}

// Opened returns the event in the clear.
func (e CompanyQualified) Opened(c Cipher) (_ Event, err error) {
	if e.Key == 0 {
		e.Prospects, err = leaveProspects(c, e.CompanyID, e.Prospects)
		return e, err
	}
	e.Prospects, err = openProspects(c, e.CompanyID, e.place(), e.Prospects)
	e.Key = 0
	return e, err
}

// Owner returns whose keys seal the event.
func (e CompanyDisqualified) Owner() OrganisationID { return e.Organisation }

// Bare reports whether there are neither prospects nor attributes.
func (e CompanyDisqualified) Bare() bool { return isEmptyList(e.Prospects) && !given(e.Attributes) }

// SealedBy returns the number of the key that seals the event.
func (e CompanyDisqualified) SealedBy() int64 { return e.Key }

// place says where its prospects and attributes are kept.
func (e CompanyDisqualified) place() string { return HandOverStream(e.Delivery, e.CompanyID) }

// Sealed returns the event sealed.
func (e CompanyDisqualified) Sealed(c Cipher) (Event, error) {
	prospects, err := sealProspects(c, e.CompanyID, e.place(), e.Prospects)
	if err != nil {
		return nil, err
	}
	if given(e.Attributes) {
		text, err := sealText(c, subjectOfAttributes(e.CompanyID), e.place(), e.Attributes)
		if err != nil {
			return nil, fmt.Errorf("seal attributes: %w", err)
		}
		e.Attributes = json.RawMessage(`{"sealed":"` + text + `"}`)
	}
	e.Prospects, e.Key = prospects, c.Number()
	return e, nil
}

// Opened returns the event in the clear.
func (e CompanyDisqualified) Opened(c Cipher) (_ Event, err error) {
	if e.Key == 0 {
		if !c.Holds(subjectOfAttributes(e.CompanyID)) {
			e.Attributes = nil
		}
		e.Prospects, err = leaveProspects(c, e.CompanyID, e.Prospects)
		return e, err
	}
	if e.Prospects, err = openProspects(c, e.CompanyID, e.place(), e.Prospects); err != nil {
		return nil, err
	}
	if given(e.Attributes) {
		var whole struct {
			Sealed string `json:"sealed"`
		}
		if err := json.Unmarshal(e.Attributes, &whole); err != nil {
			return nil, fmt.Errorf("read sealed attributes: %w", err)
		}
		if e.Attributes, err = openText(c, subjectOfAttributes(e.CompanyID), e.place(), whole.Sealed); err != nil {
			return nil, fmt.Errorf("open attributes: %w", err)
		}
	}
	e.Key = 0
	return e, nil
}

// Owner returns whose keys seal the event.
func (a Attempt) Owner() OrganisationID { return a.Organisation }

// SealedBy returns the number of the key that seals the event.
func (a Attempt) SealedBy() int64 { return a.Key }

// place says where the answer is kept.
func (a Attempt) place() string { return fmt.Sprintf("%s/%d", DispatchStream(a.Dispatch), a.Number) }

// Bare reports whether there is no answer, or it is about nobody, as it is to operational events.
func (a Attempt) Bare() bool { return a.ResponseBody == "" || a.HandOver == "" }

// sealed returns the attempt sealed.
func (a Attempt) sealed(c Cipher) (Attempt, error) {
	text, err := sealText(c, SubjectOfAnswers(a.HandOver), a.place(), []byte(a.ResponseBody))
	if err != nil {
		return a, fmt.Errorf("seal answer: %w", err)
	}
	a.ResponseBody, a.Key = text, c.Number()
	return a, nil
}

// opened returns the attempt in the clear.
func (a Attempt) opened(c Cipher) (Attempt, error) {
	if a.Key == 0 {
		if a.HandOver != "" && !c.Holds(SubjectOfAnswers(a.HandOver)) {
			a.ResponseBody = ""
		}
		return a, nil
	}
	plain, err := openText(c, SubjectOfAnswers(a.HandOver), a.place(), a.ResponseBody)
	if err != nil {
		return a, fmt.Errorf("open answer: %w", err)
	}
	a.ResponseBody, a.Key = string(plain), 0
	return a, nil
}

// Sealed returns the event sealed.
func (e AttemptSucceeded) Sealed(c Cipher) (_ Event, err error) {
	e.Attempt, err = e.Attempt.sealed(c)
	return e, err
}

// Opened returns the event in the clear.
func (e AttemptSucceeded) Opened(c Cipher) (_ Event, err error) {
	e.Attempt, err = e.Attempt.opened(c)
	return e, err
}

// Sealed returns the event sealed.
func (e AttemptFailed) Sealed(c Cipher) (_ Event, err error) {
	e.Attempt, err = e.Attempt.sealed(c)
	return e, err
}

// Opened returns the event in the clear.
func (e AttemptFailed) Opened(c Cipher) (_ Event, err error) {
	e.Attempt, err = e.Attempt.opened(c)
	return e, err
}

// isEmptyList reports whether a list in the clear has no items.
func isEmptyList(list json.RawMessage) bool { return !given(list) || string(list) == "[]" }
