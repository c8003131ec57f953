// Package proof makes the log provable to others: a Merkle tree over its records, checkpoints of
// that tree which are signed, and proofs that hold against a checkpoint alone.
//
// The tree is that of RFC 6962, as [golang.org/x/mod/sumdb/tlog] builds it. Its leaf at index i is
// the leaf hash, SHA-256(0x00 || hash), of the 32 bytes of the hash of the record at position i+1;
// of two nodes, SHA-256(0x01 || left || right). A record's hash covers its content and the hash before
// it: see [eventstore.Hash].
//
// A checkpoint is a note ([golang.org/x/mod/sumdb/note], c2sp.org/tlog-checkpoint) of three lines: the
// ledger's name, how many records the tree is over, and its root in base64. It is signed by Ed25519 with a
// key that the vault keeps. Each signature names its key, and a note may have several: where a key is
// changed, the former one signs along until everybody knows the new one, of the same name.
//
// # Why
//
// The hash chain shows that the log agrees with itself, but who may write to the database can
// change a record and compute every hash after it anew. The root of a tree that was told to somebody else
// cannot be changed that way, and a proof against it is a handful of hashes, however long the log.
//
// Only the nodes from the roots of 256 records upwards are stored, a row for 128 records instead of two
// for each: what lies below is computed from the records' hashes when a proof asks for it, 256 of them at
// either end. So the follower that keeps the tree costs next to nothing beside the ones that keep read models.
package proof
