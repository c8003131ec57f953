package eventstore_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// moment returns the moment that a text says.
func moment(t *testing.T, text string) (m eventstore.Moment) {
	t.Helper()
	require.NoError(t, m.UnmarshalText([]byte(text)))
	return m
}

// momentOf returns the moment at a time.
func momentOf(t *testing.T, at time.Time) eventstore.Moment {
	t.Helper()
	return moment(t, at.Format(time.RFC3339Nano))
}

func TestAsOfAMomentIsThePositionOfTheLastEventByThen(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	at := func(m eventstore.Moment) eventstore.Position {
		found, err := store.AsOf(within(t), m)
		require.NoError(t, err)
		return found
	}
	for n := range eventstore.Position(20) { // logs of any small length
		records := wholeLog(t, pool)
		for _, rec := range records {
			require.Equal(t, rec.Position, at(moment(t, strconv.Itoa(int(rec.Position)))))
			require.Equal(t, rec.Position, at(momentOf(t, rec.RecordedAt)))
			require.Equal(t, rec.Position-1, at(momentOf(t, rec.RecordedAt.Add(-time.Microsecond))))
		}
		require.Zero(t, at(eventstore.Moment{}))
		require.Zero(t, at(moment(t, "2001-02-03T04:05:06+01:00")))
		var now time.Time
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&now))
		require.Equal(t, n, at(momentOf(t, now)))
		_, err := store.Append(within(t), note("a", eventstore.Version(n), "text"))
		require.NoError(t, err)
		require.Equal(t, n, at(momentOf(t, now)), "what is recorded later does not change it")
	}
}

func TestThereIsNoPositionAtAMomentYetToCome(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	head := fill(t, store, 3, "a")
	_, err := store.AsOf(within(t), moment(t, "4"))
	require.ErrorIs(t, err, eventstore.ErrYetToCome)
	require.EqualError(t, err, "position 4, and the log ends at 3: it is yet to come")
	_, err = store.AsOf(within(t), moment(t, "2999-01-01T00:00:00Z"))
	require.ErrorIs(t, err, eventstore.ErrYetToCome)

	_, err = pool.Exec(t.Context(), `UPDATE log_head SET recorded_at = '2999-06-01'`) // a clock that was put back
	require.NoError(t, err)
	found, err := store.AsOf(within(t), moment(t, "2999-01-01T00:00:00Z"))
	require.NoError(t, err)
	require.Equal(t, head, found)
}

func TestAnAppendUnderWayIsWaitedFor(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	release := holdLog(t, pool)
	var now time.Time
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&now))
	m, found := momentOf(t, now), make(chan error, 1)
	go func() {
		_, err := store.AsOf(within(t), m)
		found <- err
	}()
	requireWaiting(t, pool, 1)
	release()
	require.NoError(t, <-found)
}

func TestATextThatIsNoMomentIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "-1", "1.5", "noon", "2026-01-31", "99999999999999999999", "2026-01-31T12:00:00"} {
		var m eventstore.Moment
		require.ErrorContains(t, m.UnmarshalText([]byte(text)), "a moment is a position of the log such as 1200, or a time such as 2026-01-31T12:00:00Z", text)
	}
}
