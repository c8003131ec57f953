package requalify

import (
	"context"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/personal"
)

// batch is how many disqualifications are looked at in one go, unless it is set otherwise.
const batch = 100

// A Judge finds what is to be judged again. It is safe for concurrent use.
type Judge struct {
	views      *projections.Views
	keyring    *personal.Keyring
	companies  *eventstore.Lookup[domain.HandOver, domain.Event]
	exclusions *eventstore.Lookup[domain.Exclusion, domain.Event]
}

// NewJudge returns a judge of what is in store, which views show, and the keyring opens.
func NewJudge(store *eventstore.Store, views *projections.Views, keyring *personal.Keyring) *Judge {
	return &Judge{
		views:      views,
		keyring:    keyring,
		companies:  eventstore.NewLookup[domain.HandOver, domain.Event](store),
		exclusions: eventstore.NewLookup[domain.Exclusion, domain.Event](store),
	}
}

// Count returns what would come of a job under a delivery, as far as it looks at most disqualifications.
// Nothing is recorded. The delivery must have rules.
func (j *Judge) Count(ctx context.Context, d domain.Delivery, among projections.Disqualifications, most int, now time.Time) (domain.RequalificationProgress, error) {
	var p domain.RequalificationProgress
	for p.Seen < int64(most) {
		found, err := j.views.DisqualifiedAfter(ctx, among, p.Number, min(batch, most-int(p.Seen)))
		if err != nil || len(found) == 0 {
			return p, err
		}
		plans, err := j.plans(ctx, domain.RequalifyCompany{Delivery: d}, found)
		if err != nil {
			return p, err
		}
		for _, plan := range plans {
			if plan.Known.State.ID != "" {
				continue
			}
			events, err := plan.Command.Decide(plan.Known.State, now)
			if err != nil {
				return p, err
			}
			state := plan.Known.State
			for _, e := range events {
				state = state.Evolve(e)
			}
			p = p.With(state)
		}
		p.Seen, p.Number = p.Seen+int64(len(found)), found[len(found)-1].Number
	}
	return p, nil
}

// plans returns what command asks for of each company whose last disqualification is among those found.
func (j *Judge) plans(ctx context.Context, command domain.RequalifyCompany, found []projections.Disqualified) ([]plan, error) {
	var streams []string
	var positions []eventstore.Position
	for _, d := range found {
		if d.Last {
			streams, positions = append(streams, d.Stream), append(positions, d.Position)
		}
	}
	known, err := j.companies.Load(ctx, streams)
	if err != nil {
		return nil, err
	}
	plans := make([]plan, len(streams))
	companies := make([]domain.HandOver, len(streams))
	for i, stream := range streams {
		plans[i].Known, companies[i] = known[stream], known[stream].State
	}
	if err := j.open(ctx, command.Delivery, positions, companies); err != nil {
		return nil, err
	}
	excluded, err := j.excluded(ctx, command.Delivery.Organisation, companies)
	if err != nil {
		return nil, err
	}
	for i, company := range companies {
		one := command
		one.ID, one.Company, one.Excluded = domain.NewHandOverID(), company, excluded[i]
		plans[i].Command = one
	}
	return plans, nil
}

// open opens what was recorded of companies, at those positions.
func (j *Judge) open(ctx context.Context, d domain.Delivery, positions []eventstore.Position, companies []domain.HandOver) error {
	recorded := make([]domain.Event, len(companies))
	for i, company := range companies {
		recorded[i] = company.Recorded(d)
	}
	if err := j.keyring.OpenEach(ctx, positions, recorded); err != nil {
		return err
	}
	for i := range companies {
		companies[i] = companies[i].Reading(recorded[i].(domain.CompanyDisqualified))
	}
	return nil
}

// A plan is to judge one company.
type plan = eventstore.Plan[domain.HandOver, domain.Event]

// excluded returns by what an organisation excludes each of those companies, nil where it does not. An
// exclusion that was answered before is seen.
func (j *Judge) excluded(ctx context.Context, org domain.OrganisationID, companies []domain.HandOver) ([]*domain.Excluded, error) {
	var all []string
	streams := make([][]string, len(companies))
	for i, c := range companies {
		streams[i] = domain.ExclusionStreams(org, c.Company, c.Disqualified.Candidate.Company)
		all = append(all, streams[i]...)
	}
	excluded := make([]*domain.Excluded, len(companies))
	if len(all) == 0 {
		return excluded, nil
	}
	found, err := j.exclusions.Load(ctx, all)
	if err != nil {
		return nil, err
	}
	for i := range companies {
		for _, stream := range streams[i] {
			if x := found[stream].State; x.Stands {
				excluded[i] = &x.Excluded
				break
			}
		}
	}
	return excluded, nil
}
