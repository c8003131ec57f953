// Package shred makes parts of an append-only log forgettable: what is personal is sealed under a key of its
// subject, and erased by destroying that key. The log itself is not touched, nor are its hashes.
//
// # Keys
//
// An organisation has a sequence of keys, numbered from 1, of which the newest seals. A subject's own key is a
// leaf of a tree of 2^64 under it: a node's two children are the hashes of it and of their bit, so that whoever has
// a node has all below, and nothing else. To destroy one subject's key, the tree's root is replaced by the siblings
// of the nodes on the way to that leaf: from these every other leaf can still be derived, and this one by nobody. That is the puncturable
// pseudorandom function of Goldreich, Goldwasser and Micali ("How to construct random functions", 1986).
//
// A key is a row, sealed by the vault. Nothing is written for a subject until it is erased, and then some two
// kilobytes in the row of each key that sealed something of it.
//
// # When it is gone
//
// Processes keep keys for a short time, by a clock that only goes on. So what was destroyed can be opened, or sealed
// under, for that long; [Keys.Settled] says when it is over for certain. A key that lost a leaf seals no more: the same transaction
// begins the next one. Copies of the table, such as backups, keep what they have.
package shred
