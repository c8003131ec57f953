package eventstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Querier is a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// scanRecord reads a row of columns. JSON is taken as it is: pgx would check and copy a
// [json.RawMessage] by unmarshalling it.
func scanRecord(row pgx.CollectableRow) (r Record, err error) {
	err = row.Scan(&r.Position, &r.Version, &r.RecordedAt, &r.ID, &r.SchemaVersion, &r.Stream, &r.Type,
		(*[]byte)(&r.Data), (*[]byte)(&r.Metadata), &r.Hash)
	return r, err
}

// ReadStream returns the whole of stream, oldest first; none when it does not exist.
func (s *Store) ReadStream(ctx context.Context, stream string) ([]Record, error) {
	streams, err := s.readStreams(ctx, []string{stream})
	return streams[stream], err
}

// ReadStreamsAsOf returns those records of each stream that are at a position or before, oldest first. What came later
// is read too, and left out.
func (s *Store) ReadStreamsAsOf(ctx context.Context, at Position, streams []string) (map[string][]Record, error) {
	byStream, err := s.readStreams(ctx, streams)
	for stream, records := range byStream {
		end := slices.IndexFunc(records, func(r Record) bool { return r.Position > at })
		if end >= 0 {
			byStream[stream] = records[:end]
		}
	}
	return byStream, err
}

// readStreams returns the records of each stream, oldest first.
func (s *Store) readStreams(ctx context.Context, streams []string) (map[string][]Record, error) {
	const query = `SELECT ` + columns + ` FROM events WHERE stream = ANY ($1) ORDER BY stream, version`
	rows, _ := s.pool.Query(ctx, query, streams) // CollectRows reports the error
	records, err := pgx.CollectRows(rows, scanRecord)
	if err != nil {
		return nil, fmt.Errorf("read %d streams: %w", len(streams), err)
	}
	byStream := make(map[string][]Record, len(streams))
	for _, rec := range records {
		byStream[rec.Stream] = append(byStream[rec.Stream], rec)
	}
	return byStream, nil
}

// ReadPage returns the records at positions from first to last, in order. When types are
// given it returns only those of these types.
func ReadPage(ctx context.Context, q Querier, first, last Position, types ...string) ([]Record, error) {
	const (
		all  = `SELECT ` + columns + ` FROM events WHERE position BETWEEN $1 AND $2 ORDER BY position`
		some = `SELECT ` + columns + ` FROM events WHERE position BETWEEN $1 AND $2 AND type = ANY ($3) ORDER BY position`
	)
	var rows pgx.Rows
	if len(types) == 0 {
		rows, _ = q.Query(ctx, all, first, last) // CollectRows reports the error
	} else {
		rows, _ = q.Query(ctx, some, first, last, types)
	}
	records, err := pgx.CollectRows(rows, scanRecord)
	if err != nil {
		return nil, fmt.Errorf("read positions %d to %d: %w", first, last, err)
	}
	return records, nil
}

// ReadAt returns the records at positions, in order.
func ReadAt(ctx context.Context, q Querier, positions []Position) ([]Record, error) {
	const query = `SELECT ` + columns + ` FROM events WHERE position = ANY ($1) ORDER BY position`
	rows, _ := q.Query(ctx, query, positions) // CollectRows reports the error
	records, err := pgx.CollectRows(rows, scanRecord)
	if err != nil {
		return nil, fmt.Errorf("read %d positions: %w", len(positions), err)
	}
	return records, nil
}

// PositionsOf returns where the events of all those streams are, in order. It costs a look-up for each
// stream, be it there or not.
func PositionsOf(ctx context.Context, q Querier, streams []string) ([]Position, error) {
	const query = `
		SELECT e.position
		FROM unnest($1::text[]) AS s(stream)
		CROSS JOIN LATERAL (
			SELECT position FROM events
			WHERE stream = s.stream
			OFFSET 0 -- a look-up for each, whatever the planner thinks of their number
		) AS e
		ORDER BY e.position`
	rows, _ := q.Query(ctx, query, streams) // CollectRows reports the error
	positions, err := pgx.CollectRows(rows, pgx.RowTo[Position])
	if err != nil {
		return nil, fmt.Errorf("find events of %d streams: %w", len(streams), err)
	}
	return positions, nil
}

// ReadPage returns up to limit records after a position, in order.
func (s *Store) ReadPage(ctx context.Context, after Position, limit int) ([]Record, error) {
	return ReadPage(ctx, s.pool, after+1, after+Position(limit))
}

// PositionAt returns the position of the last event recorded at or before t, 0 when there
// is none. It costs a look-up for each halving of the log: times rise with positions.
func (s *Store) PositionAt(ctx context.Context, t time.Time) (Position, error) {
	const query = `
		WITH RECURSIVE search AS (
			SELECT 0::bigint AS low, position AS high FROM log_head
			UNION ALL
			SELECT
				CASE WHEN before THEN middle ELSE low END,
				CASE WHEN before THEN high ELSE middle - 1 END
			FROM search
			CROSS JOIN LATERAL (
				SELECT e.position AS middle, e.recorded_at <= $1 AS before
				FROM events e
				WHERE e.position = (low + high + 1) / 2
			) AS probe
			WHERE low < high
		)
		SELECT low FROM search WHERE low = high`
	var at Position
	rows, _ := s.pool.Query(ctx, query, t) // CollectExactlyOneRow reports the error
	at, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[Position])
	if err != nil {
		return 0, fmt.Errorf("find position at %s: %w", t.Format(time.RFC3339Nano), err)
	}
	return at, nil
}
