// Package export writes the log, and the rows of read models, to files that other programs read: NDJSON, CSV and
// Parquet. It streams: its memory depends neither on how many rows there are nor on how long the log is.
//
// # Why
//
// The log is read in pages of positions, each by a statement of its own: nothing in it ever changes, so that no snapshot
// is needed, and what was written up to a position can be gone on with from there. A read model changes all the time,
// so its rows are of one snapshot, and go out as one statement gives them.
package export
