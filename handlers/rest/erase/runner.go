package erase

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/jobs"
	"github.com/openprospect/delivery-ledger/eventstore/shred"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/personal"
)

// A Vault keeps e-mail addresses until they are erased.
type Vault interface {
	Open(ctx context.Context, id string) (string, error)
	Delete(ctx context.Context, id string) error
}

// Config adjusts a runner. All but Poll and Now is required.
type Config struct {
	Pool  *pgxpool.Pool
	Store *eventstore.Store
	Keys  *shred.Keys
	Vault Vault
	Log   *slog.Logger

	// Poll is how late a runner notices, at worst, what it was not told of. Default 1 s.
	Poll time.Duration

	// Now is the clock by which it waits for keys to be forgotten. Default time.Now.
	Now func() time.Time
}

// A Runner carries out erasures. Any number of processes may have one; one of them works.
type Runner struct {
	cfg     Config
	views   *projections.Views
	finder  *Finder
	keyring *personal.Keyring
	under   map[domain.ErasureID]*progress // way, by Run's goroutine
}

// progress is how far an erasure has come in this process. Without it, it begins anew.
type progress struct {
	head    eventstore.Position // of the log when it was looked through; 0: it was not yet
	settled time.Time           // when the keys that were destroyed are forgotten; zero: none were yet
	again   eventstore.Position // head when it is looked through the second time; 0: it is not yet time for that
}

// New returns a runner. It fails when cfg lacks what is required.
func New(cfg Config) (*Runner, error) {
	if cfg.Pool == nil || cfg.Store == nil || cfg.Keys == nil || cfg.Vault == nil || cfg.Log == nil {
		return nil, errors.New("erasures need a pool, a store, keys, a vault and a log")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	views, keyring := projections.NewViews(cfg.Pool), personal.NewKeyring(cfg.Keys)
	return &Runner{
		cfg: cfg, views: views, finder: NewFinder(cfg.Store, views, keyring), keyring: keyring, under: map[domain.ErasureID]*progress{},
	}, nil
}

// lock is the advisory lock of the process that works.
const lock = 7_310_575_174_993_603_434

// Run carries out erasures until ctx is done, and returns nil then: what was not recorded by that time is done by whoever runs
// next. It goes on through a loss of the database. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	return jobs.Run(ctx, jobs.Config[domain.ErasureID]{
		Pool: r.cfg.Pool, Log: r.cfg.Log, Actor: "eraser", Lock: lock, Poll: r.cfg.Poll,
		Started: r.cfg.Store.Mark(projections.Erasures().Name), Moved: r.cfg.Store.Mark(projections.History().Name),
		Running: r.views.RunningErasures, Step: r.step,
	})
}

// step does the next part of an erasure.
func (r *Runner) step(ctx context.Context, id domain.ErasureID) (jobs.Meeting, error) {
	known, err := eventstore.Load[domain.Erasure, domain.Event](ctx, r.cfg.Store, domain.ErasureStream(id))
	if err != nil || known.State.Status != domain.ErasureRunning {
		delete(r.under, id)
		return jobs.Nothing, err // the read model will show that it has ended
	}
	if known.State.Applied {
		return r.finish(ctx, known)
	}
	if r.under[id] == nil {
		r.under[id] = &progress{}
	}
	p := r.under[id]
	switch {
	case p.settled.IsZero():
		return r.destroy(ctx, known, p)
	case r.cfg.Now().Before(p.settled):
		return jobs.Waiting, nil
	}
	return r.apply(ctx, known, p)
}

// reached reports whether what finds shows all up to the head that the log had when it was first asked, which it notes.
func (r *Runner) reached(ctx context.Context, at *eventstore.Position) (bool, error) {
	if *at == 0 {
		head, err := r.cfg.Store.Head(ctx)
		if err != nil {
			return false, err
		}
		*at = head
	}
	return r.finder.shows(ctx, *at)
}

