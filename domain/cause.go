package domain

import (
	"strconv"
	"strings"
)

// A Cause says in a word why an attempt came to nothing. There are few, so that failures can be counted by it; what is said
// of one for people says more.
type Cause string

// The causes, besides those of answers: see CauseOf.
const (
	CauseTimeout Cause = "timeout" // no complete answer in time
	CauseDNS     Cause = "dns"     // the name could not be resolved
	CauseRefused Cause = "refused" // the connection was
	CauseClosed  Cause = "closed"  // the connection was, before the answer was complete
	CauseTLS     Cause = "tls"     // no secure connection came about
	CauseBlocked Cause = "blocked" // the address may not be called
	CauseToken   Cause = "token"   // none could be had to call the destination with
	CauseOther   Cause = "other"
)

// signs are what is said for people of each cause, in order: the first that is found counts. What was recorded stays as it
// is, so that a sign is never taken away.
var signs = []struct {
	part  string
	cause Cause
}{
	{"the token endpoint gave no token", CauseToken},
	{"the ledger does not call it", CauseBlocked},
	{"no complete answer within", CauseTimeout},
	{"could not be resolved", CauseDNS},
	{"certificate", CauseTLS},
	{"TLS", CauseTLS},
	{"there is no secure connection", CauseTLS},
	{"the connection was refused", CauseRefused},
	{"the connection was closed", CauseClosed},
	{"the connection was reset", CauseClosed},
}

// CauseOf returns the cause of a failure by what is recorded of it: the status of the answer, 0 when there was none or it is
// not known, and what is said of it for people. Of an answer that was no success it is status_404 and the like.
func CauseOf(status int, said string) Cause {
	if status == 0 {
		if answered, ok := strings.CutPrefix(said, "the destination answered "); ok {
			code, _, _ := strings.Cut(answered, " ")
			status, _ = strconv.Atoi(strings.TrimSuffix(code, ":"))
		}
	}
	if status >= 100 && status <= 599 && status/100 != 2 {
		return Cause("status_" + strconv.Itoa(status))
	}
	for _, sign := range signs {
		if strings.Contains(said, sign.part) {
			return sign.cause
		}
	}
	return CauseOther
}
