// Package domaintest tests the ledger's rules in events: given what happened, when a
// command is decided, then these events are added, or it is refused.
//
//	When(t, Given(created, paused), resume).Then(resumed)
//	When(t, Given(created, deleted), resume).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
//
// When also holds every rule to being pure. A writer that lost a race decides again, and
// whoever read a state keeps it while others fold on; a rule that remembers, or that
// writes to a map which an older state shares, would show only under load.
package domaintest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

// T is what is needed of a test: a [testing.T], or a rapid.T.
type T interface {
	require.TestingT
	Helper()
}

// A State is what the events of a stream add up to.
type State[S any] interface {
	Evolve(event domain.Event) S
}

// A Command decides, from a state, which events to add to the stream that it names.
type Command[S any] interface {
	Stream() string
	Decide(state S, now time.Time) ([]domain.Event, error)
}

// Now is the time at which When decides: a Wednesday morning.
func Now() time.Time { return time.Date(2026, time.March, 4, 9, 30, 0, 0, time.UTC) }

// Given returns what happened before, oldest first.
func Given(events ...domain.Event) []domain.Event { return events }

// Fold returns the state that events add up to. It fails t when folding one of them
// changes an earlier state or the event itself.
func Fold[S State[S]](t T, events []domain.Event) S {
	t.Helper()
	var zero S
	return foldOn(t, zero, events)
}

// When decides command, at Now, on the state that given adds up to. It fails t when the
// command names no stream, or when deciding or folding is not pure.
func When[S State[S]](t T, given []domain.Event, command Command[S]) Outcome {
	t.Helper()
	require.NotEmpty(t, command.Stream(), "a command names its stream")
	state := Fold[S](t, given)
	before, asked := show(state), show(command)

	events, err := command.Decide(state, Now())
	again, errAgain := command.Decide(state, Now())
	require.Equal(t, events, again, "deciding again gives the same events")
	require.Equal(t, err, errAgain, "deciding again gives the same error")
	require.Equal(t, before, show(state), "deciding does not change the state")
	require.Equal(t, asked, show(command), "deciding does not change the command")
	if err != nil {
		require.Empty(t, events, "what is refused adds nothing")
	}

	foldOn(t, state, events)
	require.Equal(t, before, show(state), "folding does not change the earlier state")
	return Outcome{t: t, events: events, err: err}
}

// foldOn returns state with events added.
func foldOn[S State[S]](t T, state S, events []domain.Event) S {
	t.Helper()
	states, shown := []S{state}, []string{show(state)}
	for _, event := range events {
		before := show(event)
		state = state.Evolve(event)
		require.Equal(t, before, show(event), "folding does not change the event")
		states, shown = append(states, state), append(shown, show(state))
	}
	for i := range states {
		require.Equal(t, shown[i], show(states[i]), "folding does not change the earlier state")
	}
	return state
}

// show returns all that v holds, maps in the order of their keys.
func show(v any) string { return fmt.Sprintf("%#v", v) }

// An Outcome is what deciding a command gave.
type Outcome struct {
	t      T
	events []domain.Event
	err    error
}

// Then fails the test unless the command adds exactly events; none means that it changes
// nothing, and says so by succeeding.
func (o Outcome) Then(events ...domain.Event) {
	o.t.Helper()
	require.NoError(o.t, o.err)
	if len(events) == 0 {
		require.Empty(o.t, o.events)
		return
	}
	require.Equal(o.t, events, o.events)
}

// Refused fails the test unless the command is refused with this kind and code.
func (o Outcome) Refused(kind domain.Kind, code string) {
	o.t.Helper()
	var refusal *domain.Error
	require.ErrorAs(o.t, o.err, &refusal)
	require.Equal(o.t, kind, refusal.Kind)
	require.Equal(o.t, code, refusal.Code)
	require.NotEmpty(o.t, refusal.Message)
}

// Faults fails the test unless the command is refused for exactly these fields, in any
// order, each with what is wrong with it.
func (o Outcome) Faults(fields ...string) {
	o.t.Helper()
	Faults(o.t, o.err, fields...)
}

// Faults fails t unless err finds fault with exactly these fields, in any order.
func Faults(t T, err error, fields ...string) {
	t.Helper()
	Outcome{t: t, err: err}.Refused(domain.Invalid, "VALIDATION_ERROR")
	var refusal *domain.Error
	require.ErrorAs(t, err, &refusal)
	found := make([]string, len(refusal.Faults))
	for i, fault := range refusal.Faults {
		require.NotEmpty(t, fault.Error, fault.Field)
		found[i] = fault.Field
	}
	require.ElementsMatch(t, fields, found, "%s", err)
}
