package domain_test

import (
	"testing"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

var (
	backfillStarted = domain.BackfillStarted{Replay: "rpl_1", Delivery: dcf, Destination: "dst_1", After: 3, UpTo: 90, Count: 7}
	backfilled      = domain.DispatchBackfilled{
		Dispatch: "dsp_1", Delivery: dcf, Destination: "dst_1", HandOver: "del_1", Position: 12, Replay: "rpl_1",
	}
)

// filled is a delivery with destinations of each kind.
func filled() domain.Delivery {
	return domain.Delivery{ID: dcf, Organisation: acme, Destinations: map[domain.DestinationID]domain.Destination{
		"dst_1": {ID: "dst_1", Type: domain.Webhook},
		"dst_2": {ID: "dst_2", Type: domain.API},
		"dst_3": {ID: "dst_3", Type: domain.Webhook, Events: []domain.WebhookEvent{domain.OnDispatchFailed}},
		"dst_4": {ID: "dst_4", Type: domain.Webhook, Events: []domain.WebhookEvent{domain.OnCompanyQualified, domain.OnDispatchFailed}},
	}}
}

func TestStartBackfill(t *testing.T) {
	t.Parallel()
	start := domain.StartBackfill{ID: "rpl_1", Delivery: filled(), Organisation: acme, Destination: "dst_1", After: 3, UpTo: 90, Count: 7}
	When(t, Given(), start).Then(backfillStarted)
	When(t, Given(backfillStarted), start).Then()
	When(t, Given(backfillStarted, replayEnded), start).Then()

	within, started := start, backfillStarted
	within.Since, within.Until, within.Destination = new(Now().Add(-time.Hour)), new(Now()), "dst_4"
	started.Since, started.Until, started.Destination = within.Since, within.Until, "dst_4"
	When(t, Given(), within).Then(started)

	for _, told := range []domain.DestinationID{"dst_2", "dst_3"} {
		start.Destination = told
		When(t, Given(), start).Refused(domain.Conflict, "CONFLICT")
	}
	start.Until, start.Since = new(Now()), new(Now())
	When(t, Given(), start).Faults("until")
	start.Destination = "dst_5"
	When(t, Given(), start).Refused(domain.NotFound, "DESTINATION_NOT_FOUND")
	start.Delivery.Deleted = true
	When(t, Given(), start).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
}

func TestABackfillIsAReplayThatAdvancesEndsAndIsCancelled(t *testing.T) {
	t.Parallel()
	to := domain.AdvanceReplay{ID: "rpl_1", Place: domain.ReplayPlace{Position: 10}}
	When(t, Given(backfillStarted), to).Then(replayAdvanced(10, ""))
	When(t, Given(backfillStarted, replayAdvanced(10, "")), to).Then()
	When(t, Given(backfillStarted), domain.EndReplay{ID: "rpl_1"}).Then(replayEnded)
	When(t, Given(backfillStarted), domain.CancelReplay{ID: "rpl_1", Delivery: dcf}).Then(replayCancelled)
}

func TestBackfillDispatch(t *testing.T) {
	t.Parallel()
	owe := domain.BackfillDispatch{
		Dispatch: "dsp_1", Destination: "dst_1", HandOver: "del_1", Position: 12, Delivery: filled(), Replay: "rpl_1",
	}
	When(t, Given(), owe).Then(backfilled)
	for _, became := range []domain.Event{
		backfilled,
		domain.AttemptSucceeded{Attempt: domain.Attempt{Dispatch: "dsp_1", Number: 1}},
		domain.DispatchCancelled{Dispatch: "dsp_1"},
		domain.DispatchRetried{Dispatch: "dsp_1"},
	} {
		When(t, Given(became), owe).Then()
	}
	again := owe
	again.Replay = "rpl_2"
	When(t, Given(backfilled), again).Then()

	for _, gone := range []domain.DestinationID{"dst_2", "dst_3", "dst_5"} {
		owe.Destination = gone
		When(t, Given(), owe).Refused(domain.Conflict, "CONFLICT")
	}
	owe.Destination, owe.Delivery.Deleted = "dst_1", true
	When(t, Given(), owe).Refused(domain.Conflict, "CONFLICT")
}

func TestABackfilledDispatchIsLeftAloneByReplaysAndMayBeRetried(t *testing.T) {
	t.Parallel()
	retry := domain.RetryDispatch{Dispatch: "dsp_1", Destination: "dst_1", Delivery: filled(), Replay: "rpl_2"}
	When(t, Given(backfilled), retry).Then()
	retry.Replay = ""
	When(t, Given(backfilled), retry).Then(domain.DispatchRetried{Dispatch: "dsp_1", Delivery: dcf, Destination: "dst_1"})
}
