package domain

// ExclusionsBegun is recorded before an organisation's first exclusion, in a stream of its own. While
// that has no event nothing need be looked up: who hands over guards that it has none.
type ExclusionsBegun struct {
	Organisation OrganisationID `json:"organisation"`
}

// ExclusionAdded excludes companies from an organisation's deliveries. It opens the exclusion's
// stream, or goes on with it where the exclusion had been removed.
type ExclusionAdded struct {
	Organisation OrganisationID `json:"organisation"`
	Excluded
}

// ExclusionRemoved ends an exclusion: what it excluded may qualify from then on.
type ExclusionRemoved struct {
	Organisation OrganisationID `json:"organisation"`
	Exclusion    ExclusionID    `json:"exclusion"`
}

// EventType returns the event's name in storage.
func (ExclusionsBegun) EventType() string { return "exclusion.begun" }

// EventType returns the event's name in storage.
func (ExclusionAdded) EventType() string { return "exclusion.added" }

// EventType returns the event's name in storage.
func (ExclusionRemoved) EventType() string { return "exclusion.removed" }

func (ExclusionsBegun) event()  {}
func (ExclusionAdded) event()   {}
func (ExclusionRemoved) event() {}
