package domain

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/openprospect/delivery-ledger/domain/rules"
)

// Words says in plain words what happened, in a sentence or two on one line that a terminal can show, and
// without any secret.
func Words(event Event) string {
	for _, words := range []func(Event) string{
		wordsOfCompany, wordsOfDispatch, wordsOfExclusion, wordsOfDelivery, wordsOfDestination, wordsOfReplay, wordsOfRequalification, wordsOfErasure,
	} {
		if text := words(event); text != "" {
			return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
		}
	}
	return ""
}

// wordsOfCompany are like [Words], of events about a company.
func wordsOfCompany(event Event) string {
	switch e := event.(type) {
	case CompanyQualified:
		came := received(e.Requalification) + " as qualified under " + string(e.Delivery)
		if e.Profile > 0 {
			came = fmt.Sprintf("%s as a candidate under %s and judged by version %d of its rules (%s)", received(e.Requalification), e.Delivery, e.Profile, wordsOfVerdicts(e.Verdicts))
		}
		text := fmt.Sprintf("%s; handed over as %s with a score of %d", came, e.HandOver, e.Score)
		if len(e.MatchReasons) > 0 {
			text += ": " + strings.Join(e.MatchReasons, "; ")
		}
		if e.Due != nil {
			return text + ". Its webhooks are due at " + wordsOfTime(*e.Due) + "."
		}
		return text + "."
	case CompanyDisqualified:
		if x := e.Excluded; x != nil {
			return fmt.Sprintf("%s under %s and disqualified, since %s is excluded%s.", received(e.Requalification), e.Delivery, x.words(), wordsOfReason(x.Reason))
		}
		return fmt.Sprintf("%s as a candidate under %s and disqualified by version %d of its rules with a score of %d (%s).",
			received(e.Requalification), e.Delivery, e.Profile, e.Score, wordsOfVerdicts(e.Verdicts))
	}
	return ""
}

// wordsOfErasure are like [Words], of events about what was erased.
func wordsOfErasure(event Event) string {
	switch e := event.(type) {
	case ErasureStarted:
		return fmt.Sprintf("The erasure %s was started, of %s.", e.Erasure, e.Subject.words())
	case ErasureIdentified:
		return fmt.Sprintf("The erasure %s is of %d prospects.", e.Erasure, len(e.Prospects))
	case ErasureApplied:
		return fmt.Sprintf("Erased by %s under %s: what %d events held of prospects.", e.Erasure, e.Delivery, len(e.Erased))
	case ErasureEnded:
		return fmt.Sprintf("The erasure %s has ended: %d prospects of %d companies, in %d events, %d of them in the clear.",
			e.Erasure, e.Counts.Prospects, e.Counts.Companies, e.Counts.Events, e.Counts.InClear)
	case RetentionApplied:
		return fmt.Sprintf("Erased by age, after %d days: what was personal up to position %d.", e.Days, e.UpTo)
	}
	return ""
}

// words says whom an erasure is about.
func (s ErasureSubject) words() string {
	switch {
	case s.Prospect != "":
		return "the prospect " + s.Prospect
	case s.Company != "":
		return "all prospects of the company " + string(s.Company)
	}
	return "an e-mail address"
}

// received says how a company came to be judged: it was sent, or a job judged again what had been sent.
func received(job RequalificationID) string {
	if job != "" {
		return fmt.Sprintf("Judged again by the requalification %s, once received", job)
	}
	return "Received"
}

// wordsOfVerdicts says which rules are met.
func wordsOfVerdicts(verdicts []rules.Verdict) string {
	texts := make([]string, len(verdicts))
	for i, v := range verdicts {
		switch {
		case v.Met:
			texts[i] = v.Rule + ": met"
		case v.Error != "":
			texts[i] = v.Rule + ": not met, as it could not be evaluated, " + v.Error
		default:
			texts[i] = v.Rule + ": not met"
		}
	}
	return strings.Join(texts, "; ")
}

// wordsOfDispatch are like [Words], of events about a dispatch.
func wordsOfDispatch(event Event) string {
	switch e := event.(type) {
	case AttemptSucceeded:
		return fmt.Sprintf("Delivered: attempt %d of %s to %s was answered %d within %s.", e.Number, e.Dispatch, e.Destination, e.Status, e.took())
	case AttemptFailed:
		next := "No further attempt is due."
		if e.Due != nil {
			next = "The next one is due at " + wordsOfTime(*e.Due) + "."
		}
		return fmt.Sprintf("Attempt %d of %s to %s failed after %s: %s. %s", e.Number, e.Dispatch, e.Destination, e.took(), e.Error, next)
	case DispatchFailed:
		return fmt.Sprintf("%s to %s failed for good after %d attempts%s.", e.Dispatch, e.Destination, e.Attempts, wordsOfReason(e.Error))
	case DispatchBackfilled:
		return fmt.Sprintf("The back-fill %s made %s owed to %s, by %s.", e.Replay, e.HandOver, e.Destination, e.Dispatch)
	case DispatchCancelled:
		return fmt.Sprintf("%s to %s was cancelled%s.", e.Dispatch, e.Destination, wordsOfReason(e.Reason))
	case DispatchRetried:
		if e.Replay != "" {
			return fmt.Sprintf("The replay %s asked for %s to %s to be attempted again, after %d attempts.", e.Replay, e.Dispatch, e.Destination, e.Attempts)
		}
		return fmt.Sprintf("Somebody asked for %s to %s to be attempted again, after %d attempts.", e.Dispatch, e.Destination, e.Attempts)
	}
	return ""
}

