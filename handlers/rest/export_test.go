package rest

// What the tests look at from outside.
var (
	Members     = members
	Elements    = elements
	NewCursor   = newCursor
	ParseCursor = parseCursor
)
