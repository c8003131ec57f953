package main

import (
	"context"
	"fmt"
	"time"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/handlers/rest"
	"github.com/openprospect/delivery-ledger/projections"
)

// Bounds of readiness.
const (
	readyTimeout = 2 * time.Second
	readyLag     = 10_000 // events that a read model may be behind
	readyOrphan  = 10     // seconds that one of a newer version may be behind: its followers are gone
)

// ready reports whether the database answers, how far the read models and the tree are, whichever process keeps
// them, and how this one's attempts go. A follower of this process that cannot go on is named with its fault.
func (e *engine) ready(ctx context.Context) rest.ReadyReport {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	head, err := e.store.Head(ctx)
	if err != nil {
		return rest.ReadyReport{Checks: []rest.ReadyCheck{{Name: "database", Fault: "it does not answer"}}}
	}
	report := rest.ReadyReport{Checks: []rest.ReadyCheck{{Name: "database", OK: true}}}
	lags, err := e.store.Lags(ctx)
	names := []string{proof.Follower().Name}
	for _, p := range projections.All() {
		names = append(names, p.Name)
	}
	for _, name := range names {
		check := rest.ReadyCheck{Name: "follower " + name, Fault: "its cursor cannot be read"}
		if err == nil {
			check = e.readyFollower(name, lagOf(lags, name, head))
		}
		report.Checks = append(report.Checks, check)
	}
	if e.attempts != nil {
		report.Checks = append(report.Checks, e.readyAttempts())
	}
	return report
}

// lagOf returns the lag of a follower, which is the whole log if it never followed.
func lagOf(lags []eventstore.Lag, name string, head eventstore.Position) eventstore.Lag {
	for _, l := range lags {
		if l.Follower == name {
			return l
		}
	}
	return eventstore.Lag{Follower: name, Events: int64(head)}
}

// readyFollower reports on one follower.
func (e *engine) readyFollower(name string, lag eventstore.Lag) rest.ReadyCheck {
	check := rest.ReadyCheck{Name: "follower " + name, Lag: &lag.Events, LagSeconds: &lag.Seconds, OK: lag.Events <= readyLag}
	if !check.OK {
		check.Fault = fmt.Sprintf("it is more than %d events behind", readyLag)
	}
	for _, f := range e.followers {
		if fault := f.Fault(); f.Name() == name && fault != nil {
			check.OK, check.Fault = false, shownFault(fault)
		}
		if f.Name() == name && f.Overtaken() && lag.Seconds > readyOrphan {
			check.OK, check.Fault = false, "its tables are of a newer version, and nobody keeps them: start a newer build, or rebuild them with this one"
		}
	}
	return check
}

// readyAttempts reports on the attempts of this process.
func (e *engine) readyAttempts() rest.ReadyCheck {
	busy, limit := e.attempts.Workers()
	check := rest.ReadyCheck{Name: "attempts", OK: true, Busy: &busy, Limit: &limit}
	if fault := e.attempts.Fault(); fault != nil {
		check.OK, check.Fault = false, shownFault(fault)
	}
	return check
}

// shownFault returns what is told of a fault. That of a database which is away would tell where it is.
func shownFault(fault error) string {
	if eventstore.IsUnavailable(fault) {
		return "the database went away"
	}
	return fault.Error()
}
