package shred

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/singleflight"
)

// A Sealer seals the keys themselves; see [vault.Vault].
type Sealer interface {
	Mark() []byte
	Seal(id string, plain []byte) []byte
	Unseal(id string, sealed []byte) ([]byte, error)
}

// Options adjust Keys. The zero value is fit for production.
type Options struct {
	// Life is for how long a process keeps a key that it read. All processes MUST have the same. Default 5 s.
	Life time.Duration

	// Renewal is for how long a key seals before the next one does. What retention destroys is a key at a time.
	// Default 24 h.
	Renewal time.Duration

	// Now is the clock that Life goes by. Default time.Now.
	Now func() time.Time
}

// Keys are the keys of all organisations, in a database. They are safe for concurrent use, by any number of processes.
type Keys struct {
	pool   *pgxpool.Pool
	sealer Sealer
	opts   Options
	reads  singleflight.Group

	mu     sync.Mutex
	kept   map[Ref]keptKey
	sweeps time.Time // when those are next looked through that are too old
}

// A Ref names a key.
type Ref struct {
	Organisation string
	Number       int64
}

// newest is the number under which the one that seals is kept in memory.
const newest = -1

// keptKey is a key in memory.
type keptKey struct {
	*Key
	until time.Time
}

// New returns the keys in pool's database.
func New(pool *pgxpool.Pool, sealer Sealer, opts Options) *Keys {
	opts.Life, opts.Renewal = cmp.Or(opts.Life, 5*time.Second), cmp.Or(opts.Renewal, 24*time.Hour)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Keys{pool: pool, sealer: sealer, opts: opts, kept: map[Ref]keptKey{}}
}

// Settled returns how long after a key was destroyed, in whole or for a subject, no process can open with it, or seal
// under it, any more. It is twice as long as keys are kept: half of it is for what was read just before.
func (k *Keys) Settled() time.Duration { return 2 * k.opts.Life }

// Newest returns the key under which an organisation's events are sealed now. It is made if there is none, or if the last one
// has sealed for long enough.
func (k *Keys) Newest(ctx context.Context, organisation string) (*Key, error) {
	return k.one(ctx, Ref{organisation, newest}, func(ctx context.Context) (*Key, error) { return k.readNewest(ctx, organisation) })
}

// Key returns an organisation's key of a number. What was destroyed opens nothing; of number 0, where nothing was erased that
// was in the clear, it is nil. It fails for a key that never was.
func (k *Keys) Key(ctx context.Context, organisation string, number int64) (*Key, error) {
	ref := Ref{organisation, number}
	return k.one(ctx, ref, func(ctx context.Context) (*Key, error) {
		found, err := k.read(ctx, []Ref{ref})
		if err != nil {
			return nil, err
		}
		return found[ref], nil
	})
}

// Each returns the keys of those refs, as Key does, by one statement for all that are not in memory.
func (k *Keys) Each(ctx context.Context, refs []Ref) (map[Ref]*Key, error) {
	keys := make(map[Ref]*Key, len(refs))
	var missing []Ref
	for _, ref := range refs {
		if key, ok := k.recall(ref); ok {
			keys[ref] = key
		} else {
			missing = append(missing, ref)
		}
	}
	if len(missing) == 0 {
		return keys, nil
	}
	until := k.opts.Now().Add(k.opts.Life)
	found, err := k.read(ctx, missing)
	if err != nil {
		return nil, err
	}
	for _, ref := range missing {
		k.remember(ref, keptKey{found[ref], until})
		keys[ref] = found[ref]
	}
	return keys, nil
}

// one returns a key from memory, or as it is read. Who asks while it is read shares that.
func (k *Keys) one(ctx context.Context, ref Ref, read func(context.Context) (*Key, error)) (*Key, error) {
	if key, ok := k.recall(ref); ok {
		return key, nil
	}
	done := k.reads.DoChan(strconv.FormatInt(ref.Number, 10)+" "+ref.Organisation, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		until := k.opts.Now().Add(k.opts.Life)
		key, err := read(ctx)
		if err == nil {
			k.remember(ref, keptKey{key, until})
		}
		return key, err
	})
	select {
	case r := <-done:
		key, _ := r.Val.(*Key)
		return key, r.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("read key of %s: %w", ref.Organisation, ctx.Err())
	}
}

