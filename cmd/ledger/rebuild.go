package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// rebuildVerb is ledger rebuild.
type rebuildVerb struct {
	databaseFlags
	Names []string `arg:"" optional:"" name:"name" help:"Read models to build again: companies, deliveries, dispatches, history, replays, stats."`
	All   bool     `help:"Build all of them again."`
}

// Help says what readers notice, and what an interruption costs.
func (v *rebuildVerb) Help() string {
	return `Builds the tables of read models again from the log, beside those in use, and has them take their place in one transaction. It may be run
while the ledger serves: readers see the old tables until then, and the new ones, which show as much, from then on.

Interrupted, even killed, it leaves what is read as it was, and goes on where it ended when it is run again. While somebody reads one of the
tables for long, such as a query for a report, it waits for that at the end. Two rebuilds of one read model exclude each other. The tables
come to belong to this build's version of the read model; processes of another version then follow it no more.`
}

// Validate is called by kong. It refuses names of nothing.
func (v *rebuildVerb) Validate() error {
	if v.All == (len(v.Names) > 0) {
		return errors.New("name the read models to build again, or all of them by --all")
	}
	_, err := projectionsNamed(v.Names)
	return err
}

// projectionsNamed returns the projections of these names, all when there are none.
func projectionsNamed(names []string) ([]projections.Projection, error) {
	if len(names) == 0 {
		return projections.All(), nil
	}
	var known []string
	byName := map[string]projections.Projection{}
	for _, p := range projections.All() {
		known, byName[p.Name] = append(known, p.Name), p
	}
	named := make([]projections.Projection, len(names))
	for i, name := range names {
		p, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("there is no read model %s; there are %s", name, strings.Join(known, ", "))
		}
		named[i] = p
	}
	return named, nil
}

// Run builds the read models again, one after the other.
func (v *rebuildVerb) Run(ctx context.Context, w world) error {
	pool, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	list, err := projectionsNamed(v.Names)
	if err != nil {
		return err
	}
	registry := eventstore.NewRegistry(domain.Events()...)
	for _, p := range list {
		bar := newTalkingBar(w.err, p.Name, "events")
		err := projections.Rebuild(ctx, pool, registry, p, func(done, total eventstore.Position) { bar.set(int64(done), int64(total)) })
		bar.finish()
		if err != nil {
			return err
		}
		fmt.Fprintf(w.out, "Rebuilt %s.\n", p.Name)
	}
	return nil
}
