package eventstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// tamper runs statements as who has the whole server.
func tamper(t *testing.T, pool *pgxpool.Pool, statements ...string) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `SET LOCAL session_replication_role = replica`)
		for _, statement := range statements {
			if err == nil {
				_, err = tx.Exec(t.Context(), statement)
			}
		}
		return err
	})
	require.NoError(t, err)
}

func TestVerifyNamesWhatIsNotAsItWasCommitted(t *testing.T) {
	t.Parallel()
	const n = 9 // of three streams: positions 1, 4, 7 are the first one's
	for name, c := range map[string]struct {
		statements []string
		position   eventstore.Position
		reason     string
	}{
		"the data of an event": {
			[]string{`UPDATE events SET data = '{"text":"another"}' WHERE position = 5`}, 5, "does not match its hash",
		},
		"white space in it": {
			[]string{`UPDATE events SET data = (data::text || ' ')::json WHERE position = 5`}, 5, "does not match its hash",
		},
		"its metadata": {
			[]string{`UPDATE events SET metadata = '{"actor":"somebody else"}' WHERE position = 5`}, 5, "does not match its hash",
		},
		"its time": {
			[]string{`UPDATE events SET recorded_at = recorded_at + interval '1 microsecond' WHERE position = 9`}, 9, "does not match its hash",
		},
		"a time that does not rise": {
			[]string{`UPDATE events SET recorded_at = '2000-01-01' WHERE position = 5`}, 5, "recorded no later",
		},
		"its type": {
			[]string{`UPDATE events SET type = 'added' WHERE position = 5`}, 5, "does not match its hash",
		},
		"its stream": {
			[]string{`UPDATE events SET stream = 'd' WHERE position = 5`}, 5, "does not match its hash",
		},
		"its ID": {
			[]string{`UPDATE events SET id = gen_random_uuid() WHERE position = 5`}, 5, "does not match its hash",
		},
		"its hash": {
			[]string{`UPDATE events SET hash = sha256('x') WHERE position = 5`}, 5, "does not match its hash",
		},
		"the contents of two events": {
			[]string{`
				UPDATE events e SET data = o.data, id = o.id FROM events o
				WHERE e.position IN (4, 7) AND o.position = 11 - e.position`}, 4, "does not match its hash",
		},
		"the places of two events": {
			[]string{
				`UPDATE events SET position = 100 WHERE position = 4`,
				`UPDATE events SET position = 4 WHERE position = 7`,
				`UPDATE events SET position = 7 WHERE position = 100`,
			}, 4, "does not match its hash",
		},
		"the first event, missing": {
			[]string{`DELETE FROM events WHERE position = 1`}, 1, "missing",
		},
		"an event in the middle, missing": {
			[]string{`DELETE FROM events WHERE position = 5`}, 5, "missing",
		},
		"an event in the middle, missing and closed up": {
			[]string{
				`DELETE FROM events WHERE position = 5`,
				`UPDATE events SET position = position + 1000 WHERE position > 5`,
				`UPDATE events SET position = position - 1001 WHERE position > 1000`,
				`UPDATE log_head SET position = 8`,
			}, 5, "does not match its hash",
		},
		"the end of the log, missing": {
			[]string{`DELETE FROM events WHERE position > 6`}, 7, "missing",
		},
		"the end of the log, missing with its head": {
			[]string{`DELETE FROM events WHERE position > 6`, `UPDATE log_head SET position = 6`}, 6, "head of the log",
		},
		"all of it": {
			[]string{`TRUNCATE events`}, 1, "missing",
		},
		"the hash of the head": {
			[]string{`UPDATE log_head SET hash = sha256('x')`}, n, "head of the log",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := testdb.New(t)
			fill(t, newStore(pool), n/3, "a", "b", "c")
			checkLog(t, pool)
			tamper(t, pool, c.statements...)
			_, err := eventstore.Verify(t.Context(), pool, nil)
			var corrupt *eventstore.CorruptionError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, c.position, corrupt.Position)
			require.ErrorContains(t, err, c.reason)
		})
	}
}

