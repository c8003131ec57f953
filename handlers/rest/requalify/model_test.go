package requalify_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/rest/requalify"
	"github.com/openprospect/delivery-ledger/projections"
)

// A recorded is a company as a plain reference knows it.
type recorded struct {
	amount     int
	qualified  bool // it came so
	handedOver bool
}

// A reference is a delivery, beside what it must come to.
type reference struct {
	*bundle
	delivery  domain.Delivery
	amount    int // that is asked for
	companies map[domain.CompanyID]*recorded
	excluded  map[domain.CompanyID]bool
}

// exclusion returns what excludes a company, nil where nothing does.
func (r *reference) exclusion(t require.TestingT, id domain.CompanyID) *domain.Excluded {
	if !r.excluded[id] {
		return nil
	}
	return new(r.bundle.excluded(t, id))
}

// sendOne sends a company: as a candidate or, where it came so, as one that is qualified.
func (r *reference) sendOne(t *rapid.T, id domain.CompanyID) {
	company := recorded{amount: rapid.IntRange(0, 9).Draw(t, "amount"), qualified: rapid.IntRange(0, 4).Draw(t, "qualified at 0") == 0}
	excluded := r.exclusion(t, id)
	if company.qualified {
		execute(t, r.bundle, domain.QualifyCompany{
			ID: domain.NewHandOverID(), Delivery: r.delivery, CompanyID: id, Excluded: excluded,
			Qualification: domain.Qualification{Company: companyOf(id, company.amount), Score: new(77), MatchReasons: []string{"said so"}},
		})
	} else {
		r.send(t, r.delivery, id, company.amount, excluded)
	}
	if before := r.companies[id]; before == nil || !before.handedOver {
		company.handedOver = excluded == nil && (company.qualified || company.amount >= r.amount)
		r.companies[id] = &company
	}
}

// toggle excludes a company, or no longer.
func (r *reference) toggle(t *rapid.T, id domain.CompanyID) {
	x := r.bundle.excluded(t, id)
	if r.excluded[id] {
		execute(t, r.bundle, domain.RemoveExclusion{Organisation: r.org, ID: x.Exclusion})
	} else {
		execute(t, r.bundle, domain.AddExclusion{Organisation: r.org, Excluded: x})
	}
	r.excluded[id] = !r.excluded[id]
}

// requalify returns what a job must come to, and enters it.
func (r *reference) requalify() (want domain.RequalificationProgress) {
	for id, c := range r.companies {
		switch {
		case c.handedOver:
		case r.excluded[id]:
			want.Excluded++
		case c.qualified || c.amount >= r.amount:
			want.Qualified++
			c.handedOver = true
		default:
			want.Disqualified++
		}
	}
	return want
}

// all returns the companies that must have been handed over.
func (r *reference) all() (ids []domain.CompanyID) {
	for id, c := range r.companies {
		if c.handedOver {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestAJobHandsOverWhatAPlainReferenceSays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(t, 2)
	judge := requalify.NewJudge(b.store, b.views, nil)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		mine := *b
		mine.org = domain.OrganisationID(fmt.Sprintf("org_%d", n))
		r := &reference{bundle: &mine, amount: 5, delivery: mine.delivery(rt, 5), companies: map[domain.CompanyID]*recorded{}, excluded: map[domain.CompanyID]bool{}}
		for range rapid.IntRange(1, 4).Draw(rt, "jobs") {
			for range rapid.IntRange(1, 12).Draw(rt, "steps") {
				id := rapid.SampledFrom([]domain.CompanyID{"comp_1", "comp_2", "comp_3", "comp_4", "comp_5", "comp_6"}).Draw(rt, "company")
				switch rapid.IntRange(0, 5).Draw(rt, "step") {
				case 0:
					r.amount = rapid.IntRange(0, 9).Draw(rt, "asked for")
					r.delivery = mine.ask(rt, r.delivery, r.amount)
				case 1:
					r.toggle(rt, id)
				default:
					r.sendOne(rt, id)
				}
			}
			require.ElementsMatch(rt, r.all(), mine.handedOver(rt, r.delivery))
			tried := try(rt, &mine, judge, r.delivery, 1000)
			want := r.requalify()
			want.Seen, want.Number = tried.Seen, tried.Number
			require.Equal(rt, want, tried)
			id := mine.start(rt, r.delivery)
			want.Number = 0 // is not shown
			require.Equal(rt, want, mine.await(rt, r.delivery, id).Progress)
			require.ElementsMatch(rt, r.all(), mine.handedOver(rt, r.delivery))
		}
	})
}

// try returns what a dry run of a job on all that there is says, and fails the test where it recorded something.
func try(t require.TestingT, b *bundle, judge *requalify.Judge, d domain.Delivery, most int) domain.RequalificationProgress {
	ctx := context.Background()
	head, err := b.store.Head(ctx)
	require.NoError(t, err)
	require.NoError(t, b.store.Await(ctx, projections.History().Name, head))
	p, err := judge.Count(ctx, d, projections.Disqualifications{Delivery: d.ID, UpTo: head}, most, time.Now())
	require.NoError(t, err)
	after, err := b.store.Head(ctx)
	require.NoError(t, err)
	require.Equal(t, head, after)
	return p
}

func TestADryRunLooksAtSoMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.delivery(t, 1000)
	b.sendAll(t, d, 250)
	d = b.ask(t, d, 101)
	p := try(t, b, requalify.NewJudge(b.store, b.views, nil), d, 120)
	require.Equal(t, domain.RequalificationProgress{Number: 120, Seen: 120, Qualified: 20, Disqualified: 100}, p)
}
