// Package requalify judges recorded companies again: those of a delivery that did not qualify, by the
// rules and exclusions of now. A job hands over the ones that qualify; a dry run only counts them.
//
// A job goes through the delivery's disqualifications as they were when it was started, oldest first, in
// bounded batches, and notes after each how far it is and what came of it. A company that was disqualified
// several times is judged once, at the last of them, as its stream has it then. The rules are those of the
// job's start: when they are changed, or the delivery is deleted, the job stops and says so.
//
// # Why
//
// There is no list of disqualified companies to keep: the history numbers disqualifications, and the
// hand-over's stream says what a company is now. Whether it is handed over, that stream decides, as it does
// for companies that are sent; so nothing is handed over twice, whatever else is sent meanwhile. When the
// process dies after a batch and before the note, the batch is done again. It comes out the same, also
// the numbers, since each company's append has an ID that follows from the job and the company: the second finds
// the first.
//
// A job stops when the rules change because its figures would else be of no profile: neither
// of the one that it was counted by, nor of the one that the customer sees by now. Another job looks at all
// companies that are still disqualified; those that this one handed over are none of them.
package requalify
