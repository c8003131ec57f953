package eventstore

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// copyRecords writes records to the log, each with its hash, and returns the last hash; prev is
// the one before the first. It calls sent when it has passed on everything and waits for
// Postgres. The binary format of COPY takes a third less of this process' time than parameters
// do, and hashes are computed while Postgres writes.
func copyRecords(ctx context.Context, conn *pgconn.PgConn, records []*Record, prev []byte, sent func()) (hash []byte, err error) {
	const query = `COPY events (` + columns + `) FROM STDIN (FORMAT binary)`
	r := &copyReader{records: records, hash: prev, chainer: newChainer(), sent: sent}
	_, err = conn.CopyFrom(ctx, r, query)
	return r.close(), err // pgconn may go on reading for a connection that was lost
}

// copyBuffer is how much of the stream is encoded at a time, about.
const copyBuffer = 32 << 10

// A copyReader is a binary COPY of records, as Postgres' manual describes it. It reads no record
// once it is closed.
type copyReader struct {
	mu      sync.Mutex
	records []*Record
	hash    []byte // of the last record encoded
	chainer *chainer
	sent    func()
	buf     []byte // what was encoded
	off     int    // how much of it was read
	stage   copyStage
}

// A copyStage says what of the stream comes next.
type copyStage int

const (
	copyHeader copyStage = iota
	copyRows
	copyEnd
)

// Read implements [io.Reader].
func (r *copyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.off == len(r.buf) && !r.fill() {
		r.sent()
		return 0, io.EOF
	}
	n := copy(p, r.buf[r.off:])
	r.off += n
	return n, nil
}

// close ends the stream and returns the last hash.
func (r *copyReader) close() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records, r.buf, r.off, r.stage = nil, nil, 0, copyEnd
	return r.hash
}

// fill encodes more of the stream, and reports whether there was more.
func (r *copyReader) fill() bool {
	r.buf, r.off = r.buf[:0], 0
	if r.stage == copyHeader {
		const flagsAndExtension = "\x00\x00\x00\x00\x00\x00\x00\x00"
		r.buf = append(r.buf, "PGCOPY\n\xff\r\n\x00"+flagsAndExtension...)
		r.stage = copyRows
	}
	for len(r.records) > 0 && len(r.buf) < copyBuffer {
		rec := r.records[0]
		rec.Hash = r.chainer.chain(r.hash, rec)
		r.hash = rec.Hash
		r.buf = appendRow(r.buf, rec)
		r.records = r.records[1:]
	}
	if len(r.records) == 0 && r.stage == copyRows && len(r.buf) < copyBuffer {
		r.buf = append(r.buf, 0xff, 0xff)
		r.stage = copyEnd
	}
	return len(r.buf) > 0
}

// appendRow appends the columns of a record, in their order.
func appendRow(b []byte, rec *Record) []byte {
	const fields = 10
	b = binary.BigEndian.AppendUint16(b, fields)
	b = appendInt64(b, int64(rec.Position))
	b = appendInt64(b, int64(rec.Version))
	b = appendInt64(b, rec.RecordedAt.Sub(copyEpoch).Microseconds())
	b = appendField(b, rec.ID[:])
	b = binary.BigEndian.AppendUint32(b, 2)
	b = binary.BigEndian.AppendUint16(b, uint16(rec.SchemaVersion))
	b = appendField(b, rec.Stream)
	b = appendField(b, rec.Type)
	b = appendField(b, rec.Data)
	b = appendField(b, rec.Metadata)
	return appendField(b, rec.Hash)
}

// copyEpoch is when Postgres' time begins.
var copyEpoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// appendInt64 appends a bigint, or the microseconds of a time.
func appendInt64(b []byte, n int64) []byte {
	const size = 8
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, size), uint64(n))
}

// appendField appends anything else.
func appendField[T ~string | ~[]byte](b []byte, field T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
}
