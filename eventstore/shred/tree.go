package shred

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
)

const (
	height     = 64             // levels below the root
	secretSize = sha256.Size    // bytes of a node's secret
	nodeSize   = 9 + secretSize // bytes of a node as it is kept
)

// A node is one of a tree.
type node struct {
	path   uint64 // to it, from the highest bit on; what is below is 0
	depth  uint8  // bits of path that count
	secret [secretSize]byte
}

// over reports whether a leaf is the node, or below it.
func (n node) over(leaf uint64) bool { return (n.path^leaf)>>(height-n.depth) == 0 }

// A tree is what is left of one: nodes in order of their paths, none over another. All leaves that can be derived are below them.
type tree []node

// newTree returns a whole tree.
func newTree() tree {
	var root node
	_, _ = rand.Read(root.secret[:]) // never fails
	return tree{root}
}

// whole reports whether nothing of it was destroyed.
func (t tree) whole() bool { return len(t) == 1 && t[0].depth == 0 }

// leafOf returns the leaf of a subject. A name is told from another by its parts, wherever they are cut.
func leafOf(subject []string) uint64 {
	h := sha256.New()
	b := make([]byte, 0, 64)
	for _, part := range subject {
		b = append(binary.BigEndian.AppendUint64(b[:0], uint64(len(part))), part...)
		h.Write(b) // a hash takes everything
	}
	return binary.BigEndian.Uint64(h.Sum(b[:0]))
}

// child returns the secret of one of a node's children.
func child(secret [secretSize]byte, bit byte) [secretSize]byte {
	var b [secretSize + 1]byte
	copy(b[:], secret[:])
	b[secretSize] = bit
	return sha256.Sum256(b[:])
}

// bit returns that of a path by which it goes on at a depth.
func bit(path uint64, depth uint8) byte { return byte(path >> (height - 1 - depth) & 1) }

// find returns the place of the node over a leaf, and false when there is none.
func (t tree) find(leaf uint64) (int, bool) {
	i, exact := slices.BinarySearchFunc(t, leaf, func(n node, leaf uint64) int {
		switch {
		case n.path < leaf:
			return -1
		case n.path > leaf:
			return 1
		}
		return 0
	})
	if !exact {
		i--
	}
	return i, i >= 0 && t[i].over(leaf)
}

// secret returns that of a leaf, and false when it cannot be derived any more.
func (t tree) secret(leaf uint64) (secret [secretSize]byte, ok bool) {
	i, ok := t.find(leaf)
	if !ok {
		return secret, false
	}
	secret = t[i].secret
	for depth := t[i].depth; depth < height; depth++ {
		secret = child(secret, bit(leaf, depth))
	}
	return secret, true
}

// without returns the tree from which a leaf cannot be derived, and all others can that could be before.
func (t tree) without(leaf uint64) tree {
	i, ok := t.find(leaf)
	if !ok {
		return t
	}
	at := t[i]
	var before, after []node // in order of their paths, the latter from the end
	for at.depth < height {
		up, side := bit(leaf, at.depth), height-1-at.depth
		sibling := node{path: at.path | uint64(1-up)<<side, depth: at.depth + 1, secret: child(at.secret, 1-up)}
		if up == 1 {
			before = append(before, sibling)
		} else {
			after = append(after, sibling)
		}
		at = node{path: at.path | uint64(up)<<side, depth: at.depth + 1, secret: child(at.secret, up)}
	}
	slices.Reverse(after)
	return slices.Concat(t[:i], before, after, t[i+1:])
}

// withoutEach returns the tree without the leaves of those subjects, and whether it had one of them.
func (t tree) withoutEach(subjects [][]string) (left tree, changed bool) {
	for _, subject := range subjects {
		leaf := leafOf(subject)
		_, held := t.find(leaf)
		t, changed = t.without(leaf), changed || held
	}
	return t, changed
}

// bytes returns the tree as it is kept.
func (t tree) bytes() []byte {
	b := make([]byte, 0, len(t)*nodeSize)
	for _, n := range t {
		b = append(b, n.depth)
		b = binary.BigEndian.AppendUint64(b, n.path)
		b = append(b, n.secret[:]...)
	}
	return b
}

// parseTree returns the tree that was kept as b.
func parseTree(b []byte) (tree, error) {
	if len(b)%nodeSize != 0 {
		return nil, errors.New("it is no key")
	}
	t := make(tree, 0, len(b)/nodeSize)
	for ; len(b) > 0; b = b[nodeSize:] {
		t = append(t, node{depth: b[0], path: binary.BigEndian.Uint64(b[1:]), secret: [secretSize]byte(b[9:nodeSize])})
	}
	return t, nil
}
