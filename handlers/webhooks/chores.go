package webhooks

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// A chore is what a worker does every now and then, besides claiming.
type chore struct {
	every time.Duration
	do    func(context.Context) error
	done  time.Time // last
}

// chores are all of them.
type chores []*chore

// chores returns what s has to do.
func (s *subscriber) chores() chores {
	absent := map[uuid.UUID]int{}
	return chores{
		{every: 250 * time.Millisecond, do: s.release},
		{every: time.Minute, do: s.leases.sweep},
		{every: 10 * time.Minute, do: func(ctx context.Context) error { return sweepSecrets(ctx, s.cfg.Pool) }},
		{every: time.Second, do: func(ctx context.Context) error { return judge(ctx, s.cfg) }},
		{every: presenceLook, do: func(ctx context.Context) error { return s.leases.end(ctx, absent) }},
	}
}

// do does those that it is time for, until one fails.
func (c chores) do(ctx context.Context, now time.Time) error {
	for _, chore := range c {
		if now.Sub(chore.done) <= chore.every {
			continue
		}
		chore.done = now
		if err := chore.do(ctx); err != nil {
			return err
		}
	}
	return nil
}
