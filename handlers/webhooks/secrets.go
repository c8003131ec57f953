package webhooks

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// sweepSecrets deletes the secrets of destinations ("sec_…") that none names: those of destinations that were
// removed or got another, those whose overlap has ended, and those that were put for a change that
// then was refused.
//
// A secret is put before an event names it, and an attempt under way may still open one that was
// replaced. So one is looked at when it is an hour old, marked when no destination names it, and
// deleted when it has been marked for an hour. Nothing is marked or deleted while the read model
// is half an hour behind the log: it might not show yet who names a secret.
func sweepSecrets(ctx context.Context, pool *pgxpool.Pool) error {
	const (
		needed = `
			SELECT config->>'auth_secret' AS id FROM dispatch_targets WHERE NOT removed
			UNION ALL
			SELECT config->>'signing_secret' FROM dispatch_targets WHERE NOT removed
			UNION ALL
			SELECT config->>'former_signing_secret' FROM dispatch_targets
			WHERE NOT removed AND (config->>'former_signing_ends')::timestamptz > now()`
		current = `EXISTS (
			SELECT FROM cursors c
			CROSS JOIN log_head h
			LEFT JOIN events e ON e.position = c.position
			WHERE c.name = 'dispatches' AND (c.position = h.position OR e.recorded_at > now() - interval '30 minutes')
		)`
		keep = `
			UPDATE secrets SET unneeded_since = NULL
			WHERE unneeded_since IS NOT NULL AND id IN (` + needed + `)`
		mark = `
			UPDATE secrets s SET unneeded_since = now()
			WHERE unneeded_since IS NULL AND starts_with(id, 'sec_') AND created_at < now() - interval '1 hour' AND ` + current + `
				AND NOT EXISTS (SELECT FROM (` + needed + `) AS n WHERE n.id = s.id)`
		remove = `
			DELETE FROM secrets s
			WHERE unneeded_since < now() - interval '1 hour' AND ` + current + `
				AND NOT EXISTS (SELECT FROM (` + needed + `) AS n WHERE n.id = s.id)`
	)
	var q pgx.Batch
	for _, statement := range []string{keep, mark, remove} {
		q.Queue(statement)
	}
	if err := pool.SendBatch(ctx, &q).Close(); err != nil {
		return fmt.Errorf("sweep secrets: %w", err)
	}
	return nil
}
