package idempotency

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
)

const (
	kept   = 24 * time.Hour   // keys, from their first request
	held   = 15 * time.Second // a key by whoever works on it and does not say that it goes on
	swept  = 20               // old keys that a new one removes at most
	soon   = 20 * time.Millisecond
	latest = 250 * time.Millisecond
)

// ErrOther is returned for a key under which something else was asked for.
var ErrOther = errors.New("the idempotency key was used for another request")

// ErrUnderWay is returned when somebody else is still at work under the key.
var ErrUnderWay = errors.New("the first request under the idempotency key is still under way")

// ErrUnreadable is returned when what is kept was sealed with a key that is no more.
var ErrUnreadable = errors.New("what is kept under the idempotency key cannot be opened")

// A Sealer seals what is kept. It must open what any process sealed.
type Sealer interface {
	// Seal returns plain sealed, under the id that it is kept by.
	Seal(id string, plain []byte) []byte

	// Unseal returns what was sealed under id.
	Unseal(id string, sealed []byte) ([]byte, error)

	// Mark returns what all begins with that Seal returns, and nothing that was sealed by
	// another key. Marks of all keys are of one length.
	Mark() []byte
}

// Keys keeps requests in a database. It is safe for concurrent use, by any number of
// processes on one database.
type Keys struct {
	pool   *pgxpool.Pool
	sealer Sealer
}

// New returns keys in pool's database, sealed by sealer.
func New(pool *pgxpool.Pool, sealer Sealer) *Keys { return &Keys{pool: pool, sealer: sealer} }

// A Request is what is asked for under a key.
type Request struct {
	Organisation domain.OrganisationID
	Key          string
	Sum          [32]byte // of all that makes it this request
}

// id names the request's row to the sealer.
func (r Request) id(column string) string {
	return "idempotency/" + column + "/" + string(r.Organisation) + "/" + r.Key
}

// A Turn is what a request is to do. Either it has an Answer, the first one, or it is the
// caller's to execute: then exactly one of [Turn.Keep] and [Turn.Release] must follow.
type Turn struct {
	Answer []byte
	Seed   domain.Seed

	keys    *Keys
	request Request
	worker  uuid.UUID
}

// Begin returns the request's turn. While somebody else works on the same request it waits for
// the answer, or, when that one has died, until the turn is free; not longer than ctx, and then
// fails with [ErrUnderWay]. It fails with [ErrOther] when the key is that of another request.
func (k *Keys) Begin(ctx context.Context, r Request) (*Turn, error) {
	t := &Turn{keys: k, request: r, worker: uuid.New()}
	for wait := soon; ; wait = min(2*wait, latest) {
		free, err := t.try(ctx)
		if err != nil || free || t.Answer != nil {
			return t, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ErrUnderWay
		}
	}
}

// A row is what is kept of a request.
type row struct {
	Request   []byte    `db:"request"`
	Seed      []byte    `db:"seed"`
	Answer    []byte    `db:"answer"`
	Worker    uuid.UUID `db:"worker"`
	CreatedAt time.Time `db:"created_at"`
}

// try takes the turn if it is free, and reports that; else it looks for the answer.
func (t *Turn) try(ctx context.Context) (free bool, err error) {
	const (
		sweep = `
			DELETE FROM idempotency_keys
			WHERE (organisation_id, key) IN (
				SELECT organisation_id, key FROM idempotency_keys
				WHERE created_at < now() - make_interval(secs => $1)
				ORDER BY created_at
				LIMIT $2
				FOR UPDATE SKIP LOCKED
			)`
		expire = `DELETE FROM idempotency_keys WHERE organisation_id = $1 AND key = $2 AND created_at < now() - make_interval(secs => $3)`
		add    = `
			INSERT INTO idempotency_keys (organisation_id, key, request, seed, worker, held_until)
			VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
			ON CONFLICT DO NOTHING`
		take = `
			UPDATE idempotency_keys SET worker = $3, held_until = now() + make_interval(secs => $4)
			WHERE organisation_id = $1 AND key = $2 AND answer IS NULL AND held_until < now()`
		look = `SELECT request, seed, answer, worker, created_at FROM idempotency_keys WHERE organisation_id = $1 AND key = $2`
	)
	r, sealer := t.request, t.keys.sealer
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	var batch pgx.Batch
	batch.Queue(sweep, kept.Seconds(), swept)
	batch.Queue(expire, r.Organisation, r.Key, kept.Seconds())
	batch.Queue(add, r.Organisation, r.Key, sealer.Seal(r.id("request"), r.Sum[:]), sealer.Seal(r.id("seed"), secret[:]), t.worker, held.Seconds())
	batch.Queue(take, r.Organisation, r.Key, t.worker, held.Seconds())
	var found row
	batch.Queue(look, r.Organisation, r.Key).Query(func(rows pgx.Rows) (err error) {
		found, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[row])
		return err
	})
	if err := t.keys.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return false, fmt.Errorf("begin request under idempotency key: %w", err)
	}
	return t.read(found)
}

// read enters what was found, and reports whether the turn is the caller's.
func (t *Turn) read(found row) (free bool, err error) {
	r, sealer := t.request, t.keys.sealer
	sum, err1 := sealer.Unseal(r.id("request"), found.Request)
	secret, err2 := sealer.Unseal(r.id("seed"), found.Seed)
	switch {
	case errors.Join(err1, err2) != nil:
		err = ErrUnreadable
	case !bytes.Equal(sum, r.Sum[:]):
		err = ErrOther
	case found.Answer != nil:
		if t.Answer, err = sealer.Unseal(r.id("answer"), found.Answer); err != nil {
			err = ErrUnreadable
		}
		return false, err
	}
	free = found.Worker == t.worker
	t.Seed = domain.Seed{At: found.CreatedAt, Secret: secret}
	return free, err
}

// Extend keeps the turn the caller's while its work goes on, until ctx is done. Should that
// fail, others may work on the same request at the same time, and get the same outcome.
func (t *Turn) Extend(ctx context.Context) {
	const query = `
		UPDATE idempotency_keys SET held_until = now() + make_interval(secs => $4)
		WHERE organisation_id = $1 AND key = $2 AND worker = $3 AND answer IS NULL`
	tick := time.NewTicker(held / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = t.keys.pool.Exec(ctx, query, t.request.Organisation, t.request.Key, t.worker, held.Seconds()) // tried again
		case <-ctx.Done():
			return
		}
	}
}

// Keep stores the answer to whoever repeats the request. The first one stays.
func (t *Turn) Keep(ctx context.Context, answer []byte) error {
	const query = `UPDATE idempotency_keys SET answer = $3 WHERE organisation_id = $1 AND key = $2 AND answer IS NULL`
	sealed := t.keys.sealer.Seal(t.request.id("answer"), answer)
	if _, err := t.keys.pool.Exec(ctx, query, t.request.Organisation, t.request.Key, sealed); err != nil {
		return fmt.Errorf("keep answer: %w", err)
	}
	return nil
}

// Release gives the turn to whoever repeats the request next.
func (t *Turn) Release(ctx context.Context) error {
	const query = `UPDATE idempotency_keys SET held_until = '-infinity' WHERE organisation_id = $1 AND key = $2 AND worker = $3`
	if _, err := t.keys.pool.Exec(ctx, query, t.request.Organisation, t.request.Key, t.worker); err != nil {
		return fmt.Errorf("release idempotency key: %w", err)
	}
	return nil
}
