package domain

// An Event is a fact that the ledger has accepted. Events are values; once released, a
// type is never changed, renamed or removed: what it lacks, a new version or type adds.
type Event interface {
	// EventType names the event in storage, such as "company.qualified".
	EventType() string

	event() // sealed: every event is declared in this package
}

// A Former is the data of an event as an earlier version of its type has it. An event whose type has had
// versions lists them: Former() []Former returns their zero values, that of version 1 first. What is
// recorded is of the version after these.
type Former = interface {
	// Upcast returns the same in the next version: its Former, or the event itself. Any value can be
	// upcast, also the zero one, and nothing else counts.
	Upcast() any
}

// Versions returns the zero value of the data of each version of an event's type, that of version 1
// first and the event's own last.
func Versions(e Event) []any {
	var versions []any
	if v, ok := e.(interface{ Former() []Former }); ok {
		for _, former := range v.Former() {
			versions = append(versions, former)
		}
	}
	return append(versions, e)
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
		DispatchBackfilled{},
		ReplayStarted{},
		ReplayAdvanced{},
		ReplayEnded{},
		ReplayCancelled{},
		BackfillStarted{},
		RequalificationStarted{},
		RequalificationAdvanced{},
		RequalificationEnded{},
		RequalificationCancelled{},
		ErasureStarted{},
		ErasureIdentified{},
		ErasureApplied{},
		ErasureEnded{},
		RetentionApplied{},
		ExclusionsBegun{},
		ExclusionAdded{},
		ExclusionRemoved{},
	}
}
