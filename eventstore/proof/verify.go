package proof

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// A Finding says what [Verify] compared the log with.
type Finding struct {
	Checkpoints int   // with which the log agrees
	Size        int64 // records that the largest of them is over
}

// verifyPage is how many records are read at a time. It is a multiple of blockSize.
const verifyPage = 1 << 15

// Verify builds the tree again from the records' hashes, which [eventstore.Verify] must have found good,
// and compares it with the stored one, with the checkpoints that are kept, and with others that were kept
// elsewhere. It fails with an [eventstore.CorruptionError] that names the first position of what is not as
// it was, or missing, or with a [MismatchError] when that is all that a checkpoint tells. Where keys are
// given it also fails with a [ForgeryError] when a checkpoint that is kept was signed by none of them. It calls
// progress, if given, after each page, and keeps a hash in memory for every 128 records.
func Verify(ctx context.Context, pool *pgxpool.Pool, others []Checkpoint, keys note.Verifiers, progress func(done, total eventstore.Position)) (Finding, error) {
	head, cursor, largest, err := readEnds(ctx, pool)
	if err != nil {
		return Finding{}, err
	}
	v := verifier{upper: frontier{}, cursor: cursor, keys: keys}
	for _, c := range others {
		largest = max(largest, c.Size)
		if c.Size > 0 {
			v.others = append(v.others, c)
		}
	}
	slices.SortFunc(v.others, func(a, b Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	for v.size < head {
		if err := v.page(ctx, pool, min(v.size+verifyPage, head)); err != nil {
			return v.found, err
		}
		if progress != nil {
			progress(eventstore.Position(v.size), eventstore.Position(head))
		}
	}
	if head < max(cursor, largest) {
		return v.found, missing(head)
	}
	return v.found, nil
}

// readEnds returns how far the log goes, how far the tree has come, and what the largest checkpoint is over.
func readEnds(ctx context.Context, pool *pgxpool.Pool) (head, cursor, largest int64, err error) {
	const query = `
		SELECT position, coalesce((SELECT position FROM cursors WHERE name = $1), 0), coalesce((SELECT max(size) FROM checkpoints), 0)
		FROM log_head`
	if err := pool.QueryRow(ctx, query, Follower().Name).Scan(&head, &cursor, &largest); err != nil {
		return 0, 0, 0, fmt.Errorf("read ends of log and tree: %w", err)
	}
	return head, cursor, largest, nil
}

// A verifier has built the tree over the first records.
type verifier struct {
	size   int64          // of the tree
	upper  frontier       // hashes of blocks and above
	leaves []tlog.Hash    // beyond the last whole block
	cursor int64          // where the stored tree ends
	others []Checkpoint   // of larger trees, by size
	keys   note.Verifiers // of what is kept; nil: whoever signed it
	found  Finding
}

// page goes on to the record at position last.
func (v *verifier) page(ctx context.Context, pool *pgxpool.Pool, last int64) error {
	leaves, err := readLeaves(ctx, pool, v.size, last)
	if err != nil {
		return err
	}
	kept, err := v.readKept(ctx, pool, v.size, last)
	if err != nil {
		return err
	}
	stored, err := readRange(ctx, pool, v.size/blockSize, min(last, v.cursor)/blockSize)
	if err != nil {
		return err
	}
	for _, leaf := range leaves {
		if err := v.leaf(leaf, stored); err != nil {
			return err
		}
		if kept, err = v.compare(kept); err != nil {
			return err
		}
		if v.others, err = v.compare(v.others); err != nil {
			return fmt.Errorf("compare with a checkpoint from elsewhere: %w", err)
		}
	}
	if v.size < last {
		return missing(v.size)
	}
	return nil
}

// leaf adds a leaf, and compares what it completes with the stored hashes, as far as these go.
func (v *verifier) leaf(leaf tlog.Hash, stored frontier) error {
	v.leaves = append(v.leaves, leaf)
	v.size++
	if len(v.leaves) < blockSize {
		return nil
	}
	block := v.size/blockSize - 1
	added, err := tlog.StoredHashesForRecordHash(block, fold(v.leaves), v.upper)
	if err != nil {
		return fmt.Errorf("build tree over %d records: %w", v.size, err)
	}
	v.leaves = v.leaves[:0]
	for i, h := range added {
		index := tlog.StoredHashIndex(0, block) + int64(i)
		v.upper[index] = h
		if was, ok := stored[index]; v.size <= v.cursor && (!ok || was != h) {
			first := v.size - blockSize<<i + 1
			return &eventstore.CorruptionError{
				Position: eventstore.Position(first),
				Reason:   fmt.Sprintf("the events from here to %d are not those that the tree was made of: they, or the tree, were changed later", v.size),
			}
		}
	}
	return nil
}

// ReadHashes implements [tlog.HashReader] for the tree that was built.
func (v *verifier) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		if level >= blockLevel {
			found[i] = v.upper[tlog.StoredHashIndex(level-blockLevel, n)]
			continue
		}
		at := n << level % blockSize
		found[i] = fold(v.leaves[at : at+1<<level])
	}
	return found, nil
}