// destroy destroys the keys of all that is found so far. For an e-mail address, it first notes whose it is.
func (r *Runner) destroy(ctx context.Context, known eventstore.Known[domain.Erasure], p *progress) (jobs.Meeting, error) {
	job := known.State
	if ok, err := r.reached(ctx, &p.head); err != nil || !ok {
		return jobs.Waiting, err
	}
	if job.Subject.Email != "" && !job.Identified {
		email, err := r.cfg.Vault.Open(ctx, string(job.Subject.Email))
		if err != nil {
			return jobs.Nothing, err
		}
		prospects, err := r.finder.withEmail(ctx, job.Organisation, email, p.head)
		if err != nil {
			return jobs.Nothing, err
		}
		return jobs.Progress, r.note(ctx, known, domain.IdentifyErasure{ID: job.ID, Prospects: prospects})
	}
	all, err := r.find(ctx, job, p.head)
	if err != nil {
		return jobs.Nothing, err
	}
	if len(all) == 0 {
		return r.end(ctx, known, nil)
	}
	if err := r.shred(ctx, job.Organisation, all); err != nil {
		return jobs.Nothing, err
	}
	p.settled = r.cfg.Now().Add(r.cfg.Keys.Settled())
	return jobs.Waiting, nil
}

// find returns what tells of whom the job is about.
func (r *Runner) find(ctx context.Context, job domain.Erasure, upTo eventstore.Position) ([]found, error) {
	prospects := job.Prospects
	if job.Subject.Prospect != "" {
		prospects = []string{job.Subject.Prospect}
	}
	return r.finder.find(ctx, job.Organisation, job.Subject.Company, prospects, upTo)
}

// shred destroys the keys of what was found, and those of what receivers answered to the hand-overs among it.
func (r *Runner) shred(ctx context.Context, org domain.OrganisationID, all []found) error {
	subjects := map[int64][][]string{}
	var handOvers []domain.HandOverID
	for _, one := range all {
		subjects[one.key] = append(subjects[one.key], one.subjects...)
		if one.HandOver != "" {
			handOvers = append(handOvers, one.HandOver)
		}
	}
	for ; len(handOvers) > 0; handOvers = handOvers[min(page, len(handOvers)):] {
		records, err := r.views.Answers(ctx, handOvers[:min(page, len(handOvers))])
		if err != nil {
			return err
		}
		for _, rec := range records {
			event, err := r.cfg.Store.Registry().Decode(rec)
			if err != nil {
				return err
			}
			if key, handOver, ok := answered(event.(domain.Event)); ok {
				subjects[key] = append(subjects[key], domain.SubjectOfAnswers(handOver))
			}
		}
	}
	return r.cfg.Keys.Destroy(ctx, string(org), subjects)
}

// answered returns under which key an event holds what a receiver answered to a hand-over, and false when it holds no such thing.
func answered(event domain.Event) (key int64, handOver domain.HandOverID, ok bool) {
	var a domain.Attempt
	switch e := event.(type) {
	case domain.AttemptSucceeded:
		a = e.Attempt
	case domain.AttemptFailed:
		a = e.Attempt
	}
	return a.Key, a.HandOver, a.ResponseBody != ""
}

// apply records what was erased: what tells of whom the job is about, and cannot be opened any more.
func (r *Runner) apply(ctx context.Context, known eventstore.Known[domain.Erasure], p *progress) (jobs.Meeting, error) {
	if ok, err := r.reached(ctx, &p.again); err != nil || !ok {
		return jobs.Waiting, err
	}
	job := known.State
	all, err := r.find(ctx, job, p.again)
	if err != nil {
		return jobs.Nothing, err
	}
	gone, err := r.gone(ctx, job.Organisation, all)
	if err != nil {
		return jobs.Nothing, err
	}
	if len(gone) == 0 {
		return r.end(ctx, known, nil)
	}
	if err := r.shred(ctx, job.Organisation, gone); err != nil { // what receivers answered since
		return jobs.Nothing, err
	}
	return jobs.Progress, r.note(ctx, known, domain.ApplyErasure{ID: job.ID, Found: applied(job, gone, p.again)})
}

