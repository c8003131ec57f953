package eventstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Bounds of a group's transaction.
const (
	groupTimeout = 10 * time.Second       // then its connection is given up
	shortestWait = 10 * time.Millisecond  // before it is tried again
	longestWait  = 500 * time.Millisecond // likewise, in the end
)

// enqueue adds b to the queue and sees to it that somebody commits it.
func (s *Store) enqueue(b *batch) {
	if s.queue.put(b) {
		go s.lead()
	}
}

// lead commits groups until the queue is empty. A group whose transaction broke goes back
// to the queue: events that were committed all the same are recognised by their IDs.
func (s *Store) lead() {
	wait := shortestWait
	for group := s.queue.take(); len(group) > 0; group = s.queue.take() {
		switch verdicts, err := s.commitGroup(group); {
		case err == nil:
			wait = shortestWait
			s.queue.finish(group, verdicts.write)
		case IsUnavailable(err):
			s.queue.putBack(group)
			time.Sleep(wait)
			wait = min(2*wait, longestWait)
		case len(group) > 1: // somebody in there is not acceptable to Postgres: find out who
			for _, b := range group {
				s.commitAlone(b)
			}
		default:
			s.queue.finish(group, failure(err))
		}
	}
}

// commitAlone commits b by itself, so that its fault hits nobody else.
func (s *Store) commitAlone(b *batch) {
	verdicts, err := s.commitGroup([]*batch{b})
	switch {
	case err == nil:
		s.queue.finish([]*batch{b}, verdicts.write)
	case IsUnavailable(err):
		s.queue.putBack([]*batch{b})
	default:
		s.queue.finish([]*batch{b}, failure(err))
	}
}

// verdicts are the results of a group's members.
type verdicts map[*member]Result

// write enters the results of b's members.
func (v verdicts) write(b *batch) {
	for _, m := range b.members {
		*m.result = v[m]
	}
}

// failure returns what enters err as the result of each of a batch's members.
func failure(err error) func(*batch) {
	return func(b *batch) {
		for _, m := range b.members {
			m.result.Err = fmt.Errorf("append to %s: %w", m.Stream, err)
		}
	}
}

// head is the end of the log.
type head struct {
	position   Position
	recordedAt time.Time
	hash       []byte
	now        time.Time // by the database's clock
}

// commitGroup decides on each member of the group and commits those that are accepted, in
// one transaction. An error means that none was, or that it is not known.
func (s *Store) commitGroup(group []*batch) (verdicts, error) {
	ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
	defer cancel()

	var g decision
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		g = newDecision(group)
		if err := g.read(ctx, tx); err != nil {
			return err
		}
		g.decide()
		if err := g.findRepeats(ctx, tx); err != nil {
			return err
		}
		return g.write(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	s.metrics.group(len(g.accepted))
	s.Mark("").Raise(g.head.position)
	return g.verdicts, nil
}

// A decision is the work on one group.
type decision struct {
	members  []*member
	streams  []string
	versions map[string]Version // of the streams named, as decided so far
	head     head               // likewise
	refused  []*member
	accepted []*Record
	verdicts verdicts
}

// newDecision returns the work on group, with the streams that it names.
func newDecision(group []*batch) decision {
	d := decision{versions: map[string]Version{}, verdicts: verdicts{}}
	name := func(stream string) {
		if _, ok := d.versions[stream]; !ok {
			d.versions[stream] = 0
			d.streams = append(d.streams, stream)
		}
	}
	for _, b := range group {
		for _, m := range b.members {
			d.members = append(d.members, m)
			name(m.Stream)
			if m.Guard != (Guard{}) {
				name(m.Guard.Stream)
			}
		}
	}
	return d
}

// read takes the lock, in a statement of its own so that what is read after it is what the
// last holder left, and reads the streams' versions.
func (d *decision) read(ctx context.Context, tx pgx.Tx) error {
	const (
		lock     = `SELECT position, recorded_at, hash, clock_timestamp() FROM log_head FOR UPDATE`
		versions = `
			SELECT coalesce((SELECT e.version FROM events e WHERE e.stream = s.stream ORDER BY e.version DESC LIMIT 1), 0)
			FROM unnest($1::text[]) WITH ORDINALITY AS s(stream, n)
			ORDER BY n`
	)
	var q pgx.Batch
	q.Queue(lock).QueryRow(func(row pgx.Row) error {
		return row.Scan(&d.head.position, &d.head.recordedAt, &d.head.hash, &d.head.now)
	})
	q.Queue(versions, d.streams).Query(func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, pgx.RowTo[Version])
		for i, v := range found {
			d.versions[d.streams[i]] = v
		}
		return err
	})
	return tx.SendBatch(ctx, &q).Close()
}