// compare holds the tree against those of the checkpoints that are of its size, and returns the rest.
func (v *verifier) compare(checkpoints []Checkpoint) ([]Checkpoint, error) {
	for len(checkpoints) > 0 && checkpoints[0].Size == v.size {
		root, err := tlog.TreeHash(v.size, v)
		if err != nil {
			return nil, fmt.Errorf("compute root over %d records: %w", v.size, err)
		}
		if root != checkpoints[0].Root {
			return nil, &MismatchError{Size: v.size}
		}
		v.found = Finding{Checkpoints: v.found.Checkpoints + 1, Size: v.size}
		checkpoints = checkpoints[1:]
	}
	return checkpoints, nil
}

// readKept returns the checkpoints that are kept of trees larger than after and up to last, by size.
func (v *verifier) readKept(ctx context.Context, q eventstore.Querier, after, last int64) ([]Checkpoint, error) {
	const query = `SELECT size, note FROM checkpoints WHERE size > $1 AND size <= $2 ORDER BY size`
	rows, _ := q.Query(ctx, query, after, last) // CollectRows reports the error
	kept, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Checkpoint, error) {
		var size int64
		var signed string
		if err := row.Scan(&size, &signed); err != nil {
			return Checkpoint{}, err
		}
		c, err := readCheckpoint(signed)
		if err == nil && c.Size != size {
			err = fmt.Errorf("the checkpoint that is kept for %d records is over %d", size, c.Size)
		}
		if err == nil && v.keys != nil {
			if _, err = OpenCheckpoint(signed, v.keys); err != nil {
				err = &ForgeryError{Size: size, Reason: err}
			}
		}
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("read checkpoints over %d to %d records: %w", after+1, last, err)
	}
	return kept, nil
}

// A ForgeryError says that a checkpoint in the database was not signed by the ledger, as far as its keys are known.
type ForgeryError struct {
	Size   int64 // records that it says it is over
	Reason error // what is wrong with its signatures
}

// Error names the checkpoint and what is wrong with it.
func (e *ForgeryError) Error() string {
	return fmt.Sprintf("the checkpoint over %d events that the database holds is forged, or a key of the ledger's was not given: %v", e.Size, e.Reason)
}

// Unwrap returns what is wrong with the signatures.
func (e *ForgeryError) Unwrap() error { return e.Reason }

// readRange returns the stored hashes that the blocks from to to, the latter excluded, have completed.
func readRange(ctx context.Context, q eventstore.Querier, from, to int64) (frontier, error) {
	const query = `SELECT index, hash FROM tree_hashes WHERE index >= $1 AND index < $2`
	stored := frontier{}
	if from >= to {
		return stored, nil
	}
	rows, _ := q.Query(ctx, query, tlog.StoredHashCount(from), tlog.StoredHashCount(to)) // ForEachRow reports the error
	var index int64
	var hash []byte
	_, err := pgx.ForEachRow(rows, []any{&index, &hash}, func() error {
		var h tlog.Hash
		copy(h[:], hash)
		stored[index] = h
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tree: %w", err)
	}
	return stored, nil
}
