package main

import (
	"context"
	"fmt"
	"time"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest"
	"github.com/openprospect/delivery-ledger/projections"
)

// Bounds of readiness.
const (
	readyTimeout = 2 * time.Second
	readyLag     = 10_000 // events that a read model may be behind
)

// ready reports whether the database answers, and how far the read models are, whichever
// process keeps them. A follower of this process that cannot go on is named with its fault.
func (e *engine) ready(ctx context.Context) rest.ReadyReport {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	head, err := e.store.Head(ctx)
	if err != nil {
		return rest.ReadyReport{Checks: []rest.ReadyCheck{{Name: "database", Fault: "it does not answer"}}}
	}
	report := rest.ReadyReport{Checks: []rest.ReadyCheck{{Name: "database", OK: true}}}
	for _, p := range projections.All() {
		report.Checks = append(report.Checks, e.readyFollower(ctx, p.Name, head))
	}
	return report
}

// readyFollower reports on one follower.
func (e *engine) readyFollower(ctx context.Context, name string, head eventstore.Position) rest.ReadyCheck {
	check := rest.ReadyCheck{Name: "follower " + name}
	at, err := e.store.Cursor(ctx, name)
	if err != nil {
		check.Fault = "its cursor cannot be read"
		return check
	}
	lag := int64(max(0, head-at))
	check.Lag, check.OK = &lag, lag <= readyLag
	if !check.OK {
		check.Fault = fmt.Sprintf("it is more than %d events behind", readyLag)
	}
	for _, f := range e.followers {
		switch fault := f.Fault(); {
		case f.Name() != name || fault == nil:
		case eventstore.IsUnavailable(fault): // its text would tell where the database is
			check.OK, check.Fault = false, "the database went away"
		default:
			check.OK, check.Fault = false, fault.Error()
		}
	}
	return check
}
