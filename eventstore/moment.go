package eventstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrYetToCome is what a moment fails with that the log has not reached: its position is beyond the end, or its
// time has not passed.
var ErrYetToCome = errors.New("it is yet to come")

// errNoMoment is why a text is no moment.
var errNoMoment = errors.New("a moment is a position of the log such as 1200, or a time such as 2026-01-31T12:00:00Z")

// A Moment is one in the log's history: after the event at a position, or at a time. The zero value is before all.
type Moment struct {
	position Position
	time     time.Time // zero: the position counts
}

// UnmarshalText reads a position, or a time in RFC 3339.
func (m *Moment) UnmarshalText(text []byte) error {
	if n, err := strconv.ParseUint(string(text), 10, 63); err == nil {
		*m = Moment{position: Position(n)}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return errNoMoment
	}
	*m = Moment{time: t}
	return nil
}

// AsOf returns the position of the last event that was in the log at a moment, 0 when there was none. What it
// returns stays true for ever: it fails with [ErrYetToCome] for a moment by which events may still be recorded.
// Times are by the database's clock.
func (s *Store) AsOf(ctx context.Context, m Moment) (Position, error) {
	const (
		end     = `SELECT position, $1 <= recorded_at AS reached FROM log_head`
		settled = `SELECT position, $1 <= clock_timestamp() AS reached FROM log_head FOR SHARE` // waits for appends under way
	)
	head, err := s.headAt(ctx, end, m.time)
	if err == nil && !head.Reached {
		head, err = s.headAt(ctx, settled, m.time)
	}
	switch {
	case err != nil:
		return 0, err
	case !head.Reached:
		return 0, fmt.Errorf("time %s: %w", m.time.Format(time.RFC3339Nano), ErrYetToCome)
	case m.position > head.Position:
		return 0, fmt.Errorf("position %d, and the log ends at %d: %w", m.position, head.Position, ErrYetToCome)
	case m.time.IsZero():
		return m.position, nil
	}
	return s.PositionAt(ctx, m.time)
}

// A reachedHead is the end of the log, and whether a time has passed there.
type reachedHead struct {
	Position Position
	Reached  bool
}

// headAt returns what one of AsOf's queries does.
func (s *Store) headAt(ctx context.Context, query string, t time.Time) (reachedHead, error) {
	rows, _ := s.pool.Query(ctx, query, t) // CollectExactlyOneRow reports the error
	head, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[reachedHead])
	if err != nil {
		return head, fmt.Errorf("read head of log: %w", err)
	}
	return head, nil
}
