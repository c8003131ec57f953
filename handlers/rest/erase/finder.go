package erase

import (
	"context"
	"slices"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/personal"
)

// page is how many events are looked at in one go.
const page = 1000

// A Finder finds what tells of somebody. It is safe for concurrent use.
type Finder struct {
	store   *eventstore.Store
	views   *projections.Views
	keyring *personal.Keyring
}

// NewFinder returns a finder in the log of store, by its read models, which views show, and with what opens its events.
func NewFinder(store *eventstore.Store, views *projections.Views, keyring *personal.Keyring) *Finder {
	return &Finder{store: store, views: views, keyring: keyring}
}

// reads returns the read models that a finder asks: it finds what all of them show.
func reads() []projections.Projection {
	return []projections.Projection{projections.History(), projections.Dispatches()}
}

// shows reports whether a finder finds all up to a position by now.
func (f *Finder) shows(ctx context.Context, upTo eventstore.Position) (bool, error) {
	for _, p := range reads() {
		if shown, err := f.store.Cursor(ctx, p.Name); err != nil || shown < upTo {
			return false, err
		}
	}
	return true, nil
}

// A found is an event that tells of somebody.
type found struct {
	domain.Erased
	delivery domain.DeliveryID
	key      int64
	subjects [][]string // under which it does
}

// each calls visit for all of an organisation's events up to a position that tell of a company: those of one delivery and type
// together, in order.
func (f *Finder) each(ctx context.Context, org domain.OrganisationID, upTo eventstore.Position, visit func(projections.Told, domain.Telling) error) error {
	trails, err := f.views.Tellers(ctx, org, []string{domain.CompanyQualified{}.EventType(), domain.CompanyDisqualified{}.EventType()})
	if err != nil {
		return err
	}
	for _, trail := range trails {
		for number := int64(0); ; {
			told, err := f.views.ToldAfter(ctx, trail.Delivery, trail.Type, number, upTo, page)
			if err != nil {
				return err
			}
			if err := f.visit(told, visit); err != nil {
				return err
			}
			if len(told) < page {
				break
			}
			number = told[len(told)-1].Number
		}
	}
	return nil
}

// visit calls visit for each of those.
func (f *Finder) visit(told []projections.Told, visit func(projections.Told, domain.Telling) error) error {
	for _, t := range told {
		event, err := f.store.Registry().Decode(t.Record)
		if err != nil {
			return err
		}
		if err := visit(t, event.(domain.Telling)); err != nil {
			return err
		}
	}
	return nil
}

// withEmail returns the IDs of the prospects who have an e-mail address, in order.
func (f *Finder) withEmail(ctx context.Context, org domain.OrganisationID, email string, upTo eventstore.Position) ([]string, error) {
	ids := []string{}
	err := f.each(ctx, org, upTo, func(t projections.Told, e domain.Telling) error {
		opened, err := f.keyring.Open(ctx, t.Position, e)
		if err != nil {
			return err
		}
		some, err := domain.ProspectsWith(email, prospectsOf(opened))
		ids = append(ids, some...)
		return err
	})
	slices.Sort(ids)
	return slices.Compact(ids), err
}

// prospectsOf returns the list in an event in the clear.
func prospectsOf(e domain.Event) []byte {
	switch e := e.(type) {
	case domain.CompanyQualified:
		return e.Prospects
	case domain.CompanyDisqualified:
		return e.Prospects
	}
	return nil
}

// find returns the events up to a position that tell of prospects, or of any where a company is given, in order of their deliveries.
func (f *Finder) find(ctx context.Context, org domain.OrganisationID, company domain.CompanyID, prospects []string, upTo eventstore.Position) ([]found, error) {
	var all []found
	wanted := make(map[string]bool, len(prospects))
	for _, id := range prospects {
		wanted[id] = true
	}
	add := func(t projections.Told, e domain.Telling) error {
		ids, err := e.ProspectIDs()
		if err != nil {
			return err
		}
		if company == "" {
			ids = slices.DeleteFunc(ids, func(id string) bool { return !wanted[id] })
		}
		if len(ids) == 0 && company == "" {
			return nil
		}
		subjects := e.Subjects(ids)
		if len(subjects) == 0 { // it tells of nobody
			return nil
		}
		one := found{delivery: t.Delivery, key: e.SealedBy(), subjects: subjects}
		one.Position, one.Prospects, one.InClear = int64(t.Position), append([]string{}, ids...), e.SealedBy() == 0
		if one.Company, one.HandOver = e.Told(); one.HandOver != "" {
			one.Number = t.Number
		}
		all = append(all, one)
		return nil
	}
	if company == "" {
		return all, f.each(ctx, org, upTo, add)
	}
	told, err := f.views.ToldOf(ctx, org, company, upTo)
	if err != nil {
		return nil, err
	}
	return all, f.visit(told, add)
}

// Count returns what an erasure would find: of a prospect, of all who have an e-mail address, or of a company, whichever is given.
// It waits until all that the log has by now can be found.
func (f *Finder) Count(ctx context.Context, org domain.OrganisationID, subject domain.ErasureSubject, email string) (domain.ErasureCounts, error) {
	upTo, err := f.store.Head(ctx)
	if err != nil {
		return domain.ErasureCounts{}, err
	}
	for _, p := range reads() {
		if err := f.store.Await(ctx, p.Name, upTo); err != nil {
			return domain.ErasureCounts{}, err
		}
	}
	prospects := []string{subject.Prospect}
	if email != "" {
		if prospects, err = f.withEmail(ctx, org, email, upTo); err != nil {
			return domain.ErasureCounts{}, err
		}
	}
	all, err := f.find(ctx, org, subject.Company, prospects, upTo)
	erased := make([]domain.Erased, len(all))
	for i, one := range all {
		erased[i] = one.Erased
	}
	return domain.CountErased(erased), err
}
