// Package webhooks attempts the dispatches that are owed.
//
// It is one handler on the Watermill router. Its subscriber claims dispatches that are due
// and hands them out, a message each; the handler makes one HTTP request and appends the
// outcome to the log. Nothing else changes hands: a failed attempt is an outcome like any
// other, and its event carries the time at which the dispatch is due again. There is no retry
// queue.
//
// A claim is a lease: a row keyed by dispatch and number of attempt, taken in one statement
// and given back once the read model shows the outcome. Between the two no connection and no
// transaction is held, so a slow destination costs a goroutine and a socket. A worker that
// died leaves leases that others end once they miss its session, an advisory lock each, for some
// seconds, and that expire in any case; one that was only slow or cut off finds, when it comes to
// record, that the dispatch's stream has moved on.
//
// # What a destination can rely on
//
// At least one request for each dispatch, none at the same time, with the same webhook-id and
// byte-identical body. Fresh dispatches go before retries; destinations are served in turn,
// and none gets more than its share of the workers.
//
// One that is ordered gets them by sequence, each when all before it have ended. A worker that was
// cut off, or suspended for longer than its lease, may still send one that another worker has made an end of, while
// the next is under way: nothing on this side can call that request back. Its outcome is refused, and its
// receiver knows it by the Ledger-Sequence, which is not above the last.
package webhooks
