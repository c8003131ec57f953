package eventstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A CorruptionError names the first record that is not what was committed.
type CorruptionError struct {
	Position Position
	Reason   string
}

// Error names the position and what is wrong there.
func (e *CorruptionError) Error() string {
	return fmt.Sprintf("the log is corrupt at position %d: %s", e.Position, e.Reason)
}

// verifyPage is how many records are read at a time.
const verifyPage = 5000

// Verify reads the whole log, up to the head that it has at the call, and returns how many
// records it found good. It fails with a [CorruptionError] when positions have a gap, times
// do not rise, a stream's versions have a gap, a record is not what was hashed when it was
// committed, or the end of the log is missing. It calls progress, if given, after each
// page. It shares no code with Append, and takes constant memory.
func Verify(ctx context.Context, pool *pgxpool.Pool, progress func(done, total Position)) (Position, error) {
	const headQuery = `SELECT position, hash FROM log_head`
	v := verifier{hash: make([]byte, sha256.Size)}
	var head Position
	var headHash []byte
	if err := pool.QueryRow(ctx, headQuery).Scan(&head, &headHash); err != nil {
		return 0, fmt.Errorf("read head of log: %w", err)
	}
	for v.at < head {
		records, err := ReadPage(ctx, pool, v.at+1, min(v.at+verifyPage, head))
		if err != nil {
			return v.at, err
		}
		for i := range records {
			if err := v.check(&records[i]); err != nil {
				return v.at, err
			}
		}
		if len(records) == 0 || v.at < min(records[0].Position+verifyPage-1, head) {
			return v.at, &CorruptionError{Position: v.at + 1, Reason: "the record is missing"}
		}
		if progress != nil {
			progress(v.at, head)
		}
	}
	if !bytes.Equal(v.hash, headHash) {
		return v.at, &CorruptionError{Position: head, Reason: "the head of the log has another hash than its last record"}
	}
	return v.at, verifyStreams(ctx, pool, head)
}

// A verifier knows the last record found good.
type verifier struct {
	at   Position
	time time.Time
	hash []byte
}

// check verifies rec against the record before it.
func (v *verifier) check(rec *Record) error {
	bad := func(reason string) error { return &CorruptionError{Position: v.at + 1, Reason: reason} }
	switch {
	case rec.Position != v.at+1:
		return bad("the record is missing")
	case !rec.RecordedAt.After(v.time):
		return bad("it was recorded no later than the record before it")
	case !bytes.Equal(rec.Hash, Hash(v.hash, rec)):
		return bad("the record does not match its hash: it, or one before it, was changed")
	}
	v.at, v.time, v.hash = rec.Position, rec.RecordedAt, rec.Hash
	return nil
}

// Hash returns what the hash of rec must be when the one before it has the hash prev, 32 zero bytes
// before the first: SHA-256 over ten fields, each preceded by its length in 8 bytes, big-endian. They
// are prev; position, version and the time of recording in microseconds since 1970, numbers of 8
// bytes, big-endian; the 16 bytes of the ID; the schema version, such a number; and stream, type, data
// and metadata as they are, in UTF-8.
func Hash(prev []byte, rec *Record) []byte {
	be := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	fields := [][]byte{
		prev, be(int64(rec.Position)), be(int64(rec.Version)), be(rec.RecordedAt.UnixMicro()), rec.ID[:],
		be(int64(rec.SchemaVersion)), []byte(rec.Stream), []byte(rec.Type), rec.Data, rec.Metadata,
	}
	var b bytes.Buffer
	for _, f := range fields {
		b.Write(be(int64(len(f))))
		b.Write(f)
	}
	sum := sha256.Sum256(b.Bytes())
	return sum[:]
}

// verifyStreams checks that every stream's versions are 1, 2, 3, …
func verifyStreams(ctx context.Context, pool *pgxpool.Pool, head Position) error {
	const query = `
		SELECT min(position), stream
		FROM events
		WHERE position <= $1
		GROUP BY stream
		HAVING count(*) <> max(version) OR min(version) <> 1
		ORDER BY 1
		LIMIT 1`
	var at Position
	var stream string
	switch err := pool.QueryRow(ctx, query, head).Scan(&at, &stream); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("check versions of streams: %w", err)
	}
	return &CorruptionError{Position: at, Reason: "the versions of stream " + stream + ", which begins here, have a gap"}
}
