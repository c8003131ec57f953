package main

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestProcessCutOffForAMomentRepeatsNothing(t *testing.T) {
	t.Parallel()
	const cuts = 8
	database, key := testdb.URL(t), encryptionKey()
	pool, w := openPool(t, database), newWire(t, database)
	j := newJournal(t, func(rw http.ResponseWriter, r *http.Request, c call, tell func(int)) {
		<-time.After(rand.N(20 * time.Millisecond)) // so that attempts are under way at a cut
		taken(rw, r, c, tell)
	})
	first, second := serve(t, w.url, key), serve(t, database, key)
	c := second.at(newKey(t, database))
	delivery := c.deliveryWithin(t, j.url, time.Second)
	l := startLoad(t, c, delivery, 2)
	var gone []time.Time
	for n := range cuts {
		acked, _, _ := l.report()
		l.awaitAcks(t, len(acked)+1+rand.IntN(30))
		gone = append(gone, time.Now())
		if n%2 == 0 {
			w.cut()
		} else {
			w.stall()
		}
		<-time.After(rand.N(time.Second))
		acked, _, _ = l.report()
		l.awaitAcks(t, len(acked)+1) // the other goes on
		w.mend()
	}
	l.end()
	acked, _, odd := l.report()
	require.Empty(t, odd)
	settle(t, c, database, delivery, j, acked)
	c.awaitCaughtUp(t)
	for _, p := range []*process{first, second} {
		require.NoError(t, p.stop(t), p.printed())
	}
	last := map[callKey]call{}
	for _, call := range j.all() {
		if before, again := last[call.key()]; again { // the machine is so slow that it was no moment
			missed := slices.ContainsFunc(gone, func(at time.Time) bool {
				return at.After(before.at.Add(-missedFor)) && call.at.Sub(at) > missedFor
			})
			require.True(t, missed, "%s was repeated", call.company)
		}
		last[call.key()] = call
	}
	reconcile(t, pool, j)
	requireSound(t, pool)
}

func TestProcessCutOffWhileItStartsEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWire(t, testdb.URL(t))
	w.hold(func(_ int, toServer bool, piece []byte) bool {
		if !toServer || !bytes.Contains(piece, []byte("INSERT INTO cursors")) { // the first thing a follower does
			return false
		}
		w.cut()
		return true
	})
	p, _ := launch(t, nil, "serve", "--database-url", w.url, "--encryption-key", encryptionKey(), "--listen", "127.0.0.1:0")
	require.Equal(t, 1, exitCode(t, p.wait(t)), p.printed())
	require.Contains(t, p.printed(), "cannot subscribe")
}
