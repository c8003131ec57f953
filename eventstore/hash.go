package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// A chainer computes the hashes of records, one after the other.
type chainer struct {
	hash hash.Hash
	buf  []byte
}

// newChainer returns a chainer.
func newChainer() *chainer { return &chainer{hash: sha256.New()} }

// chain returns the hash of rec, whose predecessor's hash is prev: SHA-256 over prev and
// every other column, in the table's order, each preceded by its length. Numbers are 8
// bytes, big-endian; the time of recording is in microseconds since 1970.
func (c *chainer) chain(prev []byte, rec *Record) []byte {
	b := appendHashed(c.buf[:0], prev)
	b = appendHashedNumber(b, int64(rec.Position))
	b = appendHashedNumber(b, int64(rec.Version))
	b = appendHashedNumber(b, rec.RecordedAt.UnixMicro())
	b = appendHashed(b, rec.ID[:])
	b = appendHashedNumber(b, int64(rec.SchemaVersion))
	b = appendHashed(b, rec.Stream)
	b = appendHashed(b, rec.Type)
	b = appendHashed(b, rec.Data)
	b = appendHashed(b, rec.Metadata)
	c.buf = b
	c.hash.Reset()
	c.hash.Write(b)
	return c.hash.Sum(make([]byte, 0, sha256.Size))
}

// appendHashed appends the length of field and field.
func appendHashed[T ~string | ~[]byte](b []byte, field T) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(field))), field...)
}

// appendHashedNumber appends the length of n, and n.
func appendHashedNumber(b []byte, n int64) []byte {
	const size = 8
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, size), uint64(n))
}
