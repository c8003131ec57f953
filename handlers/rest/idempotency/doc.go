// Package idempotency keeps what came of requests that were made under an Idempotency-Key.
//
// Keys are an organisation's: whichever of its API keys a request is repeated with, it is the
// same request. They are kept for a day.
//
// # Why
//
// An answer that is stored after the commit is lost when the process dies between the two, and
// one that is stored in the same transaction would bind every command to this table. So a row
// is made before anything is done, and holds a seed; IDs of what the request creates and of
// what it appends are functions of it. Who repeats the request after a crash does all of it
// again, and finds what is there already instead of making a second one.
//
// Answers may show a secret that is shown once, so each is sealed; so is the seed, of which
// secrets are made.
package idempotency