// decide accepts or refuses each member and gives the accepted their places.
func (d *decision) decide() {
	h := sha256.New()
	for _, m := range d.members {
		if stream, expected, ok := d.conflict(m); ok {
			d.verdicts[m] = Result{Err: &ConflictError{Stream: stream, Expected: expected, Actual: d.versions[stream]}}
			d.refused = append(d.refused, m)
			continue
		}
		for i := range m.records {
			rec := &m.records[i]
			d.head.position++
			d.versions[m.Stream]++
			d.head.recordedAt = later(d.head.now, d.head.recordedAt)
			rec.Position, rec.Version, rec.RecordedAt = d.head.position, d.versions[m.Stream], d.head.recordedAt
			rec.Hash = chain(h, d.head.hash, rec)
			d.head.hash = rec.Hash
			d.accepted = append(d.accepted, rec)
		}
		d.verdicts[m] = Result{Commit: Commit{Position: d.head.position, Version: d.versions[m.Stream], RecordedAt: d.head.recordedAt}}
	}
}

// conflict returns the stream that is not where m expects it, and the version expected.
func (d *decision) conflict(m *member) (string, Version, bool) {
	if d.versions[m.Stream] != m.Expected {
		return m.Stream, m.Expected, true
	}
	if m.Guard != (Guard{}) && d.versions[m.Guard.Stream] != m.Guard.Version {
		return m.Guard.Stream, m.Guard.Version, true
	}
	return "", 0, false
}

// later returns now, or the microsecond after last if that is later.
func later(now, last time.Time) time.Time {
	now = now.UTC().Truncate(time.Microsecond)
	if now.After(last) {
		return now
	}
	return last.UTC().Add(time.Microsecond)
}

// findRepeats turns the refusal of members that were committed before, under the same IDs,
// into their first outcome.
func (d *decision) findRepeats(ctx context.Context, tx pgx.Tx) error {
	const query = `
		SELECT e.stream, e.id, e.position, e.version, e.recorded_at
		FROM unnest($1::text[], $2::uuid[]) AS r(stream, id)
		JOIN events e ON e.stream = r.stream AND e.id = r.id`
	if len(d.refused) == 0 {
		return nil
	}
	type key struct {
		stream string
		id     uuid.UUID
	}
	repeated := make(map[key]*member, len(d.refused))
	streams, ids := make([]string, len(d.refused)), make([]uuid.UUID, len(d.refused))
	for i, m := range d.refused {
		last := m.records[len(m.records)-1]
		streams[i], ids[i] = last.Stream, last.ID
		repeated[key{last.Stream, last.ID}] = m
	}
	rows, _ := tx.Query(ctx, query, streams, ids) // ForEachRow reports the error
	var k key
	var c Commit
	_, err := pgx.ForEachRow(rows, []any{&k.stream, &k.id, &c.Position, &c.Version, &c.RecordedAt}, func() error {
		d.verdicts[repeated[k]] = Result{Commit: c}
		return nil
	})
	return err
}

// write inserts the accepted events, moves the head and tells who listens.
func (d *decision) write(ctx context.Context, tx pgx.Tx) error {
	const (
		insert = `
			INSERT INTO events (position, version, recorded_at, id, schema_version, stream, type, data, metadata, hash)
			SELECT position, version, recorded_at, id, schema_version, stream, type, data::json, metadata::json, hash
			FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::smallint[],
				$6::text[], $7::text[], $8::text[], $9::text[], $10::bytea[])
				AS e(position, version, recorded_at, id, schema_version, stream, type, data, metadata, hash)`
		move = `UPDATE log_head SET position = $1, recorded_at = $2, hash = $3`
		tell = `SELECT pg_notify($1, ' ' || $2::bigint)`
	)
	if len(d.accepted) == 0 {
		return nil
	}
	c := newColumnsOf(d.accepted)
	var q pgx.Batch
	q.Queue(insert, c.positions, c.versions, c.times, c.ids, c.schemas, c.streams, c.types, c.data, c.metadata, c.hashes)
	q.Queue(move, d.head.position, d.head.recordedAt, d.head.hash)
	q.Queue(tell, Channel, d.head.position)
	return tx.SendBatch(ctx, &q).Close()
}

// columnsOf are records turned on their side, as an insert wants them.
type columnsOf struct {
	positions, versions []int64
	times               []time.Time
	ids                 []uuid.UUID
	schemas             []int16
	streams, types      []string
	data, metadata      []string
	hashes              [][]byte
}

// newColumnsOf returns the columns of records.
func newColumnsOf(records []*Record) *columnsOf {
	n := len(records)
	c := &columnsOf{
		positions: make([]int64, n), versions: make([]int64, n), times: make([]time.Time, n),
		ids: make([]uuid.UUID, n), schemas: make([]int16, n), streams: make([]string, n), types: make([]string, n),
		data: make([]string, n), metadata: make([]string, n), hashes: make([][]byte, n),
	}
	for i, r := range records {
		c.positions[i], c.versions[i], c.times[i] = int64(r.Position), int64(r.Version), r.RecordedAt
		c.ids[i], c.schemas[i], c.streams[i], c.types[i] = r.ID, r.SchemaVersion, r.Stream, r.Type
		c.data[i], c.metadata[i], c.hashes[i] = string(r.Data), string(r.Metadata), r.Hash
	}
	return c
}
