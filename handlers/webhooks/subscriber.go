package webhooks

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// subscriber is a [message.Subscriber] of dispatches that are due: it claims them and hands
// them out, as many at a time as there are workers. A message is done when it is acked or
// nacked; its context outlives the subscription, so that an attempt under way can end and be
// recorded.
type subscriber struct {
	cfg      Config
	leases   leases
	presence presence
	shown    *eventstore.Watermark // of the read model of dispatches
	log      *slog.Logger
	metrics  *metrics

	stop    context.CancelFunc
	stopped context.Context
	running sync.WaitGroup // the goroutine that claims
	pending sync.WaitGroup // messages handed out

	mu     sync.Mutex
	fault  error // why the last claim failed; nil: it did not
	load   load
	search search
	held   map[attemptKey]bool // leased: under way, or not shown by the read model yet
	done   []settled
	freed  chan struct{} // signals that a worker became free
}

// settled is a claim whose outcome is in the log at a position.
type settled struct {
	claim
	at eventstore.Position
}

// Timing of the claims.
const (
	claimPause     = 4 * time.Millisecond // between claims while there is enough to do
	releaseTimeout = 2 * time.Second      // of the last one
)

// Subscribe hands out claims until ctx is done or the subscriber is closed. Then it waits until
// the messages handed out are done, for as long as an attempt may take, gives back their leases,
// and closes the channel, which is what the router waits for. The topic has no meaning: there is
// one.
func (s *subscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(s.stopped, cancel)
	present, leave := context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(func() { s.presence.keep(present, s.signal) })
	s.running.Go(func() {
		defer close(out)
		defer cancel()
		defer leave()
		s.run(ctx, out)
		s.drain()
	})
	return out, nil
}

// Close ends the subscription, and returns when it has ended.
func (s *subscriber) Close() error {
	s.stop()
	s.running.Wait()
	return nil
}

// drain waits for what is under way, and gives back its leases.
func (s *subscriber) drain() {
	done := make(chan struct{})
	go func() {
		s.pending.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(s.cfg.Grace):
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "attempts were left unfinished")
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	if err := s.release(ctx); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "leases were left to expire", slog.Any("error", err))
	}
}

// run claims and hands out until ctx is done.
func (s *subscriber) run(ctx context.Context, out chan<- *message.Message) {
	chores := s.chores()
	pause(ctx, presencePing, nil, s.freed) // until it may claim
	for ctx.Err() == nil {
		position, shown := s.shown.Next()
		claimed, err := s.next(ctx, position, out)
		if err == nil {
			err = chores.do(ctx, s.cfg.Now())
		}
		s.report(ctx, err)
		switch {
		case err != nil:
			pause(ctx, s.cfg.Poll, nil, nil)
		case claimed > 0:
			pause(ctx, claimPause, nil, nil)
		default:
			pause(ctx, s.rest(), shown, s.freed)
		}
	}
}

// report logs when claiming begins to fail, and when it works again.
func (s *subscriber) report(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
		return // a claim that was cut short says nothing
	case err != nil && s.Fault() == nil:
		s.log.LogAttrs(ctx, slog.LevelError, "claiming dispatches fails", slog.Any("error", err))
	case err == nil && s.Fault() != nil:
		s.log.LogAttrs(ctx, slog.LevelInfo, "claiming dispatches works again")
	}
	s.mu.Lock()
	s.fault = err
	s.mu.Unlock()
}

// Fault returns why the last claim failed, nil when it did not.
func (s *subscriber) Fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// pause waits until d has passed, one of the channels has news, or ctx is done.
func pause(ctx context.Context, d time.Duration, shown, freed <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-shown:
	case <-freed:
	case <-ctx.Done():
	}
}

// next claims what is due and workers are free for, and hands it out. shown is the position up to
// which the read model has come.
func (s *subscriber) next(ctx context.Context, shown eventstore.Position, out chan<- *message.Message) (int, error) {
	if !s.presence.held.Load() {
		return 0, errAbsent
	}
	began := s.cfg.Now()
	s.mu.Lock()
	if s.load.free == 0 {
		s.mu.Unlock()
		return 0, nil
	}
	among, ok := s.search.begin(began, shown)
	s.mu.Unlock()
	if !ok {
		return 0, nil
	}
	claims, err := s.look(ctx, &among)
	for i := range claims {
		claims[i].leased = began
	}
	ended := s.cfg.Now()
	claims = s.take(claims)
	s.mu.Lock()
	if err != nil {
		s.search.again(among)
	} else {
		s.search.end(ended, ended.Sub(began), among, claims)
	}
	s.mu.Unlock()
	if err != nil {
		for _, c := range claims {
			if c.Again { // whether its outcome is in the log is not known
				s.answered(c)
				s.abandon(c)
				continue
			}
			s.giveBack(c)
		}
		return 0, err
	}
	s.metrics.claim(ended.Sub(began))
	for _, c := range claims {
		if c.settled > 0 {
			s.answered(c)
			s.finish(c, c.settled)
			continue
		}
		s.hand(ctx, c, out)
	}
	return len(claims), nil
}

