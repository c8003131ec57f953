package eventstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// A State is what a stream's events add up to. Its zero value is the state of a stream
// with no events.
type State[S any, E Event] interface {
	// Evolve returns the state after event. It MUST be pure.
	Evolve(event E) S
}

// A Command is a request to record events in one stream.
type Command[S any, E Event] interface {
	// Stream names the stream that the command is about.
	Stream() string

	// Decide returns the events to record when the stream is in the given state: none
	// when there is nothing to do, or an error to refuse. It MUST be pure: it is called
	// again when another writer was faster.
	Decide(state S, now time.Time) ([]E, error)
}

// Known is a stream's state at a version, as somebody read it. The zero Known is a stream
// with no events.
type Known[S any] struct {
	State   S
	Version Version
}

// An Outcome is what came of a command.
type Outcome[S any] struct {
	Known[S]        // the stream after it
	Commit   Commit // of its events; zero when it recorded none
	Err      error  // from Decide as it is, or why it could not be recorded
}

// A Plan is a command with what its caller knows already.
type Plan[S State[S, E], E Event] struct {
	Command Command[S, E]
	Known   Known[S] // of its stream; need not be the latest
	Guard   Guard    // of another stream on which Command was built

	// ID names the append. When the stream has that append already the command is not
	// decided again: the outcome is the first one. Default: as [WithSeed] says, else none.
	ID uuid.UUID
}

// maxTries bounds how often a command is decided. Each time another writer was faster.
const maxTries = 20

// longestPause is how long a command waits at most before it is decided again.
const longestPause = 100 * time.Millisecond

// pause waits before the next try, or until ctx is done: not at all after the first, then for
// a while by chance, and longer from try to try. Writers that meet on one stream part this way.
func pause(ctx context.Context, try int) {
	if try == 1 {
		return
	}
	select {
	case <-time.After(rand.N(min(time.Duration(1<<try)*100*time.Microsecond, longestPause))):
	case <-ctx.Done():
	}
}

// Execute reads the command's stream, decides, and records what was decided.
func Execute[S State[S, E], E Event](ctx context.Context, s *Store, cmd Command[S, E]) (Outcome[S], error) {
	plan := Plan[S, E]{Command: cmd, ID: appendID(ctx, cmd.Stream())}
	if plan.ID == uuid.Nil { // else it is read there
		var err error
		if plan.Known, err = Load[S, E](ctx, s, cmd.Stream()); err != nil {
			return Outcome[S]{}, err
		}
	}
	o := ExecuteEach(ctx, s, []Plan[S, E]{plan})[0]
	return o, o.Err
}

// ExecuteEach decides each plan on what is known of its stream and records what was
// decided, all in one go. Plans whose stream had moved on are decided again on one read of
// those streams. It returns an outcome for each plan, in order; that one is refused
// hinders no other. A plan whose guard fails ends with a [ConflictError]: its command was
// built on a state that is no more. Of a plan whose append has an ID the stream is read.
func ExecuteEach[S State[S, E], E Event](ctx context.Context, s *Store, plans []Plan[S, E]) []Outcome[S] {
	outcomes := make([]Outcome[S], len(plans))
	plans = withIDs(ctx, plans)
	todo := make([]int, 0, len(plans))
	var named []int // that may have been executed before
	for i, p := range plans {
		outcomes[i].Known = p.Known
		if p.ID == uuid.Nil {
			todo = append(todo, i)
		} else {
			named = append(named, i)
		}
	}
	todo = append(todo, reload(ctx, s, plans, outcomes, named)...)
	for try := 1; len(todo) > 0; try++ {
		todo = attempt(ctx, s, plans, outcomes, todo)
		if try == maxTries {
			break
		}
		if len(todo) > 0 {
			pause(ctx, try)
		}
		todo = reload(ctx, s, plans, outcomes, todo)
	}
	return outcomes
}

// attempt decides and records the plans at the places in todo, and returns the places of
// those whose stream had moved on.
func attempt[S State[S, E], E Event](ctx context.Context, s *Store, plans []Plan[S, E], outcomes []Outcome[S], todo []int) (stale []int) {
	now := s.now().Truncate(time.Microsecond) // as Postgres keeps times
	appends := make([]Append, 0, len(todo))
	places := make([]int, 0, len(todo))
	states := make([]S, 0, len(todo))
	for _, i := range todo {
		o := &outcomes[i]
		events, err := plans[i].Command.Decide(o.State, now)
		o.Err = err
		if err != nil || len(events) == 0 {
			continue
		}
		a := Append{ID: plans[i].ID, Stream: plans[i].Command.Stream(), Expected: o.Version, Guard: plans[i].Guard, Events: make([]Event, len(events))}
		state := o.State
		for n, e := range events {
			a.Events[n] = e
			state = state.Evolve(e)
		}
		appends, places, states = append(appends, a), append(places, i), append(states, state)
	}
	if len(appends) == 0 {
		return nil
	}
	for n, r := range s.AppendEach(ctx, appends) {
		o := &outcomes[places[n]]
		o.Err = r.Err
		if r.Err == nil {
			o.Known, o.Commit = Known[S]{State: states[n], Version: r.Version}, r.Commit
		} else if c, ok := errors.AsType[*ConflictError](r.Err); ok && c.Stream == appends[n].Stream {
			stale = append(stale, places[n])
		}
	}
	return stale
}

// reload reads the streams of the plans at the given places, and returns the places of those
// that can be decided. Those whose append is there already have their outcome.
func reload[S State[S, E], E Event](ctx context.Context, s *Store, plans []Plan[S, E], outcomes []Outcome[S], places []int) (todo []int) {
	if len(places) == 0 {
		return nil
	}
	streams := make([]string, len(places))
	for n, i := range places {
		streams[n] = plans[i].Command.Stream()
	}
	records, err := s.readStreams(ctx, streams)
	for n, i := range places {
		o := &outcomes[i]
		if o.Err = err; err != nil {
			continue
		}
		stream := records[streams[n]]
		end := 0
		if plans[i].ID != uuid.Nil {
			end = appended(stream, plans[i].ID)
		}
		if end > 0 {
			last := stream[end-1]
			stream = stream[:end]
			o.Commit = Commit{Position: last.Position, Version: last.Version, RecordedAt: last.RecordedAt.UTC()}
		}
		o.Known, o.Err = fold[S, E](s.registry, stream)
		if o.Err == nil && end == 0 {
			todo = append(todo, i)
		}
	}
	return todo
}

// Load returns the state of a stream as it is now.
func Load[S State[S, E], E Event](ctx context.Context, s *Store, stream string) (Known[S], error) {
	records, err := s.ReadStream(ctx, stream)
	if err != nil {
		return Known[S]{}, err
	}
	return fold[S, E](s.registry, records)
}

// fold returns what records add up to.
func fold[S State[S, E], E Event](r *Registry, records []Record) (known Known[S], err error) {
	for _, rec := range records {
		decoded, err := r.Decode(rec)
		if err != nil {
			return known, err
		}
		event, ok := decoded.(E)
		if !ok {
			return known, fmt.Errorf("fold %s: %s is no event of this stream", rec.Stream, rec.Type)
		}
		known.State, known.Version = known.State.Evolve(event), rec.Version
	}
	return known, nil
}
