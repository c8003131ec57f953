package domain

// ErasureStarted begins to erase somebody from all that an organisation was told.
type ErasureStarted struct {
	Erasure      ErasureID      `json:"erasure"`
	Organisation OrganisationID `json:"organisation"`
	Subject      ErasureSubject `json:"subject"`
}

// ErasureIdentified says whose an e-mail address is that is to be erased.
type ErasureIdentified struct {
	Erasure      ErasureID      `json:"erasure"`
	Organisation OrganisationID `json:"organisation"`
	Prospects    []string       `json:"prospects"` // their IDs
}

// ErasureApplied says what was erased under one delivery: it cannot be opened any more, by nobody, and is to be shown nowhere.
type ErasureApplied struct {
	Erasure      ErasureID      `json:"erasure"`
	Organisation OrganisationID `json:"organisation"`
	Delivery     DeliveryID     `json:"delivery"`
	UpTo         int64          `json:"up_to"` // position of the last event that was looked at
	Erased       []Erased       `json:"erased"`
}

// Erased is what was erased of one event.
type Erased struct {
	Position  int64      `json:"position"`
	Number    int64      `json:"number,omitempty"`    // of the company in the delivery's feed; absent: it was disqualified
	HandOver  HandOverID `json:"hand_over,omitempty"` // likewise
	Company   CompanyID  `json:"company_id"`
	Prospects []string   `json:"prospects"` // their IDs
	InClear   bool       `json:"in_clear,omitempty"`
}

// ErasureEnded says that nothing is left of what was to be erased.
type ErasureEnded struct {
	Erasure      ErasureID      `json:"erasure"`
	Organisation OrganisationID `json:"organisation"`
	Counts       ErasureCounts  `json:"counts"`
}

// EventType returns the event's name in storage.
func (ErasureStarted) EventType() string { return "erasure.started" }

// EventType returns the event's name in storage.
func (ErasureIdentified) EventType() string { return "erasure.identified" }

// EventType returns the event's name in storage.
func (ErasureApplied) EventType() string { return "erasure.applied" }

// EventType returns the event's name in storage.
func (ErasureEnded) EventType() string { return "erasure.ended" }

func (ErasureStarted) event()    {}
func (ErasureIdentified) event() {}
func (ErasureApplied) event()    {}
func (ErasureEnded) event()      {}
