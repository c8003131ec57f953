package follower

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// A walker is a pool that begins transactions for followers. What they execute is planned once for a connection, by
// the indexes that there are: pages are small and many, and planning takes longer than executing. Their commits need not
// wait for the disk: should the database crash, cursor and tables go back together.
type walker struct{ *pgxpool.Pool }

// BeginTx begins a transaction in which what is visible of the log has no gaps.
func (w walker) BeginTx(ctx context.Context, _ pgx.TxOptions) (pgx.Tx, error) {
	const begin = `
		BEGIN ISOLATION LEVEL READ COMMITTED;
		SET LOCAL synchronous_commit = off;
		SET LOCAL plan_cache_mode = force_generic_plan;
		SET LOCAL enable_seqscan = off`
	return w.Pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: begin})
}

// beginner begins the transactions in which watermill-sql's subscriber works.
type beginner struct {
	wsql.Beginner
	follower *Follower
	news     *news
}

// BeginTx begins a transaction for at most one page.
func (b beginner) BeginTx(ctx context.Context, opts *sql.TxOptions) (wsql.Tx, error) {
	tx, err := b.Beginner.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &transaction{Tx: tx, follower: b.follower, news: b.news}, nil
}

// transaction is one of the subscriber's, with the conduct that the package comment asks
// for. The handler and the subscriber use it from two goroutines; mu keeps one out while the
// other is at it.
type transaction struct {
	wsql.Tx
	follower *Follower
	news     *news

	mu     sync.Mutex
	last   eventstore.Position // of the page that was applied; 0: none was
	spoilt error               // why it must not be committed
	acked  bool                // the cursor was moved, or there was no page
}

// errClosed spoils a transaction whose page was applied when the subscriber had left it.
var errClosed = errors.New("the follower was closed")

// apply applies the page. An error spoils the transaction.
func (t *transaction) apply(ctx context.Context, first, last eventstore.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.spoilt != nil {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			t.spoilt = fmt.Errorf("apply positions %d to %d: panic: %v", first, last, r)
		}
	}()
	tx := t.Tx.(*wsql.PgxTx).Tx
	if err := t.follower.cfg.Apply(ctx, tx, first, last); err != nil {
		t.spoilt = fmt.Errorf("apply positions %d to %d: %w", first, last, err)
		return
	}
	t.last = last
}

// QueryContext returns rows that tell of their error.
func (t *transaction) QueryContext(ctx context.Context, query string, args ...any) (wsql.Rows, error) {
	rows, err := t.Tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return &honest{PgxRows: rows.(wsql.PgxRows)}, nil
}

// ExecContext moves the cursor, which is all that the subscriber executes. It fails when the
// page was not applied, or the cursor not where it begins.
func (t *transaction) ExecContext(ctx context.Context, query string, args ...any) (wsql.Result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.spoilt != nil {
		return nil, t.spoilt
	}
	result, err := t.Tx.ExecContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	if n, _ := result.RowsAffected(); n != 1 && t.last > 0 {
		return nil, fmt.Errorf("move the cursor to position %d: it is not where the page begins", t.last)
	}
	t.acked = true
	return result, nil
}

// Commit commits if the cursor was moved, and otherwise rolls back. The subscriber takes no
// notice of an error: news does.
func (t *transaction) Commit() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.acked {
		t.spoilt = errClosed
		return t.Tx.Rollback()
	}
	if err := t.Tx.Commit(); err != nil {
		t.news.uncommitted = fmt.Errorf("commit positions up to %d: %w", t.last, err)
		return err
	}
	if t.last > 0 {
		t.follower.store.Mark(t.follower.cfg.Name).Raise(t.last)
	}
	return nil
}

// Rollback undoes the page.
func (t *transaction) Rollback() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spoilt = errors.Join(t.spoilt, errClosed)
	return t.Tx.Rollback()
}

// honest are rows that tell of the error that ended them, where the subscriber will see it:
// as one more row, which cannot be scanned.
type honest struct {
	wsql.PgxRows
	err error
}

// Next reports whether there is a row, or an error, to scan.
func (h *honest) Next() bool {
	if h.err != nil {
		return false
	}
	if h.PgxRows.Next() {
		return true
	}
	h.err = h.Err()
	return h.err != nil
}

// Scan reads the row, or returns the error.
func (h *honest) Scan(dest ...any) error {
	if h.err != nil {
		return h.err
	}
	return h.PgxRows.Scan(dest...)
}
