package follower

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// Config says who follows the log, and how.
type Config struct {
	// Name keys the follower's cursor. It never changes. Required.
	Name string

	// Version is that of what Apply makes. A cursor of another version is not moved. While it is of
	// an older one, the follower stops with an error until its tables are rebuilt; while it is of a
	// newer one, it stands by: a newer build has come, and follows. Default 1.
	Version int

	// Apply enters the events at positions first to last in the follower's tables, with
	// tx and nothing else. It is called for one page after the other, by one goroutine at
	// a time, in one process at a time. An error rolls the page back; Apply gets it again
	// after a while, and none beyond it before that. Required.
	Apply func(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) error

	// Page is how many positions Apply gets at most. Default 1,000.
	Page int

	// Poll is how late a follower notices, at worst, what another process appended, or
	// that the process which followed before it is gone. Default 500 ms.
	Poll time.Duration

	// Rest is the least time between two looks at the end of the log, unless somebody in this process waits for
	// the follower (see [eventstore.Store.Await]). Who waits in another one notices it; under load it makes fewer and
	// larger pages. Default 2 ms.
	Rest time.Duration
}

// A Follower is one follower as this process sees it.
type Follower struct {
	cfg   Config
	store *eventstore.Store
	log   *slog.Logger

	mu        sync.Mutex
	fault     error // why the page at hand cannot be applied; nil when all is well
	overtaken bool  // the cursor is of a newer version
}

// Add puts a follower on router. It follows while the router runs.
func Add(router *message.Router, pool *pgxpool.Pool, store *eventstore.Store, cfg Config, log *slog.Logger) (*Follower, error) {
	if cfg.Version == 0 {
		cfg.Version = 1
	}
	if cfg.Page == 0 {
		cfg.Page = 1000
	}
	if cfg.Poll == 0 {
		cfg.Poll = 500 * time.Millisecond
	}
	if cfg.Rest == 0 {
		cfg.Rest = 2 * time.Millisecond
	}
	f := &Follower{cfg: cfg, store: store, log: log.With(slog.String("follower", cfg.Name))}
	news := &news{Follower: f, closing: make(chan struct{})}
	noDeadline := time.Duration(0) // a page takes as long as it takes
	sub, err := wsql.NewSubscriber(beginner{wsql.BeginnerFromPgx(walker{pool}), f, news}, wsql.SubscriberConfig{
		ConsumerGroup:  cfg.Name,
		AckDeadline:    &noDeadline,
		SchemaAdapter:  pages{f, news},
		OffsetsAdapter: cursor{f},
		BackoffManager: news,
	}, watermill.NewSlogLogger(f.log))
	if err != nil {
		return nil, fmt.Errorf("subscribe %s to the log: %w", cfg.Name, err)
	}
	router.AddConsumerHandler(cfg.Name, "log", subscriber{sub, news}, f.handle)
	return f, nil
}

// Name returns the follower's name.
func (f *Follower) Name() string { return f.cfg.Name }

// Fault returns why the follower cannot go on, and nil while it can. The process that
// stands by shows no fault.
func (f *Follower) Fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault
}

// Overtaken reports whether the follower stands by since its tables are of a newer version.
func (f *Follower) Overtaken() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.overtaken
}

// overtake notes whether the cursor is of a newer version.
func (f *Follower) overtake(newer bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if newer && !f.overtaken {
		f.log.LogAttrs(context.Background(), slog.LevelWarn, "follower stands by: its tables are of a newer version, kept by a newer build")
	}
	f.overtaken = newer
}

// Metadata of a message.
const (
	firstKey = "first"
	lastKey  = "last"
)

// handle applies a page. It always acks: an error has spoiled the transaction, and the
// subscriber finds out at its next statement.
func (f *Follower) handle(msg *message.Message) error {
	first, err1 := strconv.ParseInt(msg.Metadata.Get(firstKey), 10, 64)
	last, err2 := strconv.ParseInt(msg.Metadata.Get(lastKey), 10, 64)
	tx, ok := wsql.TxFromContext(msg.Context())
	page, isOurs := tx.(*transaction)
	if err := errors.Join(err1, err2); err != nil || !ok || !isOurs {
		return fmt.Errorf("message %s is no page of the log: %w", msg.UUID, err)
	}
	// A page that the subscriber has left ends, and is rolled back: cut in the middle of a
	// statement, it would cost the connection.
	page.apply(context.WithoutCancel(msg.Context()), eventstore.Position(first), eventstore.Position(last))
	return nil
}

// report notes what became of the last look at the log.
func (f *Follower) report(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil && f.fault == nil:
		f.log.LogAttrs(context.Background(), slog.LevelError, "follower stopped at a page", slog.Any("error", err))
	case err == nil && f.fault != nil:
		f.log.LogAttrs(context.Background(), slog.LevelInfo, "follower goes on")
	}
	f.fault = err
}
