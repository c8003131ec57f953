package follower

import (
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

// news decides when the subscriber looks at the log again. It is used by the subscriber's
// one goroutine, but for close.
type news struct {
	*Follower
	closing chan struct{}
	once    sync.Once

	appended    <-chan struct{}  // closed when the log has grown since the last look
	rested      <-chan time.Time // tells when the next look is not too soon
	standby     bool             // another process held the cursor then
	ended       bool             // the page that was found then, if any, was the last
	uncommitted error            // why what was made of it then could not be committed
	failures    int              // in a row
}

// look notes that the subscriber looks now.
func (n *news) look() {
	_, n.appended = n.store.Mark("").Next()
	n.rested = time.After(n.cfg.Rest)
	n.uncommitted = nil
}

// HandleError returns how long to wait before the next look. When all was seen it blocks
// itself until the log grows, which a process standing by need not notice, or a poll is due.
func (n *news) HandleError(_ watermill.LoggerAdapter, none bool, err error) time.Duration {
	const shortest, longest, doublings = 50 * time.Millisecond, 5 * time.Second, 7
	select {
	case <-n.closing:
		return 0
	default:
	}
	err = errors.Join(err, n.uncommitted)
	n.report(err)
	if err != nil {
		n.failures = min(n.failures+1, doublings)
		return min(shortest<<n.failures, longest)
	}
	n.failures = 0
	if none || n.ended {
		n.wait()
		n.rest()
	}
	return 0
}

// rest blocks until the next look is not too soon, somebody waits for the follower, or it closes.
func (n *news) rest() {
	select {
	case <-n.rested:
	case <-n.store.Mark(n.cfg.Name).Wanted():
	case <-n.closing:
	}
}

// wait blocks until the log has grown, a poll is due, or the follower closes.
func (n *news) wait() {
	appended := n.appended
	if n.standby {
		appended = nil
	}
	poll := time.NewTimer(n.cfg.Poll)
	defer poll.Stop()
	select {
	case <-appended:
	case <-poll.C:
	case <-n.closing:
	}
}

// close ends the wait.
func (n *news) close() { n.once.Do(func() { close(n.closing) }) }

// subscriber ends the wait for news before it closes watermill-sql's subscriber, which
// would wait for that.
type subscriber struct {
	message.Subscriber
	news *news
}

// Close ends the subscription. A page under way is rolled back.
func (s subscriber) Close() error {
	s.news.close()
	return s.Subscriber.Close()
}