// rehash gives every event the hash that its row asks for, as somebody would who tampers with
// care. It is the text in the comment on chainer.chain, once more.
func rehash(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	prev := make([]byte, sha256.Size)
	for _, rec := range wholeLog(t, pool) {
		number := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
		h := sha256.New()
		for _, field := range [][]byte{
			prev, number(int64(rec.Position)), number(int64(rec.Version)), number(rec.RecordedAt.UnixMicro()), rec.ID[:],
			number(int64(rec.SchemaVersion)), []byte(rec.Stream), []byte(rec.Type), rec.Data, rec.Metadata,
		} {
			h.Write(number(int64(len(field))))
			h.Write(field)
		}
		prev = h.Sum(nil)
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `SET LOCAL session_replication_role = replica`); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), `UPDATE events SET hash = $2 WHERE position = $1`, rec.Position, prev)
			return err
		})
		require.NoError(t, err)
	}
	_, err := pool.Exec(t.Context(), `UPDATE log_head SET hash = $1`, prev)
	require.NoError(t, err)
}

func TestVerifyFindsAGapInAStreamWhoseHashesAreRight(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"in the middle": `UPDATE events SET version = version + 1 WHERE stream = 'b' AND version > 1`,
		"at the start":  `UPDATE events SET version = version - 1 WHERE stream = 'b' AND version = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := testdb.New(t)
			fill(t, newStore(pool), 3, "a", "b")
			tamper(t, pool, `UPDATE events SET version = version + 100 WHERE stream = 'b'`,
				`UPDATE events SET version = version - 100 WHERE stream = 'b'`)
			rehash(t, pool)
			checkLog(t, pool) // the test hashes as the log does
			tamper(t, pool, `UPDATE events SET version = version + 100 WHERE stream = 'b' AND version = 3`, statement)
			tamper(t, pool, `UPDATE events SET version = version - 100 WHERE version > 50`)
			rehash(t, pool)
			_, err := eventstore.Verify(t.Context(), pool, nil)
			var corrupt *eventstore.CorruptionError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, eventstore.Position(2), corrupt.Position)
			require.ErrorContains(t, err, "stream b")
		})
	}
}

func TestVerifyTellsOfItsProgress(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	const n = 12_000 // more than two pages
	appends := make([]eventstore.Append, n)
	for i := range appends {
		appends[i] = note("a", eventstore.Version(i), "x")
	}
	for _, r := range store.AppendEach(within(t), appends) {
		require.NoError(t, r.Err)
	}
	var seen []eventstore.Position
	good, err := eventstore.Verify(t.Context(), pool, func(done, total eventstore.Position) {
		require.Equal(t, eventstore.Position(n), total)
		seen = append(seen, done)
	})
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(n), good)
	require.Equal(t, []eventstore.Position{5000, 10_000, n}, seen)

	tamper(t, pool, `DELETE FROM events WHERE position = 7000`)
	good, err = eventstore.Verify(t.Context(), pool, nil)
	require.Equal(t, eventstore.Position(6999), good)
	require.ErrorContains(t, err, "position 7000: the record is missing")
}

func TestVerifyReadsALogThatGrows(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	store := newStore(pool)
	fill(t, store, 10, "a")
	done := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		for v := 10; ctx.Err() == nil; v++ {
			_, _ = store.Append(ctx, note("a", eventstore.Version(v), "x"))
		}
	}()
	for range 20 {
		n, err := eventstore.Verify(t.Context(), pool, nil)
		require.NoError(t, err)
		require.GreaterOrEqual(t, n, eventstore.Position(10))
	}
	stop()
	<-done
}

func TestAnEmptyLogIsGood(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	n, err := eventstore.Verify(t.Context(), pool, nil)
	require.NoError(t, err)
	require.Zero(t, n)
	at, err := newStore(pool).PositionAt(t.Context(), time.Now())
	require.NoError(t, err)
	require.Zero(t, at)
}
