// Package replay carries out the jobs that have dispatches attempted again, and those that back-fill destinations.
//
// A job goes through a delivery's dispatches that have ended, oldest hand-over first, in bounded
// batches: it asks for each to be retried, as a person would, and then notes its place. What it asks for is
// due at once, in a lane behind fresh dispatches and retries, and no more than a window of it at a
// time, so that a job that is cancelled has not yet asked for all. The attempts are made like
// any others.
//
// A back-fill goes through a delivery's hand-overs in the same way, and makes those owed to a destination that it was not
// owed. They take the same lane, within the same window.
//
// # Why
//
// A job is a stream of events of its own, as everything here is: it shows in the audit trail, with who
// asked for it, and its read model can be built again. There is no state beside the log that a
// crash could leave half-way. The place is recorded after the batch; when the process dies between
// the two, or anywhere else, the batch is done again. That replays nothing twice, since each dispatch's append
// has an ID that follows from the job and the dispatch: the second finds the first.
package replay
