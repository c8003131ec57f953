// Package eventstore keeps the ledger's log: events in Postgres, appended and never
// changed.
//
// It knows bytes, streams and positions; what the events mean is the caller's. Verifying,
// hashing and exporting therefore work for events that a build does not know.
//
// # Order
//
// Positions are dense and rise in commit order: 1, 2, 3, … without a gap, and once a
// record is visible no lower position will appear. A reader needs a single number to know
// how far it is; a page of the log is a range; completeness is count = max. Times of
// recording strictly rise along with the positions.
//
// # Why
//
// Positions are given out under a lock on one row, held until commit. What would be a
// bottleneck for single appends costs nothing for groups: whatever is waiting when the
// lock is free goes into one transaction ([Store.Append]). Serial columns, the usual
// alternative, are not commit order: a reader that has seen 12 may never see 11. Ordering
// by transaction id stalls behind any long transaction of the cluster and does not survive
// a dump and restore.
package eventstore
