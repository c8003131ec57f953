package rest

// What the tests look at from outside.
var (
	Members     = members
	Elements    = elements
	NewCursor   = newCursor
	ParseCursor = parseCursor
)

// Spool is a spool, whose first SpoolMemory bytes are in memory.
type Spool = spool

// SpoolMemory is spoolMemory.
const SpoolMemory = spoolMemory

// InMemory returns how many bytes are in memory.
func (s *spool) InMemory() int { return len(s.memory) }
