package apikey

import "slices"

// A Scope is something that a key may do.
type Scope string

// The scopes (contract, section 2). None implies another.
const (
	DeliveriesRead      Scope = "deliveries:read"
	DeliveriesWrite     Scope = "deliveries:write"
	CompaniesRead       Scope = "companies:read" // the pull feed needs both this
	ProspectsRead       Scope = "prospects:read" // and this
	ProspectSearches    Scope = "prospect_searches:read"
	CandidatesWrite     Scope = "candidates:write"     // the engine's own
	QualificationsWrite Scope = "qualifications:write" // the engine's own
	Admin               Scope = "admin"                // for keys
)

// Scopes returns all scopes there are.
func Scopes() []Scope {
	return []Scope{
		DeliveriesRead, DeliveriesWrite, CompaniesRead, ProspectsRead, ProspectSearches,
		CandidatesWrite, QualificationsWrite, Admin,
	}
}

// Known reports whether there is such a scope.
func (s Scope) Known() bool { return slices.Contains(Scopes(), s) }
