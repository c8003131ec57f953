package erase

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/personal"
)

// retentionLock is the advisory lock of the process that erases by age.
const retentionLock = 7_310_575_174_993_603_435

// retentionPoll is how often it is looked whether it is time to erase something by its age.
const retentionPoll = time.Minute

// RunRetention erases by age, once a day for each organisation that wants it, until ctx is done, and returns nil then. Any number of
// processes may; one of them does. It goes on through a loss of the database, and from the beginning after a crash. It is called once.
func (r *Runner) RunRetention(ctx context.Context) error {
	for {
		if err := r.Retain(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Log.LogAttrs(ctx, slog.LevelError, "erasing by age fails", slog.Any("error", err))
		}
		select {
		case <-time.After(retentionPoll):
		case <-ctx.Done():
			return nil
		}
	}
}

// A retained is an organisation for which it is time.
type retained struct {
	ID   domain.OrganisationID `db:"id"`
	Days int                   `db:"retention_days"`
}

// Retain erases by age for each organisation for which it was not done within the last day, unless another process does.
func (r *Runner) Retain(ctx context.Context) error {
	const (
		due = `
			SELECT id, retention_days
			FROM organisations
			WHERE retention_days IS NOT NULL AND (retention_applied_at IS NULL OR retention_applied_at < now() - interval '1 day')
			ORDER BY id`
		try  = `SELECT pg_try_advisory_lock($1)`
		done = `UPDATE organisations SET retention_applied_at = now() WHERE id = $1`
	)
	rows, _ := r.cfg.Pool.Query(ctx, due) // CollectRows reports the error
	organisations, err := pgx.CollectRows(rows, pgx.RowToStructByName[retained])
	if err != nil {
		return fmt.Errorf("look for organisations that keep for a time: %w", err)
	}
	if len(organisations) == 0 {
		return nil
	}
	pooled, err := r.cfg.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to erase by age: %w", err)
	}
	conn := pooled.Hijack()
	defer conn.Close(context.WithoutCancel(ctx)) // the lock goes with it
	var ours bool
	if err := conn.QueryRow(ctx, try, retentionLock).Scan(&ours); err != nil || !ours {
		return err
	}
	ctx = eventstore.WithMetadata(ctx, eventstore.Metadata{Actor: "eraser"})
	for _, org := range organisations {
		finished, err := r.retain(ctx, org)
		if err != nil {
			return fmt.Errorf("erase by age for %s: %w", org.ID, err)
		}
		if !finished {
			continue
		}
		if _, err := r.cfg.Pool.Exec(ctx, done, org.ID); err != nil {
			return fmt.Errorf("note that it was erased by age for %s: %w", org.ID, err)
		}
	}
	return nil
}

// retain erases what is too old of an organisation. It is false when read models do not show it yet.
func (r *Runner) retain(ctx context.Context, org retained) (bool, error) {
	cutoff := r.cfg.Now().Add(-time.Duration(org.Days) * 24 * time.Hour)
	upTo, err := r.cfg.Store.PositionAt(ctx, cutoff)
	if err != nil || upTo == 0 {
		return upTo == 0, err
	}
	if ok, err := r.finder.shows(ctx, upTo); err != nil || !ok {
		return false, err
	}
	numbers, err := r.cfg.Keys.DestroyBefore(ctx, string(org.ID), cutoff, int64(upTo))
	if err != nil {
		return false, err
	}
	select {
	case <-time.After(r.cfg.Keys.Settled()):
	case <-ctx.Done():
		return false, ctx.Err()
	}
	applied := domain.RetentionApplied{Organisation: org.ID, Days: org.Days, UpTo: int64(upTo), Keys: numbers}
	if applied.Feeds, err = r.tooOld(ctx, org.ID, cutoff); err != nil {
		return false, err
	}
	o, err := eventstore.Execute(ctx, r.cfg.Store, domain.ApplyRetention{Applied: applied})
	if err != nil || o.Commit.Position == 0 {
		return err == nil, err
	}
	if err := r.cfg.Store.Await(ctx, projections.Companies().Name, o.Commit.Position); err != nil {
		return false, err
	}
	reader := personal.Reader{Registry: r.cfg.Store.Registry(), Keyring: r.keyring}
	if err := projections.ScrubCopies(ctx, r.cfg.Pool, reader, []domain.Event{applied}); err != nil {
		return false, err
	}
	return true, projections.Vacuum(ctx, r.cfg.Pool, "subject_keys", "companies")
}

// tooOld returns the feeds of an organisation in which companies came to be too old since that was last noted.
func (r *Runner) tooOld(ctx context.Context, org domain.OrganisationID, cutoff time.Time) ([]domain.RetainedFeed, error) {
	known, err := eventstore.Load[domain.Retention, domain.Event](ctx, r.cfg.Store, domain.RetentionStream(org))
	if err != nil {
		return nil, err
	}
	deliveries, err := r.views.DeliveriesEver(ctx, org)
	if err != nil {
		return nil, err
	}
	var feeds []domain.RetainedFeed
	for _, d := range deliveries {
		until, err := r.views.HandedOverBy(ctx, d, cutoff)
		if err != nil {
			return nil, err
		}
		if after := known.State.Until[d]; until > after {
			feeds = append(feeds, domain.RetainedFeed{Delivery: d, After: after, Until: until})
		}
	}
	return feeds, nil
}
