package eventstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"github.com/google/uuid"
)

// encode encodes what has arrived until there is no more, and puts it where it waits for a
// group. One goroutine does it for all callers, while Postgres writes the group before: a
// thousand callers that each did it at once would leave no processor to whoever feeds Postgres.
func (s *Store) encode() {
	for arrived := s.queue.arrivals(); len(arrived) > 0; arrived = s.queue.arrivals() {
		for _, b := range arrived {
			s.encodeBatch(b)
			if b.events == 0 {
				s.queue.finish([]*batch{b}, success)
			} else if s.queue.put(b) {
				go s.lead()
			}
		}
		runtime.Gosched() // callers who are about to arrive are met by this goroutine, not by a new one
	}
}

// encodeBatch encodes the members of b.
func (s *Store) encodeBatch(b *batch) {
	for i := range b.members {
		m := &b.members[i]
		if err := s.encodeMember(m, b.metadata); err != nil {
			m.records, m.verdict.Err = nil, fmt.Errorf("append to %s: %w", m.Stream, err)
			continue
		}
		b.events += len(m.records)
		for i := range m.records {
			b.bytes += len(m.records[i].Data)
		}
	}
}

// A member is one append of a batch.
type member struct {
	Append
	records []Record // encoded, without what the commit gives them; none when that failed
	verdict Result   // as decided, not committed; its leader's alone
}

// A recordKey is what an event is recognised by when it is appended again.
type recordKey struct {
	stream string
	id     uuid.UUID
}

// key returns that of the last event.
func (m *member) key() recordKey { return recordKey{m.Stream, m.records[len(m.records)-1].ID} }

// encodeMember makes the records of m. What Postgres would refuse is refused here, since one bad
// event would cost its whole group a second try.
func (s *Store) encodeMember(m *member, metadata json.RawMessage) error {
	if m.Stream == "" || len(m.Events) == 0 {
		return errors.New("an append needs a stream and events")
	}
	if !utf8.ValidString(m.Stream) || strings.ContainsRune(m.Stream, 0) {
		return errors.New("the name of a stream must be text")
	}
	id := m.ID
	if id == uuid.Nil {
		var err error
		if id, err = uuid.NewV7FromReader(s.ids); err != nil {
			return err
		}
	}
	m.records = make([]Record, len(m.Events))
	for i, e := range m.Events {
		data, err := encodeJSON(e)
		if err != nil {
			return err
		}
		m.records[i] = Record{
			ID: eventID(id, i), SchemaVersion: versionOf(e), Stream: m.Stream,
			Type: e.EventType(), Data: data, Metadata: metadata,
		}
	}
	return nil
}

// eventID returns the ID of the n-th event of an append: the append's own for the first.
func eventID(id uuid.UUID, n int) uuid.UUID {
	if n == 0 {
		return id
	}
	return uuid.NewSHA1(id, []byte{byte(n >> 8), byte(n)})
}

// encoding is how events are stored: as encoding/json has it, but that text is kept as it was
// written, since the escapes made for the sake of HTML would go out to customers, and that what
// is no text is an error.
var encoding = jsonv2.JoinOptions(
	jsonv1.DefaultOptionsV1(), jsontext.EscapeForHTML(false), jsontext.EscapeForJS(false), jsontext.AllowInvalidUTF8(false),
)

// encodeJSON returns what is stored of v.
func encodeJSON(v any) (json.RawMessage, error) {
	data, err := jsonv2.Marshal(v, encoding)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return data, nil
}
