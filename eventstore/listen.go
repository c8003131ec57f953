package eventstore

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Channel is the one on which a database's processes tell each other how far the log and
// its followers have come: the follower's name, empty for the log, a space, the position.
const Channel = "ledger"

// relisten is how long Listen waits before it connects again.
const relisten = 250 * time.Millisecond

// Listen raises the store's marks as other processes append and apply, until ctx is done;
// it returns nil then. It holds one connection, and gets itself another one when that is
// lost. Without it the marks only show what this process does, and followers notice events
// of other processes at their next poll.
func (s *Store) Listen(ctx context.Context, log *slog.Logger) error {
	for ctx.Err() == nil {
		if err := s.listen(ctx); err != nil && ctx.Err() == nil {
			log.LogAttrs(ctx, slog.LevelWarn, "listening to the log was interrupted", slog.Any("error", err))
			select {
			case <-time.After(relisten):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// listen raises marks until the connection is lost.
func (s *Store) listen(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `LISTEN `+Channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	head, err := s.Head(ctx) // what was told before
	if err != nil {
		return err
	}
	s.Mark("").Raise(head)
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait for notification: %w", err)
		}
		follower, at, _ := strings.Cut(n.Payload, " ")
		if pos, err := strconv.ParseInt(at, 10, 64); err == nil {
			s.Mark(follower).Raise(Position(pos))
		}
	}
}
