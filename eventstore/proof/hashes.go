package proof

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// hashes returns a reader of the whole tree in q: stored hashes, and what lies below them computed
// from the records. It fails with [eventstore.ErrUnavailable] in its chain while the tree is behind.
func hashes(ctx context.Context, q eventstore.Querier) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		var stored []int64
		var places []int // of stored, in found
		blocks := map[int64][]tlog.Hash{}
		for i, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			if level >= blockLevel {
				stored, places = append(stored, tlog.StoredHashIndex(level-blockLevel, n)), append(places, i)
				continue
			}
			first := n << level
			block := first / blockSize
			if _, ok := blocks[block]; !ok {
				leaves, err := readLeaves(ctx, q, block*blockSize, (block+1)*blockSize)
				if err != nil {
					return nil, err
				}
				blocks[block] = leaves
			}
			leaves, from, to := blocks[block], first%blockSize, first%blockSize+1<<level
			if int(to) > len(leaves) {
				return nil, missing(block*blockSize + int64(len(leaves)))
			}
			found[i] = fold(leaves[from:to])
		}
		upper, err := readStored(ctx, q, stored)
		for i, h := range upper {
			found[places[i]] = h
		}
		return found, err
	})
}

// readLeaves returns the leaves at indexes from to to, the latter excluded: fewer where the log ends.
func readLeaves(ctx context.Context, q eventstore.Querier, from, to int64) ([]tlog.Hash, error) {
	const query = `SELECT position, hash FROM events WHERE position > $1 AND position <= $2 ORDER BY position`
	rows, _ := q.Query(ctx, query, from, to) // ForEachRow reports the error
	leaves := make([]tlog.Hash, 0, to-from)
	var position int64
	var hash []byte
	_, err := pgx.ForEachRow(rows, []any{&position, &hash}, func() error {
		if at := from + int64(len(leaves)); position != at+1 {
			return missing(at)
		}
		leaves = append(leaves, tlog.RecordHash(hash))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read hashes of positions %d to %d: %w", from+1, to, err)
	}
	return leaves, nil
}

// missing says that there is no record of the leaf at index.
func missing(index int64) error {
	return &eventstore.CorruptionError{Position: eventstore.Position(index + 1), Reason: "the record is missing"}
}

// readStored returns the stored hashes at indexes of the tree of blocks, in that order.
func readStored(ctx context.Context, q eventstore.Querier, indexes []int64) ([]tlog.Hash, error) {
	const query = `
		SELECT h.hash
		FROM unnest($1::bigint[]) WITH ORDINALITY AS i(index, n)
		JOIN tree_hashes h USING (index)
		ORDER BY i.n`
	if len(indexes) == 0 {
		return nil, nil
	}
	rows, _ := q.Query(ctx, query, indexes) // CollectRows reports the error
	stored, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h tlog.Hash, err error) {
		var hash []byte
		if err = row.Scan(&hash); err == nil && copy(h[:], hash) != len(hash) {
			err = fmt.Errorf("a hash has %d bytes", len(hash))
		}
		return h, err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read tree: %w", err)
	case len(stored) < len(indexes):
		return nil, fmt.Errorf("the tree has not come that far: %w", eventstore.ErrUnavailable)
	}
	return stored, nil
}
