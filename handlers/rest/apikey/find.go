package apikey

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/singleflight"
)

const (
	believed   = time.Second     // how long an answer of the database holds
	remembered = 10_000          // answers, of keys that there are and that there are not
	patience   = 5 * time.Second // of one look
)

// Find returns the active key of that text, or [ErrUnknown]. It asks the database once a
// second for each key, however many ask: revoking a key and creating one take effect within
// that time. Any other error says that it could not be found out.
func (k *Keys) Find(ctx context.Context, text string) (Key, error) {
	if !wellFormed(text) {
		return Key{}, ErrUnknown
	}
	hash := sha256.Sum256([]byte(text))
	now := k.now()
	a, ok := k.found.load(hash, now)
	if !ok {
		var err error
		if a, err = k.look(ctx, hash); err != nil {
			return Key{}, err
		}
	}
	if !a.exists || !a.key.Active(now) {
		return Key{}, ErrUnknown
	}
	return a.key, nil
}

// look asks the database. Callers who ask for the same key at the same time share one query.
func (k *Keys) look(ctx context.Context, hash [32]byte) (answer, error) {
	const query = `SELECT ` + columns + ` FROM api_keys WHERE hash = $1`
	return shared(ctx, &k.found.group, string(hash[:]), "find key", func(ctx context.Context) (answer, error) {
		asked := k.now()
		rows, _ := k.pool.Query(ctx, query, hash[:]) // CollectExactlyOneRow reports the error
		key, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Key])
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return answer{}, err
		}
		a := answer{key: key, exists: err == nil, asked: asked}
		k.found.store(hash, a)
		return a, nil
	})
}

// shared returns what ask returns to one of those who ask for the same thing at the same time.
// An error says what was tried.
func shared[T any](ctx context.Context, group *singleflight.Group, key, tried string, ask func(context.Context) (T, error)) (T, error) {
	ch := group.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // others wait for it, too
		defer cancel()
		return ask(ctx)
	})
	var none T
	select {
	case r := <-ch:
		if r.Err != nil {
			return none, fmt.Errorf("%s: %w", tried, r.Err)
		}
		return r.Val.(T), nil
	case <-ctx.Done():
		return none, fmt.Errorf("%s: %w", tried, ctx.Err())
	}
}

// An answer is what the database said of a key.
type answer struct {
	key    Key
	exists bool
	asked  time.Time
}

// A cache holds answers. The zero cache is empty and ready.
type cache struct {
	group singleflight.Group

	mu      sync.RWMutex
	answers map[[32]byte]answer
}

// load returns the answer about a key, if there is one that still holds.
func (c *cache) load(hash [32]byte, now time.Time) (answer, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	a, ok := c.answers[hash]
	return a, ok && now.Sub(a.asked) < believed
}

// store keeps an answer. A full cache is emptied: what is in use comes back at its next look.
func (c *cache) store(hash [32]byte, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil || len(c.answers) >= remembered {
		c.answers = map[[32]byte]answer{}
	}
	c.answers[hash] = a
}

// forget drops the answer about a key.
func (c *cache) forget(hash [32]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.answers, hash)
}

// clear drops all answers.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.answers)
}