// look claims what is due among the destinations where it is told to look, once it knows them all.
func (s *subscriber) look(ctx context.Context, among *places) ([]claim, error) {
	if err := s.leases.find(ctx, among); err != nil || len(among.touched) == 0 {
		return nil, err
	}
	s.mu.Lock()
	under := s.load.among(among.touched)
	s.mu.Unlock()
	return s.leases.claim(ctx, under, among.touched)
}

// rest returns how long there is nothing to claim, unless there is news.
func (s *subscriber) rest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(claimPause, s.search.rest(s.cfg.Now()))
}

// busy returns how many workers are at an attempt.
func (s *subscriber) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.Workers - s.load.free
}

// take enters claims as under way, and returns them; but for those that are: a database that
// crashed may have lost their leases.
func (s *subscriber) take(claims []claim) []claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := slices.DeleteFunc(claims, func(c claim) bool { return s.held[c.key()] })
	for _, c := range fresh {
		s.load.begin(c)
		s.held[c.key()] = true
	}
	s.pending.Add(len(fresh))
	return fresh
}

// giveBack ends a claim that nothing was done about.
func (s *subscriber) giveBack(c claim) {
	s.answered(c)
	s.finish(c, 0)
}

// claimKey is the context key of a message's claim.
type claimKey struct{}

// hand sends c as a message. When ctx is done, it gives c back.
func (s *subscriber) hand(ctx context.Context, c claim, out chan<- *message.Message) {
	if ctx.Err() != nil {
		s.giveBack(c)
		return
	}
	msg := message.NewMessage(string(c.Dispatch), nil)
	msg.SetContext(context.WithValue(context.WithoutCancel(ctx), claimKey{}, c))
	select {
	case out <- msg:
	case <-ctx.Done():
		s.giveBack(c)
	}
}

// answered gives a destination's place to the next dispatch: the request of c has ended, or
// will not be made. It is called once for a claim, before that is finished or abandoned: recording
// an outcome takes a worker, but nothing of the destination's.
func (s *subscriber) answered(c claim) {
	s.mu.Lock()
	s.load.answered(c)
	s.search.answered(c.Destination)
	s.mu.Unlock()
	s.signal()
}

// finish ends a claim whose outcome is in the log at a position; at 0 if nothing was sent. Its
// lease is kept until the read model shows that: before, the dispatch would look due.
func (s *subscriber) finish(c claim, at eventstore.Position) {
	s.mu.Lock()
	s.done = append(s.done, settled{c, at})
	s.load.end(c)
	s.search.settle(c, at)
	s.mu.Unlock()
	s.pending.Done()
	s.signal()
}

// abandon ends a claim and leaves its lease to expire.
func (s *subscriber) abandon(c claim) {
	s.mu.Lock()
	delete(s.held, c.key())
	s.load.end(c)
	s.mu.Unlock()
	s.pending.Done()
	s.signal()
}

// signal tells the goroutine that claims of a free place.
func (s *subscriber) signal() {
	select {
	case s.freed <- struct{}{}:
	default: // it was signalled already
	}
}

// release gives back the leases whose outcomes the read model shows. Those that it cannot give
// back it keeps for the next time.
func (s *subscriber) release(ctx context.Context) error {
	shown, _ := s.shown.Next()
	var gone []settled
	s.mu.Lock()
	kept := s.done[:0]
	for _, d := range s.done {
		if d.at <= shown {
			gone = append(gone, d)
		} else {
			kept = append(kept, d)
		}
	}
	clear(s.done[len(kept):])
	s.done = kept
	s.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	err := s.leases.release(ctx, gone)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.done = append(s.done, gone...)
		return err
	}
	for _, d := range gone {
		delete(s.held, d.key())
	}
	return nil
}
