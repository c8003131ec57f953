package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/handlers/rest/erase"
	"github.com/openprospect/delivery-ledger/projections"
)

// eraseVerb is ledger erase.
type eraseVerb struct {
	storageFlags
	Organisation string            `required:"" placeholder:"NAME" help:"Name or ID of the organisation."`
	Prospect     *string           `placeholder:"ID" help:"Erase the prospect of this ID, in whatever company."`
	Email        *string           `placeholder:"ADDRESS" help:"Erase all prospects of whom some text is this e-mail address."`
	Company      *domain.CompanyID `placeholder:"ID" help:"Erase all prospects, and the attributes, of the company of this ID."`
	DryRun       bool              `help:"Only count what would be found."`
}

// Help says what is erased, and what is not.
func (v *eraseVerb) Help() string {
	return `Erases somebody from all that an organisation was told, and returns when that is done. The keys under which the log holds them are
destroyed, so that nobody can read them any more, in whatever copy of the log; they go from read models, also from those that ledger rebuild
--until made, and what receivers answered to these hand-overs goes, too. The log's hashes stay as they are, and so do proofs. It may be run while
the ledger serves. Killed, the erasure is gone on with by a process that serves with the role follow, or by the next run for anybody.

Companies stay, and so do the IDs of prospects. What was recorded before this was done is told as in_clear: it is shown no more, but the log
still holds it. Copies of the database, such as backups, hold what they held, keys included, for as long as they are kept.`
}

// Validate is called by kong. It refuses what says nobody, or more than one.
func (v *eraseVerb) Validate() error { return domain.CheckErasure(v.Prospect, v.Email, v.Company) }

// Run erases, and waits for that.
func (v *eraseVerb) Run(ctx context.Context, w world) error {
	pool, keys, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	org, err := findOrganisation(ctx, apikey.New(pool), v.Organisation)
	if err != nil {
		return err
	}
	e := &engine{pool: pool, keys: keys, roles: []string{roleFollow}, log: slog.New(slog.DiscardHandler)}
	e.assemble(nil)
	return e.following(ctx, func(ctx context.Context) error {
		if v.DryRun {
			return v.count(ctx, w, e, org.ID)
		}
		return v.erase(ctx, w, e, org.ID)
	})
}

// subject returns whom the erasure is about, but for an e-mail address.
func (v *eraseVerb) subject() domain.ErasureSubject {
	return domain.ErasureSubject{Prospect: deref(v.Prospect), Company: deref(v.Company)}
}

// deref returns what p points to, the zero value when that is nothing.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// count prints what would be found.
func (v *eraseVerb) count(ctx context.Context, w world, e *engine, org domain.OrganisationID) error {
	c, err := erase.NewFinder(e.store, projections.NewViews(e.pool), e.keyring).Count(ctx, org, v.subject(), deref(v.Email))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.out, "There is to be erased: %s.\n", wordsOfCounts(c))
	return err
}

// erase starts the erasure and carries it out, unless a process that serves does.
func (v *eraseVerb) erase(ctx context.Context, w world, e *engine, org domain.OrganisationID) error {
	start := domain.StartErasure{ID: domain.NewErasureID(), Organisation: org, Subject: v.subject()}
	if v.Email != nil {
		start.Subject.Email = domain.ErasureSecret(start.ID)
		if err := e.vault.Put(ctx, string(start.Subject.Email), *v.Email); err != nil {
			return err
		}
	}
	if _, err := eventstore.Execute(eventstore.WithMetadata(ctx, eventstore.Metadata{Actor: "ledger erase"}), e.store, start); err != nil {
		return err
	}
	fmt.Fprintf(w.err, "Erasure %s has begun.\n", start.ID)
	runner, err := e.eraser()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	running, stop := context.WithCancel(ctx)
	group.Go(func() error { return runner.Run(running) })
	group.Go(func() error {
		defer stop()
		return v.await(ctx, w, e, start)
	})
	return group.Wait()
}

// await tells of an erasure until it has ended.
func (v *eraseVerb) await(ctx context.Context, w world, e *engine, start domain.StartErasure) error {
	views, told := projections.NewViews(e.pool), false
	for {
		_, moved := e.store.Mark(projections.Erasures().Name).Next()
		shown, err := views.Erasure(ctx, start.Organisation, start.ID)
		switch {
		case domain.KindOf(err) == domain.NotFound: // it is yet to be shown
		case err != nil:
			return err
		case shown.Status == domain.ErasureDone:
			_, err := fmt.Fprintf(w.out, "Erased: %s.\n", wordsOfCounts(shown.Counts))
			return err
		case shown.Applied && !told:
			told = true
			fmt.Fprintln(w.err, "The keys are destroyed. Read models and tables are being cleared of it.")
		}
		select {
		case <-moved:
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wordsOfCounts says what was found.
func wordsOfCounts(c domain.ErasureCounts) string {
	companies := fmt.Sprintf("%d companies", c.Companies)
	if c.Companies == 1 {
		companies = "1 company"
	}
	text := fmt.Sprintf("%s of %s, in %s", counted(c.Prospects, "prospect"), companies, counted(c.Events, "event"))
	if c.InClear > 0 {
		text += fmt.Sprintf(", of which %d were recorded in the clear and stay in the log", c.InClear)
	}
	return text
}

// following does something while the read models are kept up to date, and returns what came of it.
func (e *engine) following(ctx context.Context, do func(context.Context) error) error {
	router, err := e.router(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group.Go(func() error { return e.store.Listen(background, e.log) })
	ended := make(chan struct{})
	group.Go(func() error {
		defer close(ended)
		return router.Run(background)
	})
	group.Go(func() error {
		defer stop()
		err := do(ctx)
		if started(router, ended) {
			err = errors.Join(err, router.Close())
		}
		return err
	})
	return group.Wait()
}
