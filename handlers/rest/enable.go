package rest

import (
	"context"
	"errors"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// EnableDestination lets go what is held for a destination that was disabled, and starts a replay of
// what failed meanwhile if that is asked for.
func (s *Server) EnableDestination(ctx context.Context, r EnableDestinationRequestObject) (EnableDestinationResponseObject, error) {
	cmd := domain.EnableDestination{
		Delivery: domain.DeliveryID(r.DeliveryID), Organisation: organisation(ctx), Destination: domain.DestinationID(r.DestinationID),
	}
	var o outcome
	var err error
	if value(value(r.Body).ReplayFailed) {
		cmd.Replay = seed(ctx).ReplayID()
		o, err = s.enableAndReplay(ctx, cmd)
	} else {
		o, err = s.execute(ctx, ifMatch(ctx, cmd, cmd.Destination))
	}
	if err != nil {
		return nil, err
	}
	d, err := s.destination(ctx, o, cmd.Destination, false)
	if err != nil {
		return nil, err
	}
	shown := showDestination(d)
	if o.Commit.Position > 0 {
		s.settleOn(ctx, projections.Replays(), o.Commit)
		shown.ReplayID = optional(string(cmd.Replay))
	}
	return EnableDestination200JSONResponse{Body: shown, Headers: EnableDestination200ResponseHeaders{
		ETag: etag(d.Version), LedgerPosition: position(o.Commit),
	}}, nil
}

// enableAndReplay executes cmd and starts its replay: both, or neither. The two go into one transaction, and each
// is refused there unless the delivery is still at the version on which both were decided; the replay
// comes first, as the other moves the version on. Where a repeat finds that it was done, the outcome is that of then.
func (s *Server) enableAndReplay(ctx context.Context, cmd domain.EnableDestination) (o outcome, err error) {
	const tries = 10
	for range tries {
		past, err := s.disabling(ctx, cmd)
		if err != nil || past.enabled.Position > 0 {
			return outcome{Known: past.delivery, Commit: past.enabled}, err
		}
		enabled, err := ifMatch(ctx, cmd, cmd.Destination).Decide(past.delivery.State, s.now())
		if err != nil || len(enabled) == 0 {
			return outcome{Known: past.delivery}, err
		}
		start := domain.StartReplay{ID: cmd.Replay, Delivery: past.delivery.State, Filter: domain.ReplayFilter{
			Status: domain.Failed, Destination: cmd.Destination, EndedSince: s.failingSince(ctx, cmd.Destination, past),
		}}
		if err := s.find(ctx, &start); err != nil {
			return o, err
		}
		started, err := start.Decide(domain.Replay{}, s.now())
		if err != nil {
			return o, err
		}
		results := s.cfg.Store.AppendEach(ctx, []eventstore.Append{
			{Stream: start.Stream(), Events: stored(started), Guard: eventstore.Guard{Stream: cmd.Stream(), Version: past.delivery.Version}},
			{Stream: cmd.Stream(), Events: stored(enabled), Expected: past.delivery.Version},
		})
		if err = errors.Join(results[0].Err, results[1].Err); err == nil {
			s.deliveries.Forget(cmd.Stream())
			o.State, o.Version, o.Commit = past.delivery.State.Evolve(enabled[0]), results[1].Version, results[1].Commit
			return o, nil
		}
		if _, conflict := errors.AsType[*eventstore.ConflictError](err); !conflict {
			return o, err
		}
		o.Err = err
	}
	return o, o.Err
}

// stored returns events as the log takes them.
func stored(events []domain.Event) []eventstore.Event {
	all := make([]eventstore.Event, len(events))
	for i, e := range events {
		all[i] = e
	}
	return all
}

// A disabling is what a delivery's events tell of a destination that was disabled.
type disabling struct {
	delivery eventstore.Known[domain.Delivery] // as it stands
	at       time.Time                         // when it was disabled last; zero: never
	since    *time.Time                        // when it had begun to fail by then; nil: not told
	enabled  eventstore.Commit                 // of the command, if it was executed before
}

// disabling returns what led to cmd.
func (s *Server) disabling(ctx context.Context, cmd domain.EnableDestination) (past disabling, err error) {
	records, err := s.cfg.Store.ReadStream(ctx, cmd.Stream())
	if err != nil {
		return past, err
	}
	for _, rec := range records {
		event, err := s.cfg.Store.Registry().Decode(rec)
		if err != nil {
			return past, err
		}
		switch e := event.(type) {
		case domain.DestinationDisabled:
			if e.Destination == cmd.Destination {
				past.at, past.since = rec.RecordedAt, e.FailingSince
			}
		case domain.DestinationEnabled:
			if e.Replay == cmd.Replay {
				past.enabled = eventstore.Commit{Position: rec.Position, Version: rec.Version, RecordedAt: rec.RecordedAt.UTC()}
			}
		}
		past.delivery.State, past.delivery.Version = past.delivery.State.Evolve(event.(domain.Event)), rec.Version
	}
	return past, nil
}

// failingSince returns from when on what failed belongs to a disabling: the first attempt in a row that came to nothing, as
// the disabling told or is known now. If one has succeeded since, it is what may have been under way.
func (s *Server) failingSince(ctx context.Context, id domain.DestinationID, past disabling) *time.Time {
	const longestAttempt = time.Minute
	await, cancel := s.settling(ctx)
	defer cancel()
	if head, err := s.cfg.Store.Head(await); err == nil {
		_ = s.cfg.Store.Await(await, projections.Dispatches().Name, head) // what is late is not known
	}
	since := past.since
	health, err := s.cfg.Views.Health(ctx, id)
	if err == nil && health.FailingSince != nil && (since == nil || health.FailingSince.Before(*since)) {
		since = health.FailingSince
	}
	if since == nil {
		since = new(past.at.Add(-longestAttempt))
	}
	return new(since.UTC())
}
