package projections_test

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// wanted returns the records that a trail has, newest first.
func wanted(t require.TestingT, records []eventstore.Record, trail projections.Trail) (found []eventstore.Record) {
	for i := len(records) - 1; i >= 0; i-- {
		rec := records[i]
		var data struct {
			Delivery domain.DeliveryID `json:"delivery"`
		}
		require.NoError(t, json.Unmarshal(rec.Data, &data))
		if data.Delivery == trail.Delivery && (trail.Type == "" || rec.Type == trail.Type) &&
			(trail.Since == nil || !rec.RecordedAt.Before(*trail.Since)) && (trail.Until == nil || rec.RecordedAt.Before(*trail.Until)) {
			found = append(found, rec)
		}
	}
	return found
}

// checkHistory holds the audit trails against a scan of the log.
func checkHistory(t *rapid.T, b *bundle, records []eventstore.Record) {
	ctx := context.Background()
	at := func(name string) *time.Time {
		rec := rapid.SampledFrom(records).Draw(t, name)
		return new(rec.RecordedAt.Add(time.Duration(rapid.SampledFrom([]int{-1, 0, 1}).Draw(t, name+" off by ns"))))
	}
	for _, rec := range records {
		if rec.Type != "delivery.created" {
			continue
		}
		var created domain.DeliveryCreated
		require.NoError(t, json.Unmarshal(rec.Data, &created))
		for _, trail := range []projections.Trail{
			{}, {Type: "attempt.failed"}, {Type: "company.qualified", Since: at("since")}, {Since: at("since"), Until: at("until")},
		} {
			trail.Delivery = created.Delivery
			want := wanted(t, records, trail)
			offset, limit := rapid.IntRange(0, len(want)+1).Draw(t, "offset"), rapid.IntRange(1, 10).Draw(t, "limit")
			page, err := b.views.Events(ctx, trail, projections.TrailPage{Offset: int64(offset), Limit: limit})
			require.NoError(t, err)
			require.EqualValues(t, len(want), page.Total)
			end := min(len(want), offset+limit)
			require.Equal(t, end < len(want), page.More)
			require.Len(t, page.Items, max(0, end-offset))
			for i, got := range page.Items {
				require.Equal(t, want[offset+i].Position, got.Position)
				require.Equal(t, want[offset+i].Type, got.Type)
			}
			if page.More && len(page.Items) > 0 {
				last := page.Items[len(page.Items)-1].Number
				next, err := b.views.Events(ctx, trail, projections.TrailPage{Before: last, Limit: 1})
				require.NoError(t, err)
				require.Equal(t, want[end].Position, next.Items[0].Position, "the next page begins where this one ends")
			}
		}
	}
}

// The compiler does not tell when an event about deliveries is missing from their trails.
func TestEveryEventAboutADeliveryIsInItsTrail(t *testing.T) {
	t.Parallel()
	b := newBundle(testdb.New(t))
	const id = domain.DeliveryID("dcf_1")
	var events []eventstore.Event
	for _, zero := range domain.Events() {
		event := reflect.New(reflect.TypeOf(zero)).Elem()
		if field := event.FieldByName("Delivery"); field.IsValid() {
			field.SetString(string(id))
			if q, ok := event.Addr().Interface().(*domain.CompanyQualified); ok {
				q.Company, q.Prospects = json.RawMessage(`{}`), json.RawMessage(`[]`)
			}
			events = append(events, event.Interface().(eventstore.Event))
		}
	}
	for _, r := range b.store.AppendEach(t.Context(), []eventstore.Append{{Stream: "any", Events: events}}) {
		require.NoError(t, r.Err)
	}
	require.NoError(t, projections.Rebuild(t.Context(), b.pool, b.store.Registry(), projections.History()))
	page, err := b.views.Events(t.Context(), projections.Trail{Delivery: id}, projections.TrailPage{Limit: 100})
	require.NoError(t, err)
	var got, want []string
	for _, e := range page.Items {
		got = append(got, e.Type)
	}
	for _, e := range events {
		want = append(want, e.EventType())
	}
	require.ElementsMatch(t, want, got)
}
