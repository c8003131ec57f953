package eventstore_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// What three builds, one after the other, store of the same event.
type (
	tallyV1 struct {
		N int `json:"n"`
	}
	tallyV2 struct {
		Count int    `json:"count"`
		Unit  string `json:"unit"`
	}
	tally struct {
		Counts map[string]int `json:"counts"`
	}
)

func (tallyV1) EventType() string { return "tally" }
func (tallyV2) EventType() string { return "tally" }
func (tally) EventType() string   { return "tally" }

func (tallyV2) Former() []eventstore.Former { return []eventstore.Former{tallyV1{}} }
func (tally) Former() []eventstore.Former   { return []eventstore.Former{tallyV1{}, tallyV2{}} }

func (e tallyV1) Upcast() any { return tallyV2{Count: e.N, Unit: "box"} }
func (e tallyV2) Upcast() any { return tally{Counts: map[string]int{e.Unit: e.Count}} }

// A lost tally forgets a version on its way.
type lost struct{ tally }

func (lost) EventType() string           { return "lost" }
func (lost) Former() []eventstore.Former { return []eventstore.Former{tallyV1{}, tallyV1{}} }

func TestADecoderTellsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	registry := eventstore.NewRegistry[eventstore.Event](added{}, tallyV2{})
	for _, version := range []int16{-1, 0, 2} {
		_, err := registry.Decode(eventstore.Record{Position: 7, Type: "added", SchemaVersion: version, Data: []byte(`{}`)})
		require.ErrorContains(t, err, fmt.Sprint("position 7: unknown type added version ", version))
	}
	_, err := registry.Decode(eventstore.Record{Position: 7, Type: "tally", SchemaVersion: 3, Data: []byte(`{}`)})
	require.ErrorContains(t, err, "position 7: unknown type tally version 3", "a newer build wrote it")
	_, err = registry.Decode(eventstore.Record{Position: 8, Type: "other", SchemaVersion: 1, Data: []byte(`{}`)})
	require.ErrorContains(t, err, "position 8: unknown type other version 1")
	for eventType, version := range map[string]int16{"added": 1, "tally": 1} {
		_, err = registry.Decode(eventstore.Record{Position: 9, Type: eventType, SchemaVersion: version, Data: []byte(`{"n":"x"}`)})
		require.ErrorContains(t, err, "position 9", "of any version")
	}
	require.PanicsWithValue(t, "eventstore: two event types named added", func() { eventstore.NewRegistry(added{}, added{}) })
	require.PanicsWithValue(t, "eventstore: lost version 1 is upcast to eventstore_test.tallyV2, not to eventstore_test.tallyV1",
		func() { eventstore.NewRegistry(lost{}) })
}

func TestEventsOfAllVersionsAreReadAsTheNewestAndStayAsTheyWereStored(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	first := eventstore.New(pool, eventstore.NewRegistry(tallyV1{}), eventstore.Options{})
	second := eventstore.New(pool, eventstore.NewRegistry(tallyV2{}), eventstore.Options{})
	newest := eventstore.New(pool, eventstore.NewRegistry(tally{}), eventstore.Options{})
	var want []tally
	var stored []string
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1000).Draw(t, "n")
		unit := rapid.SampledFrom([]string{"box", "crate"}).Draw(t, "unit")
		builds := []struct {
			store *eventstore.Store
			event eventstore.Event
			means tally
			data  string
		}{
			{first, tallyV1{n}, tally{map[string]int{"box": n}}, fmt.Sprintf(`{"n":%d}`, n)},
			{second, tallyV2{n, unit}, tally{map[string]int{unit: n}}, fmt.Sprintf(`{"count":%d,"unit":%q}`, n, unit)},
			{newest, tally{map[string]int{unit: n}}, tally{map[string]int{unit: n}}, fmt.Sprintf(`{"counts":{%q:%d}}`, unit, n)},
		}
		version := rapid.IntRange(1, 3).Draw(t, "version")
		b := builds[version-1]
		_, err := b.store.Append(t.Context(), eventstore.Append{
			Stream: "tally", Expected: eventstore.Version(len(want)), Events: []eventstore.Event{b.event},
		})
		require.NoError(t, err)
		want, stored = append(want, b.means), append(stored, fmt.Sprint(version, b.data))

		records := checkLog(t, pool)
		require.Equal(t, stored, versionsAndData(records))
		for i, rec := range records {
			event, err := newest.Registry().Decode(rec)
			require.NoError(t, err)
			require.Equal(t, want[i], event)
		}
	})
	records := wholeLog(t, pool)
	last := slices.IndexFunc(records, func(rec eventstore.Record) bool { return rec.SchemaVersion == 3 })
	_, err := second.Registry().Decode(records[last])
	require.ErrorContains(t, err, "unknown type tally version 3", "a build before does not guess")
}

// versionsAndData returns what is stored of each record.
func versionsAndData(records []eventstore.Record) []string {
	list := make([]string, len(records))
	for i, rec := range records {
		list[i] = fmt.Sprint(rec.SchemaVersion, string(rec.Data))
	}
	return list
}
