package follower

import (
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
)

// pages shows watermill-sql the log as messages, a page each. It is used by the subscriber's
// one goroutine.
type pages struct {
	*Follower
	news *news
}

// SelectQuery asks for the follower's cursor and for the head of the log. It locks the
// cursor, unless another process holds it, or it is of another version: then it is null.
func (p pages) SelectQuery(wsql.SelectQueryParams) (wsql.Query, error) {
	const query = `
		WITH own AS MATERIALIZED (
			SELECT position FROM cursors WHERE name = $1 AND version = $2 FOR UPDATE SKIP LOCKED
		)
		SELECT (SELECT position FROM own), (SELECT version FROM cursors WHERE name = $1), position
		FROM log_head`
	p.news.look()
	return wsql.Query{Query: query, Args: []any{p.cfg.Name, p.cfg.Version}}, nil
}

// UnmarshalMessage makes the message of a page, and returns [sql.ErrNoRows] when there is
// none.
func (p pages) UnmarshalMessage(params wsql.UnmarshalMessageParams) (wsql.Row, error) {
	var own, version *int64
	var head int64
	if err := params.Row.Scan(&own, &version, &head); err != nil {
		return wsql.Row{}, fmt.Errorf("look for the next page: %w", err)
	}
	p.news.standby = own == nil
	p.overtake(version != nil && *version > int64(p.cfg.Version))
	switch {
	case version != nil && *version < int64(p.cfg.Version):
		return wsql.Row{}, fmt.Errorf("the tables of %s are of version %d, this build's of version %d: rebuild them",
			p.cfg.Name, *version, p.cfg.Version)
	case own == nil, *own >= head:
		return wsql.Row{}, sql.ErrNoRows
	}
	last := min(*own+int64(p.cfg.Page), head)
	p.news.ended = last == head
	msg := message.NewMessage(p.cfg.Name+"/"+strconv.FormatInt(last, 10), nil)
	msg.Metadata.Set(firstKey, strconv.FormatInt(*own+1, 10))
	msg.Metadata.Set(lastKey, strconv.FormatInt(last, 10))
	return wsql.Row{Offset: last, Msg: msg}, nil
}

// SubscribeIsolationLevel is enough, since what is visible of the log has no gaps.
func (p pages) SubscribeIsolationLevel() sql.IsolationLevel { return sql.LevelReadCommitted }

// InsertQuery refuses: who wants to append calls the store.
func (p pages) InsertQuery(wsql.InsertQueryParams) (wsql.Query, error) {
	return wsql.Query{}, errors.New("the log is appended to by its store, not by a publisher")
}

// SchemaInitializingQueries returns none: the schema is migrated.
func (p pages) SchemaInitializingQueries(wsql.SchemaInitializingQueriesParams) ([]wsql.Query, error) {
	return nil, nil
}
