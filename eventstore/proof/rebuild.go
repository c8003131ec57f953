package proof

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// Rebuild computes the stored tree again from the records' hashes, as far as its follower has come, and puts right
// what is missing, wrong or too much. It is called while the ledger serves, also by several at once, and calls progress,
// if given, after each page. Interrupted, it may be run again.
//
// It needs no tables beside those that are read: a hash has one place and one value, which the log gives, so that what is
// right is never touched, and what is not gets right at its place. Nothing is computed from what was stored. The follower
// writes beyond its cursor alone, and Rebuild up to there, at the end while it holds the cursor; so whatever the
// follower made meanwhile of hashes that were wrong is put right as well.
func Rebuild(ctx context.Context, pool *pgxpool.Pool, progress func(done, total eventstore.Position)) error {
	b := rebuild{known: frontier{}}
	for {
		cursor, err := readCursor(ctx, pool, `SELECT position FROM cursors WHERE name = $1`)
		if err != nil {
			return err
		}
		last := cursor - cursor%blockSize
		if last-b.size < verifyPage { // and what the follower has added until then
			break
		}
		last = min(b.size+verifyPage, last)
		if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return b.page(ctx, tx, last) }); err != nil {
			return err
		}
		if progress != nil {
			progress(eventstore.Position(b.size), eventstore.Position(cursor))
		}
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		cursor, err := readCursor(ctx, tx, `SELECT position FROM cursors WHERE name = $1 FOR UPDATE`)
		if err != nil {
			return err
		}
		for last := cursor - cursor%blockSize; b.size < last; {
			if err := b.page(ctx, tx, min(b.size+verifyPage, last)); err != nil {
				return err
			}
		}
		if progress != nil {
			progress(eventstore.Position(cursor), eventstore.Position(cursor))
		}
		return b.cut(ctx, tx)
	})
}

// readCursor returns the position of the tree's follower that query selects, 0 when it never followed.
func readCursor(ctx context.Context, q eventstore.Querier, query string) (int64, error) {
	rows, _ := q.Query(ctx, query, Follower().Name) // CollectExactlyOneRow reports the error
	at, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("read cursor of the tree: %w", err)
	}
	return at, nil
}

// A rebuild has computed the tree over the first records.
type rebuild struct {
	size  int64    // of the tree, in whole blocks
	known frontier // hashes that it needs to grow
}

// page goes on to the record at position last, where a block ends.
func (b *rebuild) page(ctx context.Context, tx pgx.Tx, last int64) error {
	const write = `
		INSERT INTO tree_hashes AS t (index, hash)
		SELECT $1 + n - 1, hash
		FROM unnest($2::bytea[]) WITH ORDINALITY AS h(hash, n)
		ON CONFLICT (index) DO UPDATE SET hash = excluded.hash
		WHERE t.hash <> excluded.hash`
	start, grown, err := b.known.grow(ctx, tx, b.size/blockSize, last/blockSize)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, write, start, grown); err != nil {
		return fmt.Errorf("write tree: %w", err)
	}
	b.size = last
	kept, err := collectFrontier(last/blockSize, b.known)
	b.known = kept
	return err
}

// cut removes what is stored beyond the tree.
func (b *rebuild) cut(ctx context.Context, tx pgx.Tx) error {
	const query = `DELETE FROM tree_hashes WHERE index >= $1`
	if _, err := tx.Exec(ctx, query, tlog.StoredHashCount(b.size/blockSize)); err != nil {
		return fmt.Errorf("cut tree: %w", err)
	}
	return nil
}
