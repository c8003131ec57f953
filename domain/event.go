package domain

// An Event is a fact that the ledger has accepted. Events are values; once released, a
// type is never changed, renamed or removed: what it lacks, a new version or type adds.
type Event interface {
	// EventType names the event in storage, such as "company.qualified".
	EventType() string

	event() // sealed: every event is declared in this package
}

// Events returns the zero value of every event type, which is what a registry needs to
// read the log.
func Events() []Event {
	return []Event{
		DeliveryCreated{},
		DeliveryUpdated{},
		RulesSet{},
		DeliveryPaused{},
		DeliveryResumed{},
		DeliveryDeleted{},
		DestinationAdded{},
		DestinationChanged{},
		DestinationRemoved{},
		DestinationDisabled{},
		DestinationEnabled{},
		DestinationRecovered{},
		SigningSecretRotated{},
		DestinationTested{},
		CompanyQualified{},
		CompanyDisqualified{},
		AttemptSucceeded{},
		AttemptFailed{},
		DispatchFailed{},
		DispatchCancelled{},
		DispatchRetried{},
		ReplayStarted{},
		ReplayAdvanced{},
		ReplayEnded{},
		ReplayCancelled{},
		RequalificationStarted{},
		RequalificationAdvanced{},
		RequalificationEnded{},
		RequalificationCancelled{},
		ExclusionsBegun{},
		ExclusionAdded{},
		ExclusionRemoved{},
	}
}
