package rest

import (
	"context"
	"errors"
	"slices"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A job is an item under one delivery.
type job struct {
	item    *item
	target  *target
	outcome eventstore.Outcome[domain.HandOver]
}

// maxTries bounds how often a chunk is planned. Each time a delivery had changed meanwhile, or once the
// organisation had begun to exclude.
const maxTries = 10

// commit hands items over under every target, and enters the results.
func (h *handOver) commit(ctx context.Context, items []*item) error {
	jobs := make([]*job, 0, len(items)*len(h.targets))
	for _, it := range items {
		if it.fault != nil {
			continue
		}
		for _, t := range h.targets {
			jobs = append(jobs, &job{item: it, target: t})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Patience)
	defer cancel()
	for try, todo := 1, jobs; len(todo) > 0; try++ {
		err := h.exclude(ctx, items)
		if err != nil {
			return err
		}
		if todo, err = h.try(ctx, todo); err != nil {
			return err
		}
		if len(todo) == 0 {
			break
		}
		if try == maxTries {
			return todo[0].outcome.Err
		}
		if err := h.reload(ctx); err != nil {
			return err
		}
		todo = slices.DeleteFunc(todo, func(j *job) bool { return j.target.gone })
	}
	return h.enter(ctx, items, jobs)
}

// try executes jobs and returns those whose delivery had changed meanwhile, or that must be looked up
// among what is excluded. It fails when the database is away.
func (h *handOver) try(ctx context.Context, jobs []*job) (again []*job, err error) {
	plans := make([]eventstore.Plan[domain.HandOver, domain.Event], len(jobs))
	for i, j := range jobs {
		t := j.target
		plans[i].Command = h.command(t.State, j.item)
		plans[i].Guard = eventstore.Guard{Stream: t.stream, Version: t.Version, And: h.unexcluded}
		if seed := seed(ctx); seed != nil { // the same however often a changed delivery makes it be planned
			plans[i].ID = eventstore.NewAppendID(seed.Secret, t.stream, uint64(j.item.index))
		}
	}
	for i, o := range eventstore.ExecuteEach(ctx, h.cfg.Store, plans) {
		j := jobs[i]
		j.outcome = o
		if c, ok := errors.AsType[*eventstore.ConflictError](o.Err); ok && c.Stream != plans[i].Command.Stream() {
			again = append(again, j)
			h.noticeExclusions(c.Stream)
		} else if o.Err != nil && eventstore.IsUnavailable(o.Err) {
			return nil, o.Err
		}
	}
	return again, nil
}

// command returns what is asked for by an item under a delivery.
func (h *handOver) command(d domain.Delivery, it *item) eventstore.Command[domain.HandOver, domain.Event] {
	if h.candidates {
		return domain.JudgeCandidate{ID: domain.NewHandOverID(), Delivery: d, CompanyID: it.company, Candidate: it.candidate, Excluded: it.excluded}
	}
	return domain.QualifyCompany{ID: domain.NewHandOverID(), Delivery: d, CompanyID: it.company, Qualification: it.qualification, Excluded: it.excluded}
}

// reload reads the targets again. Those that were deleted meanwhile are none any more; what
// was handed over under them stands. When none is left, that is an error.
func (h *handOver) reload(ctx context.Context) error {
	for _, t := range h.targets {
		h.deliveries.Forget(t.stream)
		known, err := h.deliveries.Load(ctx, t.stream)
		if err != nil {
			return err
		}
		t.Known, t.gone = known, !h.takes(known.State)
	}
	h.targets = slices.DeleteFunc(slices.Clone(h.targets), func(t *target) bool { return t.gone })
	if len(h.targets) == 0 {
		return domain.Errorf(domain.NotFound, "DELIVERY_NOT_FOUND", "there is no delivery %s any more", h.id)
	}
	return nil
}

// enter adds what came of items, whose jobs stand in the same order, to the results. Nothing
// is said of a delivery that was deleted before it got the item.
func (h *handOver) enter(ctx context.Context, items []*item, jobs []*job) error {
	for _, it := range items {
		if it.fault != nil {
			if err := h.results.add(it.rejected()); err != nil {
				return err
			}
			continue
		}
		for ; len(jobs) > 0 && jobs[0].item == it; jobs = jobs[1:] {
			j := jobs[0]
			if j.target.gone && j.outcome.Err != nil {
				continue
			}
			result := j.result()
			if h.several {
				result.DeliveryConfigurationID = optional(string(j.target.State.ID))
			}
			if err := h.results.add(result); err != nil {
				return err
			}
			h.results.position = max(h.results.position, j.outcome.Commit.Position)
			if j.outcome.Err != nil {
				h.reportItem(ctx, j)
			}
		}
	}
	return nil
}

// result says what came of a job.
func (j *job) result() QualificationResult {
	r := QualificationResult{Index: j.item.index, CompanyID: optional(string(j.item.company))}
	switch {
	case j.outcome.Err != nil:
		r.Outcome, r.Error = Rejected, itemError(newRefusal(j.outcome.Err))
	case j.outcome.State.ID == "" && j.outcome.State.Disqualified.Excluded != nil:
		r.Outcome, r.Exclusion = Disqualified, showExcluded(*j.outcome.State.Disqualified.Excluded)
	case j.outcome.State.ID == "":
		r.Outcome, r.QualificationScore = Disqualified, &j.outcome.State.Disqualified.Score
	case j.outcome.Commit.Position != 0:
		r.Outcome, r.DeliveryID = Accepted, optional(string(j.outcome.State.ID))
	default:
		r.Outcome, r.DeliveryID = Duplicate, optional(string(j.outcome.State.ID))
	}
	return r
}
