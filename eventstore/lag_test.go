package eventstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestLagIsInEventsAndInTimeSinceTheFirst(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	const follow = `INSERT INTO cursors (name, version, position) VALUES ('behind', 1, 2), ('current', 1, 5)`
	_, err := pool.Exec(t.Context(), follow)
	require.NoError(t, err)
	fill(t, store, 5, "one")
	var since time.Time
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT recorded_at FROM events WHERE position = 3`).Scan(&since))

	lags, err := store.Lags(within(t))
	require.NoError(t, err)
	require.Len(t, lags, 2)
	require.Equal(t, eventstore.Lag{Follower: "current"}, lags[1])
	require.Equal(t, "behind", lags[0].Follower)
	require.Equal(t, int64(3), lags[0].Events)
	require.InDelta(t, time.Since(since).Seconds(), lags[0].Seconds, patience.Seconds())
	require.Positive(t, lags[0].Seconds)
}
