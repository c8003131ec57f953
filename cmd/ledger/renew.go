package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// renew rebuilds read models whose tables an older build made, before they are read or followed. The
// next start goes on where this one is cut short.
func (e *engine) renew(ctx context.Context) error {
	for _, p := range projections.All() {
		var told time.Time
		err := projections.Renew(ctx, e.pool, e.reader(), p, func(done, total eventstore.Position) {
			if now := time.Now(); now.Sub(told) >= linesEvery {
				told = now
				e.log.LogAttrs(ctx, slog.LevelInfo, "rebuilding a read model of an older version",
					slog.String("follower", p.Name), slog.Int64("done", int64(done)), slog.Int64("total", int64(total)))
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
