// Package erase forgets persons: a prospect, all who have an e-mail address, or all of a company, in whatever an organisation was told.
//
// An erasure is a job. It finds the events that tell of its subject, destroys the keys by which these can be opened, waits until
// no process has them in memory any more, and only then records what it erased. Read models then drop it from their rows. What else was
// built from the log, and what Postgres keeps of changed rows, is seen to before the erasure ends.
//
// # Why
//
// Rows that are made again come out as those that were changed, since a record of what was erased is only followed when nobody
// can open it any more: a row that was made before had it, and is made again by that record; one that is made after it never
// gets it. In between, what was told before the keys were destroyed is looked for a second time: an event that was sealed before, and recorded only then,
// is found by that, or can be opened by nobody.
//
// A job has no state that a crash could leave half-way. What it finds, it finds by what stands in the clear, the
// IDs of prospects and companies; for an e-mail address, these are recorded before a key is destroyed. The address itself is
// kept in the vault until the end. All that is done before the end is done again after a crash, and comes out the same.
package erase
