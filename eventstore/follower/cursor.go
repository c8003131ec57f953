package follower

import (
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// cursor shows watermill-sql how the follower's cursor moves. It is used by the
// subscriber's one goroutine.
type cursor struct{ *Follower }

// AckMessageQuery moves the cursor over the page, and over nothing else, and tells who
// listens. It affects no row when the cursor is not where the page begins.
func (c cursor) AckMessageQuery(p wsql.AckMessageQueryParams) (wsql.Query, error) {
	const query = `
		WITH moved AS (
			UPDATE cursors SET position = $3 WHERE name = $1 AND version = $2 AND position + 1 = $4 RETURNING position
		)
		SELECT pg_notify($5, $1 || ' ' || position) FROM moved`
	return wsql.Query{Query: query, Args: []any{
		c.cfg.Name, c.cfg.Version, p.LastRow.Offset, p.LastRow.Msg.Metadata.Get(firstKey), eventstore.Channel,
	}}, nil
}

// BeforeSubscribingQueries makes the follower's cursor, at 0, if there is none.
func (c cursor) BeforeSubscribingQueries(wsql.BeforeSubscribingQueriesParams) ([]wsql.Query, error) {
	const query = `INSERT INTO cursors (name, version) VALUES ($1, $2) ON CONFLICT DO NOTHING`
	return []wsql.Query{{Query: query, Args: []any{c.cfg.Name, c.cfg.Version}}}, nil
}

// NextOffsetQuery returns none: the query for pages reads the cursor itself.
func (c cursor) NextOffsetQuery(wsql.NextOffsetQueryParams) (wsql.Query, error) {
	return wsql.Query{}, nil
}

// ConsumedMessageQuery returns none: the cursor moves by the ack.
func (c cursor) ConsumedMessageQuery(wsql.ConsumedMessageQueryParams) (wsql.Query, error) {
	return wsql.Query{}, nil
}

// SchemaInitializingQueries returns none: the schema is migrated.
func (c cursor) SchemaInitializingQueries(wsql.OffsetsSchemaInitializingQueriesParams) ([]wsql.Query, error) {
	return nil, nil
}
