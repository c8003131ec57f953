package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/projections"
)

// rebuildVerb is ledger rebuild.
type rebuildVerb struct {
	databaseFlags
	encryptionFlags
	Names []string           `arg:"" optional:"" name:"name" help:"Read models to build again: companies, daily, deliveries, dispatches, erasures, history, replays, requalifications, stats; or tree, that of the proofs."`
	All   bool               `help:"Build all of them again, and the tree."`
	Until *eventstore.Moment `placeholder:"MOMENT" help:"Build them as of then: a position of the log, or a time such as 2026-01-31T12:00:00Z. Needs --into."`
	Into  string             `placeholder:"SCHEMA" help:"Leave those in use alone, and build into this schema. It is made if it is not there. Needs --until."`
}

// Help says what readers notice, and what an interruption costs.
func (v *rebuildVerb) Help() string {
	return `Builds the tables of read models again from the log, beside those in use, and has them take their place in one transaction. It may be run
while the ledger serves: readers see the old tables until then, and the new ones, which show as much, from then on.

Interrupted, even killed, it leaves what is read as it was, and goes on where it ended when it is run again. While somebody reads one of the
tables for long, such as a query for a report, it waits for that at the end. Two rebuilds of one read model exclude each other. The tables
come to belong to this build's version of the read model; processes of another version then follow it no more.

The tree of hashes, from which proofs are made, is built again where it stands: each hash in it has one place and one value, so that only
what is missing or wrong is written. It is no read model, and --until does without it.

The read model companies holds prospects, which the log holds sealed: to build it takes the encryption key.

With --until and --into the tables are built as they were at a moment, in a schema of their own, for reports and for looking back; those in use
are left alone. The schema's table as_of says which position of the log each read model stands for, and when that was recorded, which is true
at any time, also while it is built and after an interruption. Run again it goes on from there, also to a later moment; for an earlier one
it begins afresh, which views on the tables prevent. A schema that holds anything under the name of one of the ledger's tables that was not
made so is refused.`
}

// Validate is called by kong. It refuses names of nothing.
func (v *rebuildVerb) Validate() error {
	if v.All == (len(v.Names) > 0) {
		return errors.New("name the read models to build again, or all of them by --all")
	}
	if (v.Until == nil) != (v.Into == "") {
		return errors.New("--until and --into go together")
	}
	if v.Until != nil && slices.Contains(v.Names, tree) {
		return errors.New("the tree is of the log as it is: it goes without --until")
	}
	_, err := projectionsNamed(slices.DeleteFunc(slices.Clone(v.Names), func(name string) bool { return name == tree }))
	return err
}

// tree names what is rebuilt and is no read model.
var tree = proof.Follower().Name

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
	readModel, as, err := v.way(ctx, pool)
	if err != nil {
		return err
	}
	build := func(name string, tell func(done, total eventstore.Position)) error {
		if name == tree {
			return proof.Rebuild(ctx, pool, tell)
		}
		list, err := projectionsNamed([]string{name})
		if err != nil {
			return err
		}
		return readModel(list[0], tell)
	}
	for _, name := range v.names() {
		bar := newTalkingBar(w.err, name, "events")
		err := build(name, func(done, total eventstore.Position) { bar.set(int64(done), int64(total)) })
		bar.finish()
		if err != nil {
			return needsKey(err)
		}
		fmt.Fprintf(w.out, "Rebuilt %s%s.\n", name, as)
	}
	return nil
}

// names returns those of what is to be built again.
func (v *rebuildVerb) names() []string {
	if !v.All {
		return v.Names
	}
	var all []string
	for _, p := range projections.All() {
		all = append(all, p.Name)
	}
	if v.Until == nil {
		all = append(all, tree)
	}
	return all
}

// way returns what builds a read model, and how to tell what it is then.
func (v *rebuildVerb) way(ctx context.Context, pool *pgxpool.Pool) (build func(projections.Projection, func(done, total eventstore.Position)) error, as string, err error) {
	reader, err := v.reader(pool)
	if err != nil {
		return nil, "", err
	}
	if v.Until == nil {
		return func(p projections.Projection, tell func(done, total eventstore.Position)) error {
			return projections.Rebuild(ctx, pool, reader, p, tell)
		}, "", nil
	}
	until, err := eventstore.New(pool, reader.Registry, eventstore.Options{}).AsOf(ctx, *v.Until)
	if err != nil {
		return nil, "", fmt.Errorf("find --until in the log: %w", err)
	}
	return func(p projections.Projection, tell func(done, total eventstore.Position)) error {
		return projections.RebuildInto(ctx, pool, reader, p, v.Into, until, tell)
	}, fmt.Sprintf(" into %s, as of position %d", v.Into, until), nil
}
