package apikey

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/singleflight"
)

// Window is how long a key's limit counts.
const Window = time.Hour

// An Allowance is where a key stood right after a request, seen from this process.
type Allowance struct {
	// Limited is false for a key that has any number of requests. The rest is zero then.
	Limited bool

	// Accepted reports whether the request is within the limit.
	Accepted bool

	// Limit is how many requests the window has, Remaining how many of them this process
	// knows to be left: from 0 to Limit, and never rising within a window unless the limit
	// does. Others may have taken some of them since.
	Limit, Remaining int64

	// Reset is the time until the window ends: more than nothing, and [Window] at most.
	Reset time.Duration
}

// Take counts a request of the key, unless its limit is used up. An error says that it could
// not be found out.
//
// A window begins with the key's first request after the last one ended, and is the same for
// all processes on the database, by the database's clock. In none are more requests accepted
// than the limit, however many processes there are. Each takes them from the database in
// blocks: a tenth of what nobody has taken yet, 100 at most and 1 at least. So most requests
// cost no query, and a refusal costs none once the window is known to be used up. What a
// process was given is its own until the window ends: while some processes have nothing to do,
// each of them withholds less than a tenth of the limit, and less than 100, from the others.
func (k *Keys) Take(ctx context.Context, key Key) (Allowance, error) {
	limit, limited := key.Limit()
	if !limited {
		return Allowance{Accepted: true}, nil
	}
	w := k.windows.of(key.ID)
	for {
		if a, ok := w.take(limit, k.now()); ok {
			return a, nil
		}
		if err := k.lease(ctx, w, key.ID, limit); err != nil {
			return Allowance{}, err
		}
	}
}

// A lease is a block of a window, as the database gave it.
type lease struct {
	Number int64         `db:"number"` // of the window
	Block  int64         `db:"block"`
	Left   int64         `db:"left"` // that nobody was given; negative if the limit was once higher
	Time   time.Duration `db:"time"` // until the window ends
}

// lease adds the next block to w. Callers who need one at the same time share it.
func (k *Keys) lease(ctx context.Context, w *window, id string, limit int64) error {
	// now() is when the statement began, also if it had to wait for another's.
	const query = `
		INSERT INTO rate_windows AS w (key_id, number, ends_at, taken, block)
		SELECT $1, 1, now() + interval '1 hour', block, block
		FROM (SELECT least($2::bigint, greatest($2 / 10, 1), 100) AS block) AS first
		ON CONFLICT (key_id) DO UPDATE
		SET (number, ends_at, taken, block) = (
			SELECT w.number, w.ends_at, w.taken + next.block, next.block
			FROM (SELECT least(greatest($2 - w.taken, 0), greatest(($2 - w.taken) / 10, 1), 100) AS block) AS next
			WHERE w.ends_at > now()
			UNION ALL
			SELECT w.number + 1, excluded.ends_at, excluded.taken, excluded.block
			WHERE w.ends_at <= now())
		RETURNING number, block, $2 - taken AS left, ends_at - now() AS time`
	_, err := shared(ctx, &k.windows.group, id, "take requests", func(ctx context.Context) (lease, error) {
		asked := k.now()                               // before the database's now(), so that no window ends later here than there
		rows, _ := k.pool.Query(ctx, query, id, limit) // CollectExactlyOneRow reports the error
		l, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[lease])
		if err == nil {
			w.add(l, limit, asked)
		}
		return l, err
	})
	return err
}

// A window is what this process knows of a key's window. The zero window has ended.
type window struct {
	mu         sync.Mutex
	limit      int64
	held, left int64 // given to this process and not used; given to nobody
	number     int64
	ends       time.Time // by this process' clock
}

// take counts a request, or refuses it. It returns false when the database must be asked.
func (w *window) take(limit int64, now time.Time) (Allowance, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit != limit || !now.Before(w.ends) || w.held == 0 && w.left > 0 {
		return Allowance{}, false
	}
	a := Allowance{Limited: true, Accepted: w.held > 0, Limit: limit, Reset: w.ends.Sub(now)}
	if a.Accepted {
		w.held--
	}
	a.Remaining = w.held + w.left
	return a, true
}

// add adds a block that was asked for at that time, by this process' clock.
func (w *window) add(l lease, limit int64, asked time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.number != l.Number {
		w.number, w.held, w.ends = l.Number, 0, time.Time{}
	}
	if ends := asked.Add(l.Time); ends.After(w.ends) { // none is too late: the latest is the best
		w.ends = ends
	}
	w.limit, w.left = limit, max(0, l.Left)
	w.held = max(0, w.held+l.Block+min(0, l.Left))
}

// windows are the windows of keys, by the keys' IDs. The zero windows are empty and ready.
type windows struct {
	group singleflight.Group

	mu   sync.RWMutex
	keys map[string]*window
}

// of returns a key's window. When there are too many, all are let go, with what they held.
func (w *windows) of(id string) *window {
	w.mu.RLock()
	known, ok := w.keys[id]
	w.mu.RUnlock()
	if ok {
		return known
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.keys[id]; ok {
		return known
	}
	if w.keys == nil || len(w.keys) >= remembered {
		w.keys = map[string]*window{}
	}
	fresh := &window{}
	w.keys[id] = fresh
	return fresh
}
