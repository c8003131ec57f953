package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// What cursors begin with, so that others can be told from later ones.
const (
	cursorVersion     = 1
	pastCursorVersion = 3 // of a feed as it was; between them are those of lists
)

// feedPrefix begins the cursors of a feed: of what it is, or of what it was at a position, which they carry.
func feedPrefix(feed projections.Feed, at *eventstore.Position) []byte {
	if at == nil {
		return append([]byte{cursorVersion}, feedTag(feed)...)
	}
	return append(binary.AppendUvarint([]byte{pastCursorVersion}, uint64(*at)), feedTag(feed)...)
}

// newCursor returns a text that says how far somebody has read the feed of a prefix. It is bound to the
// feed, and means the same for ever, since numbers in a feed never change.
func newCursor(prefix []byte, number int64) string {
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(slices.Clip(prefix), uint64(number)))
}

// parseCursor returns the number in a cursor, and false when it is none of the feed of a prefix.
func parseCursor(prefix []byte, cursor string) (int64, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return 0, false
	}
	rest, ok := bytes.CutPrefix(b, prefix)
	number, n := binary.Uvarint(rest)
	if !ok || n <= 0 || n != len(rest) || int64(number) < 0 {
		return 0, false
	}
	return int64(number), true
}

// cursorMoment returns the position that a cursor carries, nil when it carries none.
func cursorMoment(cursor string) *eventstore.Position {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) == 0 || b[0] != pastCursorVersion {
		return nil
	}
	at, n := binary.Uvarint(b[1:])
	if n <= 0 || int64(at) < 0 {
		return nil
	}
	return new(eventstore.Position(at))
}

// feedTag tells feeds apart.
func feedTag(feed projections.Feed) []byte {
	sum := sha256.Sum256([]byte("delivery " + string(feed.Delivery) + "\nsearch " + string(feed.Search)))
	return sum[:8]
}