// gone returns those of which nothing can be opened any more. The others came after the keys were destroyed: somebody told of the same persons anew.
func (r *Runner) gone(ctx context.Context, org domain.OrganisationID, all []found) ([]found, error) {
	refs := make([]shred.Ref, 0, len(all))
	for _, one := range all {
		refs = append(refs, shred.Ref{Organisation: string(org), Number: one.key})
	}
	keys, err := r.cfg.Keys.Each(ctx, refs)
	if err != nil {
		return nil, err
	}
	var gone []found
	for i, one := range all {
		if key := keys[refs[i]]; key != nil && !key.Holds(one.subjects[0]) {
			gone = append(gone, one)
		}
	}
	return gone, nil
}

// most is how many events one record tells of at most.
const most = 500

// applied returns what is recorded of what was erased, delivery by delivery.
func applied(job domain.Erasure, gone []found, upTo eventstore.Position) []domain.ErasureApplied {
	byDelivery := map[domain.DeliveryID][]domain.Erased{}
	var order []domain.DeliveryID
	for _, one := range gone {
		if byDelivery[one.delivery] == nil {
			order = append(order, one.delivery)
		}
		byDelivery[one.delivery] = append(byDelivery[one.delivery], one.Erased)
	}
	var events []domain.ErasureApplied
	for _, delivery := range order {
		for rest := byDelivery[delivery]; len(rest) > 0; rest = rest[min(most, len(rest)):] {
			events = append(events, domain.ErasureApplied{
				Erasure: job.ID, Organisation: job.Organisation, Delivery: delivery, UpTo: int64(upTo), Erased: rest[:min(most, len(rest))],
			})
		}
	}
	return events
}

// finish sees to what else there is of what was erased, once the read model does not show it any more, and ends the erasure.
func (r *Runner) finish(ctx context.Context, known eventstore.Known[domain.Erasure]) (jobs.Meeting, error) {
	records, err := r.cfg.Store.ReadStream(ctx, domain.ErasureStream(known.State.ID))
	if err != nil {
		return jobs.Nothing, err
	}
	shown, err := r.cfg.Store.Cursor(ctx, projections.Companies().Name)
	if err != nil || shown < records[len(records)-1].Position {
		return jobs.Waiting, err
	}
	var erased []domain.Erased
	var events []domain.Event
	for _, rec := range records {
		event, err := r.cfg.Store.Registry().Decode(rec)
		if err != nil {
			return jobs.Nothing, err
		}
		if e, ok := event.(domain.ErasureApplied); ok {
			erased, events = append(erased, e.Erased...), append(events, e)
		}
	}
	reader := personal.Reader{Registry: r.cfg.Store.Registry(), Keyring: r.keyring}
	if err := projections.ScrubCopies(ctx, r.cfg.Pool, reader, events); err != nil {
		return jobs.Nothing, err
	}
	if err := projections.Vacuum(ctx, r.cfg.Pool, "subject_keys", "companies"); err != nil {
		return jobs.Nothing, err
	}
	return r.end(ctx, known, erased)
}

// end ends an erasure.
func (r *Runner) end(ctx context.Context, known eventstore.Known[domain.Erasure], erased []domain.Erased) (jobs.Meeting, error) {
	if secret := known.State.Subject.Email; secret != "" {
		if err := r.cfg.Vault.Delete(ctx, string(secret)); err != nil {
			return jobs.Nothing, err
		}
	}
	delete(r.under, known.State.ID)
	return jobs.Progress, r.note(ctx, known, domain.EndErasure{ID: known.State.ID, Counts: domain.CountErased(erased)})
}

// note records what became of an erasure.
func (r *Runner) note(ctx context.Context, known eventstore.Known[domain.Erasure], cmd eventstore.Command[domain.Erasure, domain.Event]) error {
	plan := eventstore.Plan[domain.Erasure, domain.Event]{Command: cmd, Known: known}
	return eventstore.ExecuteEach(ctx, r.cfg.Store, []eventstore.Plan[domain.Erasure, domain.Event]{plan})[0].Err
}
