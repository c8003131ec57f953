package proof

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
)

// A block is a subtree whose root is stored, and nothing below it.
const (
	blockLevel = 8
	blockSize  = 1 << blockLevel // leaves
)

// Follower returns what keeps the tree on a router. Its table may be emptied along with its cursor at
// any time: the follower makes it again, and it comes out the same. [Rebuild] puts it right where it stands. The
// follower looks at the log once a second at most, and takes what was appended in one large page.
func Follower() follower.Config {
	return follower.Config{Name: "tree", Version: 1, Page: 1 << 15, Rest: time.Second, Apply: grow}
}

// grow stores the hashes of the tree that the records at positions first to last complete.
func grow(ctx context.Context, tx pgx.Tx, first, last eventstore.Position) error {
	const insert = `
		INSERT INTO tree_hashes (index, hash)
		SELECT $1 + n - 1, hash
		FROM unnest($2::bytea[]) WITH ORDINALITY AS h(hash, n)`
	from, to := int64(first-1)/blockSize, int64(last)/blockSize
	if from == to {
		return nil
	}
	known, err := readFrontier(ctx, tx, from)
	if err != nil {
		return err
	}
	start, grown, err := known.grow(ctx, tx, from, to)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, insert, start, grown); err != nil {
		return fmt.Errorf("write tree: %w", err)
	}
	return nil
}

// A frontier is the stored hashes at hand, by their index.
type frontier map[int64]tlog.Hash

// ReadHashes implements [tlog.HashReader].
func (f frontier) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		h, ok := f[index]
		if !ok {
			return nil, fmt.Errorf("hash %d of the tree is not at hand", index)
		}
		hashes[i] = h
	}
	return hashes, nil
}

// grow returns the hashes, and the index of the first, that the blocks from to to, the latter excluded, complete in the
// tree of the blocks before them, of which f is the frontier. They are added to that.
func (f frontier) grow(ctx context.Context, q eventstore.Querier, from, to int64) (start int64, grown [][]byte, err error) {
	leaves, err := readLeaves(ctx, q, from*blockSize, to*blockSize)
	if err != nil {
		return 0, nil, err
	}
	if at := from*blockSize + int64(len(leaves)); at < to*blockSize {
		return 0, nil, missing(at)
	}
	start = tlog.StoredHashIndex(0, from)
	for block := from; block < to; block++ {
		at := (block - from) * blockSize
		added, err := tlog.StoredHashesForRecordHash(block, fold(leaves[at:at+blockSize]), f)
		if err != nil {
			return 0, nil, fmt.Errorf("grow tree by positions %d to %d: %w", block*blockSize+1, (block+1)*blockSize, err)
		}
		for _, h := range added {
			f[start+int64(len(grown))] = h
			grown = append(grown, h[:])
		}
	}
	return start, grown, nil
}

// readFrontier returns the stored hashes that a tree of so many blocks needs to grow.
func readFrontier(ctx context.Context, q eventstore.Querier, blocks int64) (frontier, error) {
	return collectFrontier(blocks, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		return readStored(ctx, q, indexes)
	}))
}

// collectFrontier returns the hashes that a tree of so many blocks needs to grow: those that its root is made of.
func collectFrontier(blocks int64, tree tlog.HashReader) (frontier, error) {
	known := frontier{}
	_, err := tlog.TreeHash(blocks, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes, err := tree.ReadHashes(indexes)
		for i, h := range hashes {
			known[indexes[i]] = h
		}
		return hashes, err
	}))
	return known, err
}

// fold returns the root of the tree over leaves, a power of 2 of them.
func fold(leaves []tlog.Hash) tlog.Hash {
	level := append([]tlog.Hash(nil), leaves...)
	for len(level) > 1 {
		for i := range len(level) / 2 {
			level[i] = tlog.NodeHash(level[2*i], level[2*i+1])
		}
		level = level[:len(level)/2]
	}
	return level[0]
}
