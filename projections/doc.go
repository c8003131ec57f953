// Package projections makes read models of the log and answers questions from them.
//
// A [Projection] is a value: a name, tables, and a function from a page of events to
// statements. The function does no I/O and knows neither router nor transaction, so the same
// one serves a follower and a rebuild; and what it makes depends on nothing but the events,
// so a read model built anew is, row for row, the one that following made. Statements are
// set-based: a page costs a handful of them, however many events it has.
//
// The readers of a model stand in the file of its writer, as methods of [Views].
package projections