// readTimeout bounds a read that several may wait for.
const readTimeout = 10 * time.Second

// recall returns a key from memory, and false when it is not there, or too old.
func (k *Keys) recall(ref Ref) (*Key, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept, ok := k.kept[ref]
	if !ok || k.opts.Now().After(kept.until) {
		return nil, false
	}
	return kept.Key, true
}

// remember keeps a key for its time, and now and then forgets those whose time is over.
func (k *Keys) remember(ref Ref, kept keptKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept[ref] = kept
	if now := k.opts.Now(); now.After(k.sweeps) {
		k.sweeps = now.Add(k.opts.Life)
		for ref, kept := range k.kept {
			if now.After(kept.until) {
				delete(k.kept, ref)
			}
		}
	}
}

// sealedRow is a key as it lies in the database.
type sealedRow struct {
	Organisation string `db:"organisation_id"`
	Number       int64  `db:"number"`
	Sealed       []byte `db:"sealed"`
	ClearedTo    int64  `db:"cleared_to"`
}

// id is what the row is sealed as.
func (r sealedRow) id() string {
	return "subject_keys/" + strconv.FormatInt(r.Number, 10) + "/" + r.Organisation
}

// open returns the key in a row.
func (k *Keys) open(r sealedRow) (*Key, error) {
	key := &Key{number: r.Number, clearedTo: r.ClearedTo}
	if r.Sealed == nil {
		return key, nil
	}
	plain, err := k.sealer.Unseal(r.id(), r.Sealed)
	if err == nil {
		key.tree, err = parseTree(plain)
	}
	if err != nil {
		return nil, fmt.Errorf("open key %d of %s: %w", r.Number, r.Organisation, err)
	}
	return key, nil
}

// read returns keys as they are in the database.
func (k *Keys) read(ctx context.Context, refs []Ref) (map[Ref]*Key, error) {
	const query = `
		SELECT organisation_id, number, sealed, cleared_to
		FROM subject_keys
		JOIN unnest($1::text[], $2::bigint[]) AS r(organisation_id, number) USING (organisation_id, number)`
	organisations, numbers := make([]string, len(refs)), make([]int64, len(refs))
	for i, ref := range refs {
		organisations[i], numbers[i] = ref.Organisation, ref.Number
	}
	rows, _ := k.pool.Query(ctx, query, organisations, numbers) // CollectRows reports the error
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[sealedRow])
	if err != nil {
		return nil, fmt.Errorf("read %d keys: %w", len(refs), err)
	}
	keys := make(map[Ref]*Key, len(refs))
	for _, row := range found {
		if keys[Ref{row.Organisation, row.Number}], err = k.open(row); err != nil {
			return nil, err
		}
	}
	for _, ref := range refs {
		if keys[ref] == nil && ref.Number != 0 {
			return nil, fmt.Errorf("read key %d of %s: there is none, and what was sealed under it cannot be told from what was erased", ref.Number, ref.Organisation)
		}
	}
	return keys, nil
}

// readNewest returns the key that seals, and begins it if need be. When another process does the same, one of both does.
func (k *Keys) readNewest(ctx context.Context, organisation string) (*Key, error) {
	const query = `
		SELECT coalesce(max(number), 0), coalesce(max(begun_at) > clock_timestamp() - make_interval(secs => $2), false)
		FROM (
			SELECT number, begun_at
			FROM subject_keys
			WHERE organisation_id = $1 AND number > 0
			ORDER BY number DESC
			LIMIT 1
		) AS last`
	for {
		var number int64
		var fresh bool
		if err := k.pool.QueryRow(ctx, query, organisation, k.opts.Renewal.Seconds()).Scan(&number, &fresh); err != nil {
			return nil, fmt.Errorf("find newest key of %s: %w", organisation, err)
		}
		if fresh {
			ref := Ref{organisation, number}
			found, err := k.read(ctx, []Ref{ref})
			if err != nil || found[ref].tree.whole() {
				return found[ref], err
			}
		}
		if err := k.insert(ctx, k.pool, sealedRow{Organisation: organisation, Number: number + 1}); err != nil {
			return nil, fmt.Errorf("begin key %d of %s: %w", number+1, organisation, err)
		}
	}
}
