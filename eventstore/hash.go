package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// chain returns the hash of rec, whose predecessor's hash is prev: SHA-256 over prev and
// every other column, in the table's order, each preceded by its length. Numbers are 8
// bytes, big-endian; the time of recording is in microseconds since 1970.
func chain(h hash.Hash, prev []byte, rec *Record) []byte {
	h.Reset()
	var buf [8]byte
	field := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(buf[:0], uint64(len(b))))
		h.Write(b)
	}
	number := func(n int64) {
		var b [8]byte
		field(binary.BigEndian.AppendUint64(b[:0], uint64(n)))
	}
	field(prev)
	number(int64(rec.Position))
	number(int64(rec.Version))
	number(rec.RecordedAt.UnixMicro())
	field(rec.ID[:])
	number(int64(rec.SchemaVersion))
	field([]byte(rec.Stream))
	field([]byte(rec.Type))
	field(rec.Data)
	field(rec.Metadata)
	return h.Sum(make([]byte, 0, sha256.Size))
}
