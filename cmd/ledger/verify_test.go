package main

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestVerifyTellsASoundLogFromOneThatWasTamperedWith(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	c := serve(t, database, encryptionKey()).at(newKey(t, database))
	r := newReceiver(t, ok)
	delivery := c.delivery(t, r.url)
	c.qualify(t, delivery, "comp_1")
	c.qualify(t, delivery, "comp_2")
	c.awaitCount(t, delivery, "delivered", 2)

	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var events int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM events`).Scan(&events))
	out, _, err := verb(t, "", "verify", "--database-url", database)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("The log is sound: %d events, none missing, none changed.\n", events), out)

	const tamper = `
		UPDATE events
		SET data = replace(data::text, 'comp_2', 'comp_3')::json
		WHERE type = 'company.qualified' AND data::text LIKE '%comp_2%'
		RETURNING position`
	var at int
	require.ErrorContains(t, conn.QueryRow(t.Context(), tamper).Scan(&at), "append-only")
	_, err = conn.Exec(t.Context(), `ALTER TABLE events DISABLE TRIGGER append_only`)
	require.NoError(t, err)
	require.NoError(t, conn.QueryRow(t.Context(), tamper).Scan(&at))
	out, errs, err := ledger(t, "verify", "--database-url", database)
	require.Equal(t, 1, exitCode(t, err))
	require.Empty(t, out)
	require.Contains(t, errs, fmt.Sprintf("ledger: the log is corrupt at position %d: the record does not match its hash", at))
}
