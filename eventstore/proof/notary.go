package proof

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/vault"
)

// A Notary signs checkpoints, keeps them, and proves against them. It is safe for concurrent use, by
// any number of processes on one database.
type Notary struct {
	pool  *pgxpool.Pool
	store *eventstore.Store
	vault *vault.Vault
}

// NewNotary returns a notary of store's log, which is in pool's database. It signs with the key that v
// keeps for it at that time, and has v keep one if there is none.
func NewNotary(ctx context.Context, pool *pgxpool.Pool, store *eventstore.Store, v *vault.Vault) (*Notary, error) {
	if err := makeKey(ctx, v); err != nil {
		return nil, err
	}
	return &Notary{pool: pool, store: store, vault: v}, nil
}

// Checkpoint returns the newest checkpoint if it is over the record at least, and else signs one that is,
// and goes on as far as the tree has come. The log must have that record. It waits for the tree until ctx is
// done. It signs nothing that the checkpoint before does not agree with: then it fails with a [MismatchError], or
// with an [eventstore.CorruptionError] if records are missing.
func (n *Notary) Checkpoint(ctx context.Context, least eventstore.Position) (Checkpoint, error) {
	newest, err := newest(ctx, n.pool)
	none := errors.Is(err, pgx.ErrNoRows)
	if err != nil && !none {
		return newest, err
	}
	if !none && newest.Size >= int64(least) {
		return newest, nil
	}
	size, err := n.reach(ctx, max(least, eventstore.Position(newest.Size)))
	if err != nil {
		return newest, err
	}
	if err := newest.hold(ctx, n.pool); err != nil {
		return newest, err
	}
	return n.sign(ctx, size)
}

// reach returns over how many records the tree is known, once these are at least so many.
func (n *Notary) reach(ctx context.Context, least eventstore.Position) (int64, error) {
	head, err := n.store.Head(ctx)
	if err != nil {
		return 0, err
	}
	if head < least {
		return 0, missing(int64(head))
	}
	tree := Follower().Name
	if err := n.store.Await(ctx, tree, least-least%blockSize); err != nil {
		return 0, err
	}
	at, err := n.store.Cursor(ctx, tree)
	return int64(min(head, max(least, at)/blockSize*blockSize+blockSize-1)), err
}

// sign signs a checkpoint over so many records, unless another process was first, and returns the one that is
// kept. The key is held meanwhile: one that has handed over to another signs nothing any more.
func (n *Notary) sign(ctx context.Context, size int64) (Checkpoint, error) {
	const query = `INSERT INTO checkpoints (size, note) VALUES ($1, $2) ON CONFLICT DO NOTHING`
	root, err := tlog.TreeHash(size, hashes(ctx, n.pool))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("compute root over %d records: %w", size, err)
	}
	err = pgx.BeginFunc(ctx, n.pool, func(tx pgx.Tx) error {
		kept, err := n.vault.Hold(ctx, tx, keyID)
		if err != nil {
			return err
		}
		signer, _, err := parseKey(kept)
		if err != nil {
			return err
		}
		signed, err := note.Sign(&note.Note{Text: Checkpoint{Origin: signer.Name(), Size: size, Root: root}.body()}, signer)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, query, size, string(signed))
		return err
	})
	if err != nil {
		return Checkpoint{}, fmt.Errorf("sign checkpoint over %d records: %w", size, err)
	}
	return n.Kept(ctx, size)
}

// hold fails unless the records in q are those of the checkpoint. Of no checkpoint, they are.
func (c Checkpoint) hold(ctx context.Context, q eventstore.Querier) error {
	if c.Size == 0 {
		return nil
	}
	root, err := tlog.TreeHash(c.Size, hashes(ctx, q))
	if err == nil && root != c.Root {
		err = &MismatchError{Size: c.Size}
	}
	return err
}

// Kept returns the checkpoint over so many records. It fails with [pgx.ErrNoRows] in its chain when none was signed.
func (n *Notary) Kept(ctx context.Context, size int64) (Checkpoint, error) {
	const query = `SELECT note FROM checkpoints WHERE size = $1`
	return readNote(ctx, n.pool, query, size)
}

// newest returns the checkpoint over the most records. It fails with [pgx.ErrNoRows] in its chain when there is none.
func newest(ctx context.Context, q eventstore.Querier) (Checkpoint, error) {
	const query = `SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1`
	return readNote(ctx, q, query)
}

// readNote returns the checkpoint whose note query selects.
func readNote(ctx context.Context, q eventstore.Querier, query string, args ...any) (Checkpoint, error) {
	rows, _ := q.Query(ctx, query, args...) // CollectExactlyOneRow reports the error
	signed, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	return readCheckpoint(signed)
}

// patience bounds the work of one signature of [Notary.Run].
const patience = 30 * time.Second

// Run signs a checkpoint as often as every says while the log grows, until ctx is done: one of all
// processes that run it. What keeps it from signing is logged, and it goes on.
func (n *Notary) Run(ctx context.Context, every time.Duration, log *slog.Logger) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := n.renew(ctx, every); err != nil && ctx.Err() == nil {
			log.LogAttrs(ctx, slog.LevelError, "no checkpoint was signed", slog.Any("error", err))
		}
	}
}

// renew signs a checkpoint if the log has grown, and none was signed by any process for most of that time.
func (n *Notary) renew(ctx context.Context, every time.Duration) error {
	const query = `SELECT EXISTS (SELECT FROM checkpoints WHERE signed_at > now() - $1::interval)`
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	head, err := n.store.Head(ctx)
	if err != nil || head == 0 {
		return err
	}
	var recent bool
	if err := n.pool.QueryRow(ctx, query, every*3/4).Scan(&recent); err != nil {
		return fmt.Errorf("look for the last checkpoint: %w", err)
	}
	if recent {
		return nil
	}
	_, err = n.Checkpoint(ctx, head)
	return err
}
