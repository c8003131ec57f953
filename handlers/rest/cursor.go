package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/openprospect/delivery-ledger/projections"
)

// cursorVersion begins every cursor, so that others can be told from later ones.
const cursorVersion = 1

// newCursor returns a text that says how far somebody has read a feed. It is bound to the
// feed, and means the same for ever, since numbers in a feed never change.
func newCursor(feed projections.Feed, number int64) string {
	b := append([]byte{cursorVersion}, feedTag(feed)...)
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(b, uint64(number)))
}

// parseCursor returns the number in a cursor, and false when it is none of that feed.
func parseCursor(feed projections.Feed, cursor string) (int64, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return 0, false
	}
	rest, ok := bytes.CutPrefix(b, append([]byte{cursorVersion}, feedTag(feed)...))
	number, n := binary.Uvarint(rest)
	if !ok || n <= 0 || n != len(rest) || int64(number) < 0 {
		return 0, false
	}
	return int64(number), true
}

// feedTag tells feeds apart.
func feedTag(feed projections.Feed) []byte {
	sum := sha256.Sum256([]byte("delivery " + string(feed.Delivery) + "\nsearch " + string(feed.Search)))
	return sum[:8]
}
