package rest

import "github.com/openprospect/delivery-ledger/projections"

// What the tests look at from outside.
var (
	Members  = members
	Elements = elements
)

// NewCursor returns a cursor of a feed as it is.
func NewCursor(feed projections.Feed, number int64) string {
	return newCursor(feedPrefix(feed, nil), number)
}

// ParseCursor returns the number in a cursor of a feed as it is.
func ParseCursor(feed projections.Feed, cursor string) (int64, bool) {
	return parseCursor(feedPrefix(feed, nil), cursor)
}

// Spool is a spool, whose first SpoolMemory bytes are in memory.
type Spool = spool

// SpoolMemory is spoolMemory.
const SpoolMemory = spoolMemory

// InMemory returns how many bytes are in memory.
func (s *spool) InMemory() int { return len(s.memory) }
