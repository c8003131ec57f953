package webhooks

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// Bounds of a look at the destinations that fail.
const (
	judgeMost = 100    // in one look
	judgeLag  = 10_000 // events that the read model may be behind
)

// A failing is a destination to be judged.
type failing struct {
	Destination domain.DestinationID `db:"destination_id"`
	Delivery    domain.DeliveryID    `db:"delivery_id"`
	Revision    int64                `db:"revision"` // of the delivery, of which the row shows all
	Verdict     verdict              `db:"verdict"`
	Exhausted   int                  `db:"exhausted"`
	Since       *time.Time           `db:"failing_since"`
	BrokenSince *time.Time           `db:"broken_since"`
}

// A verdict is what becomes of a destination.
type verdict string

// The verdicts of [judge].
const (
	toDisable verdict = "disable" // it has failed for longer than is tolerated
	toEnable  verdict = "enable"  // it was disabled for that, and took a webhook after all
	recovered verdict = "recovered"
)

// judge disables destinations that have failed for longer than is tolerated, enables those again that
// took a webhook after all, and records which have recovered.
//
// Any number of processes may judge, and be interrupted: what is decided guards the delivery's revision as
// of which the row was read, so that a destination is disabled once, and not by what was before somebody
// enabled or changed it. Attempts are recorded elsewhere, and nothing guards against one that succeeds at the
// same time. Those in the log that the read model does not show yet are looked for; for one that is
// recorded after that, or was under way, the next look finds that the failing which was given up has ended. A recovery is
// recorded once by the time since which the destination had failed.
func judge(ctx context.Context, cfg Config) error {
	const query = `
		SELECT t.destination_id, t.delivery_id, d.version AS revision, v.verdict, t.exhausted, t.failing_since, t.broken_since
		FROM dispatch_targets t
		CROSS JOIN (SELECT position FROM cursors WHERE name = 'dispatches') AS shown
		CROSS JOIN (SELECT position FROM log_head) AS head
		CROSS JOIN LATERAL (
			SELECT version, position FROM events WHERE stream = 'delivery/' || t.delivery_id ORDER BY version DESC LIMIT 1
		) AS d
		CROSS JOIN LATERAL (
			SELECT CASE
				WHEN t.disabled THEN CASE WHEN t.given_up IS NOT NULL AND t.failing_since IS DISTINCT FROM t.given_up THEN 'enable' END
				WHEN t.broken_since IS NOT NULL AND t.mended THEN 'recovered'
				WHEN $1 > 0 AND t.exhausted >= $1 AND t.failing_since <= now() - make_interval(secs => $2)
					AND head.position - shown.position <= $3 AND NOT EXISTS (
						SELECT FROM events e
						WHERE e.position > shown.position AND e.type = 'attempt.succeeded' AND e.data->>'destination' = t.destination_id
					)
				THEN 'disable'
			END AS verdict
		) AS v
		WHERE (t.probe_at IS NOT NULL OR t.exhausted > 0 OR t.given_up IS NOT NULL OR t.broken_since IS NOT NULL) AND NOT t.removed
			AND v.verdict IS NOT NULL AND d.position <= shown.position
		LIMIT $4`
	tolerated := cfg.Tolerance
	rows, _ := cfg.Pool.Query(ctx, query, tolerated.Dispatches, tolerated.Time.Seconds(), judgeLag, judgeMost) // CollectRows reports the error
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[failing])
	if err != nil {
		return fmt.Errorf("look for failing destinations: %w", err)
	}
	ctx = eventstore.WithMetadata(ctx, eventstore.Metadata{Actor: "attempter"})
	for _, f := range found {
		if err := f.carryOut(ctx, cfg); err != nil {
			return fmt.Errorf("judge destination %s: %w", f.Destination, err)
		}
	}
	return nil
}

// carryOut records what the verdict comes to, if nobody was faster, and says so in the log.
func (f failing) carryOut(ctx context.Context, cfg Config) error {
	log := cfg.Log.With(slog.String("delivery", string(f.Delivery)), slog.String("destination", string(f.Destination)))
	switch f.Verdict {
	case recovered:
		o, err := eventstore.Execute(ctx, cfg.Store, domain.RecordRecovery{
			Delivery: f.Delivery, Destination: f.Destination, FailingSince: f.BrokenSince.UTC(),
		})
		if err != nil || o.Commit.Position == 0 {
			return err
		}
		log.LogAttrs(ctx, slog.LevelInfo, "destination recovered", slog.Time("failing_since", o.State.FailingSince))
	case toEnable:
		o, err := eventstore.Execute(ctx, cfg.Store, domain.RecoverDestination{
			Delivery: f.Delivery, Destination: f.Destination, Revision: f.Revision,
		})
		if err != nil || o.Commit.Position == 0 {
			return err
		}
		log.LogAttrs(ctx, slog.LevelInfo, "destination enabled again")
	case toDisable:
		o, err := eventstore.Execute(ctx, cfg.Store, domain.GiveUpDestination{
			Delivery: f.Delivery, Destination: f.Destination, Revision: f.Revision,
			Exhausted: f.Exhausted, FailingSince: *f.Since, Tolerance: cfg.Tolerance,
		})
		if err != nil || o.Commit.Position == 0 {
			return err
		}
		reason := o.State.Destinations[f.Destination].DisabledReason
		log.LogAttrs(ctx, slog.LevelWarn, "destination disabled", slog.String("reason", reason))
	}
	return nil
}