// took returns how long the attempt took.
func (a Attempt) took() time.Duration {
	return (time.Duration(a.Microseconds) * time.Microsecond).Round(time.Millisecond)
}

// wordsOfExclusion are like [Words], of events about what an organisation excludes.
func wordsOfExclusion(event Event) string {
	switch e := event.(type) {
	case ExclusionsBegun:
		return "The organisation began to exclude companies."
	case ExclusionAdded:
		return fmt.Sprintf("The exclusion %s was added, of %s%s.", e.Exclusion, e.words(), wordsOfReason(e.Reason))
	case ExclusionRemoved:
		return fmt.Sprintf("The exclusion %s was removed.", e.Exclusion)
	}
	return ""
}

// words names what is excluded.
func (x Excluded) words() string {
	if x.Kind == ByDomain {
		return "the domain " + x.Value
	}
	return "the company " + x.Value
}

// wordsOfDelivery are like [Words], of events about a delivery.
func wordsOfDelivery(event Event) string {
	switch e := event.(type) {
	case DeliveryCreated:
		return fmt.Sprintf("The delivery %s was created as %s: %s, %s.", e.Delivery, e.Name, e.Status, e.Schedule)
	case DeliveryUpdated:
		return fmt.Sprintf("The delivery %s was changed: its name is %s, its schedule %s.", e.Delivery, e.Name, e.Schedule)
	case RulesSet:
		return fmt.Sprintf("The delivery %s got %d rules, and the threshold %d.", e.Delivery, len(e.Rules), e.Threshold)
	case DeliveryPaused:
		return fmt.Sprintf("The delivery %s was paused.", e.Delivery)
	case DeliveryResumed:
		return fmt.Sprintf("The delivery %s went on.", e.Delivery)
	case DeliveryDeleted:
		return fmt.Sprintf("The delivery %s was deleted.", e.Delivery)
	}
	return ""
}

// wordsOfDestination are like [Words], of events about a destination.
func wordsOfDestination(event Event) string {
	switch e := event.(type) {
	case DestinationAdded:
		return fmt.Sprintf("The destination %s was added to %s.", e.Destination.ID, e.Delivery)
	case DestinationChanged:
		return fmt.Sprintf("The destination %s of %s was changed.", e.Destination.ID, e.Delivery)
	case DestinationRemoved:
		return fmt.Sprintf("The destination %s of %s was removed.", e.Destination, e.Delivery)
	case DestinationDisabled:
		return fmt.Sprintf("The destination %s of %s was disabled%s.", e.Destination, e.Delivery, wordsOfReason(e.Reason))
	case DestinationEnabled:
		return fmt.Sprintf("The destination %s of %s was enabled.", e.Destination, e.Delivery)
	case DestinationRecovered:
		return fmt.Sprintf("The destination %s of %s takes webhooks again; it had failed since %s.", e.Destination, e.Delivery, wordsOfTime(e.FailingSince))
	case SigningSecretRotated:
		return fmt.Sprintf("The destination %s of %s got another signing secret.", e.Destination, e.Delivery)
	case DestinationTested:
		if e.Error != "" {
			return fmt.Sprintf("The destination %s of %s failed a test%s.", e.Destination, e.Delivery, wordsOfReason(e.Error))
		}
		return fmt.Sprintf("The destination %s of %s passed a test: it answered %d.", e.Destination, e.Delivery, e.Status)
	}
	return ""
}

// wordsOfReplay are like [Words], of events about a replay.
func wordsOfReplay(event Event) string {
	switch e := event.(type) {
	case ReplayStarted:
		return fmt.Sprintf("The replay %s of %d dispatches of %s was started.", e.Replay, e.Count, e.Delivery)
	case BackfillStarted:
		return fmt.Sprintf("The back-fill %s of %s with %d companies of %s was started.", e.Replay, e.Destination, e.Count, e.Delivery)
	case ReplayAdvanced:
		return fmt.Sprintf("The replay %s of %s came to position %d.", e.Replay, e.Delivery, e.Place.Position)
	case ReplayEnded:
		return fmt.Sprintf("The replay %s of %s came to its end.", e.Replay, e.Delivery)
	case ReplayCancelled:
		return fmt.Sprintf("The replay %s of %s was cancelled.", e.Replay, e.Delivery)
	}
	return ""
}

// wordsOfRequalification are like [Words], of events about a requalification.
func wordsOfRequalification(event Event) string {
	switch e := event.(type) {
	case RequalificationStarted:
		return fmt.Sprintf("The requalification %s of %s by version %d of its rules was started.", e.Requalification, e.Delivery, e.Profile)
	case RequalificationAdvanced:
		return fmt.Sprintf("The requalification %s of %s judged %d companies again, and handed %d over.",
			e.Requalification, e.Delivery, e.Progress.Evaluated(), e.Progress.Qualified)
	case RequalificationEnded:
		if e.Obstacle != "" {
			return fmt.Sprintf("The requalification %s of %s was stopped: %s.", e.Requalification, e.Delivery, e.Obstacle)
		}
		return fmt.Sprintf("The requalification %s of %s came to its end.", e.Requalification, e.Delivery)
	case RequalificationCancelled:
		return fmt.Sprintf("The requalification %s of %s was cancelled.", e.Requalification, e.Delivery)
	}
	return ""
}

// wordsOfReason are what goes on after what happened, "" when no reason is known.
func wordsOfReason(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// wordsOfTime writes a time, in UTC.
func wordsOfTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
