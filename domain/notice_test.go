package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

func TestPayloadOfOperationalEvents(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 10, 30, 0, 999, time.FixedZone("CET", 3600))
	since := time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC)
	for event, want := range map[domain.Event]string{
		domain.DispatchFailed{Dispatch: "dsp_1", HandOver: "del_1", Delivery: dcf, Destination: "dst_1", Attempts: 6, Error: "<503>"}: `{"event":"dispatch.failed",` +
			`"timestamp":"2026-03-04T09:30:00Z","data":{"dispatch_id":"dsp_1","delivery_id":"del_1","delivery_configuration_id":"dcf_1",` +
			`"destination_id":"dst_1","attempts":6,"reason":"<503>"}}`,
		domain.DestinationDisabled{Delivery: dcf, Destination: "dst_1", Reason: "5 failed", Exhausted: 5, FailingSince: &since}: `{"event":"destination.disabled",` +
			`"timestamp":"2026-03-04T09:30:00Z","data":{"delivery_configuration_id":"dcf_1","destination_id":"dst_1","reason":"5 failed",` +
			`"failed_dispatches":5,"failing_since":"2026-03-03T09:00:00Z"}}`,
		domain.DestinationRecovered{Delivery: dcf, Destination: "dst_1", FailingSince: since}: `{"event":"destination.recovered",` +
			`"timestamp":"2026-03-04T09:30:00Z","data":{"delivery_configuration_id":"dcf_1","destination_id":"dst_1","failing_since":"2026-03-03T09:00:00Z"}}`,
	} {
		body, err := domain.PayloadOf(event, at)
		require.NoError(t, err)
		require.Equal(t, want, string(body))
	}
	_, err := domain.PayloadOf(domain.DeliveryPaused{}, at)
	require.Error(t, err)
}

func TestNoticeOfAnEventToADestinationHasOneID(t *testing.T) {
	t.Parallel()
	id := domain.NoticeIDFor(255, "dst_1")
	require.Regexp(t, `^dsp_0000000000ff[0-9a-f]{18}$`, string(id))
	require.Equal(t, id, domain.NoticeIDFor(255, "dst_1"))
	require.NotEqual(t, id, domain.NoticeIDFor(255, "dst_2"))
	require.Less(t, id, domain.NoticeIDFor(256, "dst_1"))
}

func TestFailureOfANoticeSaysThatItWasOne(t *testing.T) {
	t.Parallel()
	a := attempt(1, 410)
	a.HandOver, a.Event = "", domain.OnDestinationDisabled
	When(t, Given(), domain.RecordAttempt{Attempt: a, Error: "it answered 410"}).Then(
		domain.AttemptFailed{Attempt: a, Error: "it answered 410"},
		domain.DispatchFailed{
			Dispatch: "dsp_1", Delivery: dcf, Destination: "dst_1", Attempts: 1, Event: domain.OnDestinationDisabled, Error: "it answered 410",
		})
}

func TestDestinationIsSubscribedToEventsByName(t *testing.T) {
	t.Parallel()
	add := func(events ...domain.WebhookEvent) (domain.Destination, error) {
		decided, err := domain.AddDestination{Delivery: dcf, Organisation: acme, Destination: domain.Destination{
			ID: "dst_1", Type: domain.Webhook, URL: "https://a.example", Events: events,
		}}.Decide(domain.Delivery{ID: dcf, Organisation: acme}, Now())
		if err != nil {
			return domain.Destination{}, err
		}
		return decided[0].(domain.DestinationAdded).Destination, nil
	}
	for _, usual := range [][]domain.WebhookEvent{nil, {}, {domain.OnCompanyQualified}} {
		dst, err := add(usual...)
		require.NoError(t, err)
		require.Nil(t, dst.Events)
	}
	dst, err := add(domain.OnDispatchFailed, domain.OnDestinationRecovered, domain.OnDestinationDisabled, domain.OnCompanyQualified)
	require.NoError(t, err)
	want := []domain.WebhookEvent{domain.OnCompanyQualified, domain.OnDestinationDisabled, domain.OnDestinationRecovered, domain.OnDispatchFailed}
	require.Equal(t, want, dst.Events, "in order")
	_, err = add("delivery.created")
	require.Equal(t, domain.Invalid, domain.KindOf(err))
	_, err = add(domain.OnDispatchFailed, domain.OnDispatchFailed)
	require.Equal(t, domain.Invalid, domain.KindOf(err))
}
