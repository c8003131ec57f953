// Package follower makes the log a Watermill topic, and a follower of the log a handler on
// the Watermill router: in order, exactly once, in one process at a time.
//
// A message is a page of the log, not an event. watermill-sql's subscriber takes a
// transaction, locks the follower's cursor, asks for the next page and sends it; the handler
// applies the page in that very transaction; the ack moves the cursor and commits. So what a
// follower makes of an event and the fact that it did are one commit.
//
// # Why
//
// The adapters here replace watermill-sql's own because those order by transaction id: one
// open write transaction anywhere in the cluster stalls them, they do not survive a dump and
// restore, and each batch of a large backlog costs a scan of it. Ours read a range of dense
// positions, under READ COMMITTED.
//
// Four habits of the subscriber are worked around in [transaction]. It resends a nacked
// message inside the same transaction, without rolling back what the handler did; it does not
// read the error of its rows; it does not look whether its ack did anything; and when it is
// closed while a message is out it commits. Therefore a page that cannot be applied is not
// nacked: it spoils its transaction, so that the ack fails, everything is rolled back, and the
// backoff decides when to try again. And nothing is committed without an ack that moved the
// cursor from exactly the position before the page.
package follower
