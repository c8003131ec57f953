package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Bounds of a group's transaction.
const (
	groupTimeout = 10 * time.Second       // then its connection is given up,
	slowest      = 1 << 20                // or later, by a second for so many bytes
	shortestWait = 10 * time.Millisecond  // before it is tried again
	longestWait  = 500 * time.Millisecond // likewise, in the end
	latestWake   = 5 * time.Millisecond   // of its callers after the commit
)

// lead commits groups until the queue is empty. A group whose transaction broke goes back
// to the queue: events that were committed all the same are recognised by their IDs.
//
// Hundreds of callers that wake want the processors at once. When a next group waits, they are
// therefore woken when Postgres has its rows to write, not while it waits for them.
func (s *Store) lead() {
	wait := shortestWait
	wake := func() {} // the callers of the group before
	for group := s.queue.take(); len(group) > 0; group = s.queue.take() {
		latest := time.AfterFunc(latestWake, wake)
		err := s.commitGroup(group, wake)
		latest.Stop()
		wake()
		wake = func() {}
		switch {
		case err == nil:
			wait = shortestWait
			wake = sync.OnceFunc(func() { s.queue.finish(group, success) })
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
	wake()
}

// commitAlone commits b by itself, so that its fault hits nobody else.
func (s *Store) commitAlone(b *batch) {
	switch err := s.commitGroup([]*batch{b}, func() {}); {
	case err == nil:
		s.queue.finish([]*batch{b}, success)
	case IsUnavailable(err):
		s.queue.putBack([]*batch{b})
	default:
		s.queue.finish([]*batch{b}, failure(err))
	}
}

// success enters what was decided, and who could not be encoded, as the results of a batch.
func success(b *batch) {
	for i := range b.members {
		b.results[i] = b.members[i].verdict
	}
}

// failure returns what enters err instead of what was decided.
func failure(err error) func(*batch) {
	return func(b *batch) {
		for i := range b.members {
			m := &b.members[i]
			if len(m.records) > 0 {
				m.verdict = Result{Err: fmt.Errorf("append to %s: %w", m.Stream, err)}
			}
		}
		success(b)
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
// one transaction of three round trips. An error means that none was, or that it is not known;
// the connection then goes, and with it what it had begun.
//
// It calls sent when Postgres has the rows to write, or not at all when there are none.
//
// Most appends begin a stream, and looking for what is not there costs a quarter of a group's
// time. So they are taken at their word: the table's uniqueness finds out when one was mistaken
// (Postgres logs that as an error), and the group is decided again, with every stream looked
// up; as are the next ones, while mistakes go on.
func (s *Store) commitGroup(group []*batch, sent func()) error {
	bytes := 0
	for _, b := range group {
		bytes += b.bytes
	}
	ctx, cancel := context.WithTimeout(context.Background(), groupTimeout+time.Duration(bytes/slowest)*time.Second)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // closes it when a transaction is open
	d := newDecision(group, s.doubtful)
	err = d.run(ctx, conn.Conn(), sent)
	if !s.doubtful && isTaken(err) {
		if _, err := conn.Exec(ctx, rollback); err != nil {
			return err
		}
		d = newDecision(group, true)
		err = d.run(ctx, conn.Conn(), sent)
	}
	if err != nil {
		return err
	}
	s.doubtful = d.mistaken()
	s.metrics.group(len(d.accepted))
	s.Mark("").Raise(d.head.position)
	return nil
}

// isTaken reports whether err says that a stream already has an event of some version.
func isTaken(err error) bool {
	const uniqueViolation = "23505"
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == uniqueViolation
}

// A decision is the work on one group.
type decision struct {
	members  []*member
	streams  []string           // to be looked up
	versions map[string]Version // of all streams, as decided so far; 0 for those not looked up
	head     head               // likewise
	refused  []*member
	accepted []*Record
}

// newDecision returns the work on group. Unless it is doubtful, streams that their members
// say are new are not looked up.
func newDecision(group []*batch, doubtful bool) *decision {
	n := 0
	for _, b := range group {
		n += len(b.members)
	}
	d := &decision{members: make([]*member, 0, n), versions: make(map[string]Version, n), accepted: make([]*Record, 0, n)}
	name := func(stream string) {
		if _, ok := d.versions[stream]; !ok {
			d.versions[stream] = 0
			d.streams = append(d.streams, stream)
		}
	}
	for _, b := range group {
		for i := range b.members {
			m := &b.members[i]
			if len(m.records) == 0 {
				continue
			}
			d.members = append(d.members, m)
			if doubtful || m.Expected != 0 {
				name(m.Stream)
			}
			for g := &m.Guard; g != nil && g.Stream != ""; g = g.And {
				name(g.Stream)
			}
		}
	}
	return d
}

// run decides and commits.
func (d *decision) run(ctx context.Context, conn *pgx.Conn, sent func()) error {
	if err := d.begin(ctx, conn); err != nil {
		return err
	}
	d.decide()
	if err := d.findRepeats(ctx, conn); err != nil {
		return err
	}
	return d.commit(ctx, conn, sent)
}

// mistaken reports whether a member was refused that said its stream was new.
func (d *decision) mistaken() bool {
	return slices.ContainsFunc(d.refused, func(m *member) bool { return m.Expected == 0 })
}

// begin begins the transaction, takes the lock, in a statement of its own so that what is
// read after it is what the last holder left, and reads the streams' versions.
func (d *decision) begin(ctx context.Context, conn *pgx.Conn) error {
	const (
		begin    = `BEGIN ISOLATION LEVEL READ COMMITTED`
		once     = `SET LOCAL plan_cache_mode = force_generic_plan` // each statement is planned once for a connection
		lock     = `SELECT position, recorded_at, hash, clock_timestamp() FROM log_head FOR UPDATE`
		versions = `
			SELECT coalesce((SELECT e.version FROM events e WHERE e.stream = s.stream ORDER BY e.version DESC LIMIT 1), 0)
			FROM unnest($1::text[]) WITH ORDINALITY AS s(stream, n)
			ORDER BY n`
	)
	var q pgx.Batch
	q.Queue(begin)
	q.Queue(once)
	q.Queue(lock).QueryRow(func(row pgx.Row) error {
		return row.Scan(&d.head.position, &d.head.recordedAt, &d.head.hash, &d.head.now)
	})
	if len(d.streams) > 0 {
		q.Queue(versions, d.streams).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowTo[Version])
			for i, v := range found {
				d.versions[d.streams[i]] = v
			}
			return err
		})
	}
	return conn.SendBatch(ctx, &q).Close()
}

// decide accepts or refuses each member and gives the accepted their places.
func (d *decision) decide() {
	for _, m := range d.members {
		if stream, expected, ok := d.conflict(m); ok {
			m.verdict = Result{Err: &ConflictError{Stream: stream, Expected: expected, Actual: d.versions[stream]}}
			d.refused = append(d.refused, m)
			continue
		}
		for i := range m.records {
			rec := &m.records[i]
			d.head.position++
			d.versions[m.Stream]++
			d.head.recordedAt = later(d.head.now, d.head.recordedAt)
			rec.Position, rec.Version, rec.RecordedAt = d.head.position, d.versions[m.Stream], d.head.recordedAt
			d.accepted = append(d.accepted, rec)
		}
		m.verdict = Result{Commit: Commit{Position: d.head.position, Version: d.versions[m.Stream], RecordedAt: d.head.recordedAt}}
	}
}

// conflict returns the stream that is not where m expects it, and the version expected.
func (d *decision) conflict(m *member) (string, Version, bool) {
	if d.versions[m.Stream] != m.Expected {
		return m.Stream, m.Expected, true
	}
	for g := &m.Guard; g != nil && g.Stream != ""; g = g.And {
		if d.versions[g.Stream] != g.Version {
			return g.Stream, g.Version, true
		}
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

// findRepeats turns the refusal of members that were committed before under the same IDs, or
// are about to be with this group, into their first outcome.
func (d *decision) findRepeats(ctx context.Context, conn *pgx.Conn) error {
	const query = `
		SELECT e.stream, e.id, e.position, e.version, e.recorded_at
		FROM unnest($1::text[], $2::uuid[]) AS r(stream, id)
		JOIN events e ON e.stream = r.stream AND e.id = r.id`
	if len(d.refused) == 0 {
		return nil
	}
	first := map[recordKey]Commit{}
	for _, m := range d.members {
		if m.verdict.Err == nil {
			first[m.key()] = m.verdict.Commit
		}
	}
	streams, ids := make([]string, len(d.refused)), make([]uuid.UUID, len(d.refused))
	for i, m := range d.refused {
		streams[i], ids[i] = m.Stream, m.key().id
	}
	rows, _ := conn.Query(ctx, query, streams, ids) // ForEachRow reports the error
	var k recordKey
	var c Commit
	_, err := pgx.ForEachRow(rows, []any{&k.stream, &k.id, &c.Position, &c.Version, &c.RecordedAt}, func() error {
		first[k] = c
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range d.refused {
		if c, ok := first[m.key()]; ok {
			m.verdict = Result{Commit: c}
		}
	}
	return nil
}

// rollback ends a transaction that is to leave nothing.
const rollback = `ROLLBACK`

// commit inserts the accepted events, moves the head, tells who listens, and commits.
func (d *decision) commit(ctx context.Context, conn *pgx.Conn, sent func()) error {
	const (
		move   = `UPDATE log_head SET position = $1, recorded_at = $2, hash = $3`
		tell   = `SELECT pg_notify($1, ' ' || $2::bigint)`
		commit = `COMMIT`
	)
	if len(d.accepted) == 0 {
		_, err := conn.Exec(ctx, rollback)
		return err
	}
	hash, err := copyRecords(ctx, conn.PgConn(), d.accepted, d.head.hash, sent)
	if err != nil {
		return err
	}
	var q pgx.Batch
	q.Queue(move, d.head.position, d.head.recordedAt, hash)
	q.Queue(tell, Channel, d.head.position)
	q.Queue(commit)
	return conn.SendBatch(ctx, &q).Close()
}
