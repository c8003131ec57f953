package webhooks

import (
	"math"
	"time"

	"golang.org/x/time/rate"

	"github.com/openprospect/delivery-ledger/domain"
)

// rates hold what this process begins for destinations that set a rate limit to that, as token
// buckets. Other processes have buckets of their own: a limit is that of each process. It is
// used by one goroutine at a time.
//
// A bucket that is full is as good as none, and is forgotten.
type rates map[domain.DestinationID]*rate.Limiter

// burstsPerSecond says how much a bucket holds: a fourth of what a second allows, and one request
// at least. It is more than what gathers between two polls, and little enough for nobody to
// notice.
const burstsPerSecond = 4

// burst returns what a bucket of that limit holds.
func burst(limit float64) int { return max(1, int(math.Ceil(limit/burstsPerSecond))) }

// begin takes a request of a destination with that limit, 0 for none, out of its bucket.
func (r rates) begin(now time.Time, id domain.DestinationID, limit float64) {
	if limit == 0 {
		delete(r, id)
		return
	}
	bucket := r[id]
	if bucket == nil {
		bucket = rate.NewLimiter(rate.Limit(limit), burst(limit))
		r[id] = bucket
	}
	if bucket.Limit() != rate.Limit(limit) {
		bucket.SetLimitAt(now, rate.Limit(limit))
		bucket.SetBurstAt(now, burst(limit))
	}
	bucket.ReserveN(now, 1) // one too many, when the limit was lowered, is waited for afterwards
}

// allowed returns how many requests of each destination may be begun now, and forgets those that
// have nothing to wait for.
func (r rates) allowed(now time.Time) map[domain.DestinationID]int32 {
	left := make(map[domain.DestinationID]int32, len(r))
	for id, bucket := range r {
		tokens := bucket.TokensAt(now)
		if tokens >= float64(bucket.Burst()) {
			delete(r, id)
			continue
		}
		left[id] = int32(max(0, math.Floor(tokens)))
	}
	return left
}
