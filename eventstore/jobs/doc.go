// Package jobs carries out work that is recorded as streams of events, a stream for each job, in one
// of however many processes there are.
//
// # Why
//
// A job has no state beside the log that a crash could leave half-way: its steps must be safe to repeat,
// and each ends with an event that says how far the job is. For that reason it does no harm when two
// processes work on a job at once. The advisory lock that keeps them apart spares work, no more, and goes
// with its connection.
package jobs
