package domain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A Telling is an event that tells of a company and its prospects.
type Telling interface {
	Personal

	// Told returns the company that the event tells of, and its hand-over, "" when there is none.
	Told() (CompanyID, HandOverID)

	// ProspectIDs returns the IDs of its prospects, in order, also when it is sealed.
	ProspectIDs() ([]string, error)

	// Subjects returns under what the event holds those prospects, and what else it would tell of them.
	Subjects(prospects []string) [][]string
}

// Told returns the company and its hand-over.
func (e CompanyQualified) Told() (CompanyID, HandOverID) { return e.CompanyID, e.HandOver }

// Told returns the company.
func (e CompanyDisqualified) Told() (CompanyID, HandOverID) { return e.CompanyID, "" }

// ProspectIDs returns the IDs of the prospects.
func (e CompanyQualified) ProspectIDs() ([]string, error) { return prospectIDs(e.Key, e.Prospects) }

// ProspectIDs returns the IDs of the prospects.
func (e CompanyDisqualified) ProspectIDs() ([]string, error) { return prospectIDs(e.Key, e.Prospects) }

// Subjects returns those of prospects.
func (e CompanyQualified) Subjects(prospects []string) [][]string {
	return subjectsOfProspects(e.CompanyID, prospects)
}

// Subjects returns those of prospects, and that of the attributes, which may tell of them too.
func (e CompanyDisqualified) Subjects(prospects []string) [][]string {
	subjects := subjectsOfProspects(e.CompanyID, prospects)
	if given(e.Attributes) {
		subjects = append(subjects, subjectOfAttributes(e.CompanyID))
	}
	return subjects
}

// subjectsOfProspects returns those of a company's prospects.
func subjectsOfProspects(company CompanyID, prospects []string) [][]string {
	subjects := make([][]string, len(prospects))
	for i, id := range prospects {
		subjects[i] = subjectOfProspect(company, id)
	}
	return subjects
}

// prospectIDs returns the IDs in a list that is sealed under a key, or in the clear.
func prospectIDs(key int64, list json.RawMessage) ([]string, error) {
	var ids []string
	if key == 0 {
		prospects, err := prospectsIn(list)
		for _, p := range prospects {
			ids = append(ids, p.id)
		}
		return ids, err
	}
	var sealed []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(list, &sealed); err != nil {
		return nil, fmt.Errorf("read sealed prospects: %w", err)
	}
	for _, p := range sealed {
		ids = append(ids, p.ID)
	}
	return ids, nil
}

// ProspectsWith returns the IDs of those in a list, which is in the clear, who have an e-mail address: it is the whole of some text
// that is known of them, in whatever case.
func ProspectsWith(email string, list json.RawMessage) ([]string, error) {
	prospects, err := prospectsIn(list)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, p := range prospects {
		var value any
		text := json.NewDecoder(bytes.NewReader(p.raw))
		text.UseNumber() // some are beyond a float
		if err := text.Decode(&value); err != nil {
			return nil, fmt.Errorf("read prospect %s: %w", p.id, err)
		}
		if hasText(value, email) {
			ids = append(ids, p.id)
		}
	}
	return ids, nil
}

// hasText reports whether a text is somewhere in a JSON value.
func hasText(value any, text string) bool {
	switch v := value.(type) {
	case string:
		return strings.EqualFold(strings.TrimSpace(v), text)
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return hasText(item, text) })
	case map[string]any:
		for _, field := range v {
			if hasText(field, text) {
				return true
			}
		}
	}
	return false
}
