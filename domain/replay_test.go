package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

var (
	replayStarted   = domain.ReplayStarted{Replay: "rpl_1", Delivery: dcf, After: 3, UpTo: 90, Count: 7}
	replayEnded     = domain.ReplayEnded{Replay: "rpl_1", Delivery: dcf}
	replayCancelled = domain.ReplayCancelled{Replay: "rpl_1", Delivery: dcf}
)

// replayAdvanced is what reaching a place records.
func replayAdvanced(position int64, dispatch domain.DispatchID) domain.ReplayAdvanced {
	return domain.ReplayAdvanced{Replay: "rpl_1", Delivery: dcf, Place: domain.ReplayPlace{Position: position, Dispatch: dispatch}}
}

func TestStartReplay(t *testing.T) {
	t.Parallel()
	delivery := domain.Delivery{ID: dcf, Destinations: map[domain.DestinationID]domain.Destination{
		"dst_1": {ID: "dst_1", Type: domain.Webhook}, "dst_2": {ID: "dst_2", Type: domain.API},
	}}
	start := domain.StartReplay{ID: "rpl_1", Delivery: delivery, After: 3, UpTo: 90, Count: 7}
	When(t, Given(), start).Then(replayStarted)
	When(t, Given(replayStarted), start).Then()
	When(t, Given(replayStarted, replayEnded), start).Then()

	filtered, started := start, replayStarted
	filtered.Filter = domain.ReplayFilter{Since: new(Now().Add(-time.Hour)), Until: new(Now()), Status: domain.Failed, Destination: "dst_1"}
	started.Filter = filtered.Filter
	When(t, Given(), filtered).Then(started)

	wrong := start
	wrong.Filter = domain.ReplayFilter{Since: new(Now()), Until: new(Now()), Status: domain.Retrying, Destination: "dst_3"}
	When(t, Given(), wrong).Faults("until", "status", "destination")
	beyond := time.Date(9999, time.December, 31, 23, 0, 0, 0, time.FixedZone("west", -14*3600))
	wrong.Filter = domain.ReplayFilter{Until: &beyond}
	When(t, Given(), wrong).Faults("until")
	wrong.Filter = domain.ReplayFilter{Destination: "dst_2"}
	When(t, Given(), wrong).Faults("destination")

	company := start
	company.Filter = domain.ReplayFilter{Company: "comp_1"}
	When(t, Given(), company).Faults("company_id")
	company.HandOver = domain.HandOver{Company: "comp_1", Disqualified: domain.Disqualification{Profile: 2}}
	When(t, Given(), company).Faults("company_id")
	company.HandOver = domain.HandOver{ID: "del_1", Company: "comp_1"}
	started.Filter = company.Filter
	When(t, Given(), company).Then(started)
}

func TestReplayAdvancesOnlyForwardAndWhileItRuns(t *testing.T) {
	t.Parallel()
	to := func(position int64, dispatch domain.DispatchID) domain.AdvanceReplay {
		return domain.AdvanceReplay{ID: "rpl_1", Place: domain.ReplayPlace{Position: position, Dispatch: dispatch}}
	}
	at := replayAdvanced(10, "dsp_5")
	When(t, Given(replayStarted), to(10, "dsp_5")).Then(at)
	When(t, Given(replayStarted, at), to(10, "dsp_6")).Then(replayAdvanced(10, "dsp_6"))
	When(t, Given(replayStarted, at), to(11, "dsp_1")).Then(replayAdvanced(11, "dsp_1"))
	for _, past := range []domain.AdvanceReplay{to(10, "dsp_5"), to(10, "dsp_4"), to(9, "dsp_9")} {
		When(t, Given(replayStarted, at), past).Then()
	}
	When(t, Given(replayStarted, replayEnded), to(10, "dsp_5")).Then()
	When(t, Given(replayStarted, replayCancelled), to(10, "dsp_5")).Then()
	require.Equal(t, at.Place, Fold[domain.Replay](t, Given(replayStarted, at)).Place)
}

func TestReplayEndsOnce(t *testing.T) {
	t.Parallel()
	end, cancel := domain.EndReplay{ID: "rpl_1"}, domain.CancelReplay{ID: "rpl_1", Delivery: dcf}
	When(t, Given(replayStarted), end).Then(replayEnded)
	When(t, Given(replayStarted), cancel).Then(replayCancelled)
	When(t, Given(replayStarted, replayCancelled), cancel).Then()
	When(t, Given(replayStarted, replayCancelled), end).Then()
	When(t, Given(replayStarted, replayEnded), end).Then()
	When(t, Given(replayStarted, replayEnded), cancel).Refused(domain.Conflict, "CONFLICT")
	When(t, Given(), cancel).Refused(domain.NotFound, "ENTITY_NOT_FOUND")
	cancel.Delivery = "dcf_2"
	When(t, Given(replayStarted), cancel).Refused(domain.NotFound, "ENTITY_NOT_FOUND")
}
