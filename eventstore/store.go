package eventstore

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"
)

// Options adjust a Store. The zero value is fit for production.
type Options struct {
	// GroupSize is how many events one transaction takes at most; a single append may
	// exceed it. Larger groups make more throughput and longer waits. Default 4,096.
	GroupSize int

	// Now is the clock that commands are decided by. Default time.Now.
	Now func() time.Time

	// Seal returns what is recorded of an append's events in place of them: with what is not for everybody sealed. It is
	// called in the goroutine that appends, again when that is repeated, and may take the time to read a key. Default: they
	// are recorded as they are.
	Seal func(ctx context.Context, events []Event) ([]Event, error)

	// Tracer begins a span for appends in a trace. Default: there are none.
	Tracer trace.Tracer
}

// A Store appends to the log and reads it. It is safe for concurrent use, by any number
// of processes on one database.
type Store struct {
	pool     *pgxpool.Pool
	registry *Registry
	queue    queue
	ids      io.Reader // randomness for IDs; whoever encodes reads it
	doubtful bool      // whether every stream is looked up; whoever leads reads and writes it
	metrics  *metrics
	tracer   trace.Tracer // nil: none
	now      func() time.Time
	seal     func(ctx context.Context, events []Event) ([]Event, error) // nil: nothing is sealed

	mu    sync.Mutex
	marks map[string]*Watermark // of the log, under "", and of each follower
}

// New returns a store on pool, whose schema must have been migrated.
func New(pool *pgxpool.Pool, registry *Registry, opts Options) *Store {
	if opts.GroupSize == 0 {
		opts.GroupSize = 4096
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	var seed [32]byte
	_, _ = cryptorand.Read(seed[:]) // never fails
	return &Store{
		pool: pool, registry: registry, metrics: newMetrics(), marks: map[string]*Watermark{},
		queue: queue{limit: opts.GroupSize}, ids: rand.NewChaCha8(seed), now: opts.Now, tracer: opts.Tracer, seal: opts.Seal,
	}
}

// Registry returns what decodes the store's records.
func (s *Store) Registry() *Registry { return s.registry }

// Mark returns the watermark of the follower of that name, or of the log itself for "".
// It rises with what this process appends or applies, and, while [Store.Listen] runs, with
// what others do.
func (s *Store) Mark(follower string) *Watermark {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.marks[follower]
	if !ok {
		m = new(Watermark)
		s.marks[follower] = m
	}
	return m
}

// Head returns the last position of the log, 0 when it is empty.
func (s *Store) Head(ctx context.Context) (Position, error) {
	const query = `SELECT position FROM log_head`
	var head Position
	if err := s.pool.QueryRow(ctx, query).Scan(&head); err != nil {
		return 0, fmt.Errorf("read head of log: %w", err)
	}
	return head, nil
}

// Cursor returns the position of the last event that the follower of that name has
// applied, 0 when it has applied none.
func (s *Store) Cursor(ctx context.Context, follower string) (Position, error) {
	const query = `SELECT coalesce((SELECT position FROM cursors WHERE name = $1), 0)`
	var at Position
	if err := s.pool.QueryRow(ctx, query, follower).Scan(&at); err != nil {
		return 0, fmt.Errorf("read cursor of %s: %w", follower, err)
	}
	return at, nil
}

// awaitPoll is how often Await looks itself, should a notification be lost.
const awaitPoll = 100 * time.Millisecond

// Await blocks until the follower of that name has applied the event at pos, in whatever
// process it runs, or ctx is done.
func (s *Store) Await(ctx context.Context, follower string, pos Position) error {
	mark := s.Mark(follower)
	mark.demand(pos)
	for {
		at, changed := mark.Next()
		if at >= pos {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(awaitPoll):
			at, err := s.Cursor(ctx, follower)
			if err != nil {
				return err
			}
			mark.Raise(at)
		case <-ctx.Done():
			return fmt.Errorf("await %s at position %d: %w", follower, pos, ctx.Err())
		}
	}
}

// IsUnavailable reports whether err says that the database could not be reached or went
// away, so that the same call may succeed later.
func IsUnavailable(err error) bool {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		const connection, resources, intervention = "08", "53", "57"
		class := pgErr.Code[:min(2, len(pgErr.Code))]
		return class == connection || class == resources || class == intervention || pgErr.Code == readOnly || pgErr.Code == idle
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, ErrUnavailable) || pgconn.SafeToRetry(err)
}

// readOnly is the code of a write to a standby, which is what a fail-over looks like.
const readOnly = "25006"

// idle is the code of a connection that Postgres closed, since its transaction had waited too long for its client.
const idle = "25P03"

// ErrUnavailable is in the chain of errors of calls that gave up waiting for the database.
var ErrUnavailable = errors.New("the database is unavailable")
