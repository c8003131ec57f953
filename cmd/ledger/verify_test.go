package main

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

func TestVerifyTellsASoundLogFromOneThatWasTamperedWith(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	c := serve(t, database, encryptionKey(), "--checkpoint-interval", "0").at(newKey(t, database))
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

func TestVerifyNamesWhateverWasForged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ statement, named string }{
		"a tampered row": {
			`UPDATE events SET data = replace(data::text, 'comp_1', 'comp_9')::json WHERE position = 2`,
			"the log is corrupt at position 2: the record does not match its hash",
		},
		"a swapped pair": {
			`UPDATE events e SET data = o.data, hash = o.hash FROM events o WHERE e.position IN (2, 3) AND o.position = 5 - e.position`,
			"the log is corrupt at position 2: ",
		},
		"a removed tail": {
			`DELETE FROM events WHERE position > 2`,
			"the log is corrupt at position 3: the record is missing",
		},
		"a removed tail, and a head to fit": {
			`WITH gone AS (DELETE FROM events WHERE position > 2) UPDATE log_head h SET position = 2, hash = e.hash, recorded_at = e.recorded_at FROM events e WHERE e.position = 2`,
			"the log is corrupt at position 3: the record is missing",
		},
		"a forged checkpoint": {
			`UPDATE checkpoints SET note = replace(note, split_part(note, E'\n', 3), 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=')`,
			"the checkpoint over 3 events that the database holds is forged",
		},
		"a checkpoint that another key signed": {
			`UPDATE checkpoints SET note = regexp_replace(note, ' \S+\n$', E' AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n')`,
			"the checkpoint over 3 events that the database holds is forged",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProven(t)
			p.qualify(t, p.delivery, "comp_2")
			p.checkpoint(t, "kept.txt")
			verify := []string{"verify", "--key", p.key, "--database-url", p.database}
			require.Contains(t, p.verb(t, verify...), "The log is sound: 3 events")
			conn, err := pgx.Connect(t.Context(), p.database)
			require.NoError(t, err)
			defer conn.Close(t.Context())
			for _, statement := range []string{`SET session_replication_role = replica`, c.statement} {
				_, err := conn.Exec(t.Context(), statement)
				require.NoError(t, err)
			}
			_, _, err = verb(t, "", verify...)
			require.ErrorContains(t, err, c.named)
		})
	}
}

func TestVerifyTellsReadModelsThatAreWhatTheLogMakesThemFromOneThatIsNot(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	pool := openPool(t, database)
	c := serve(t, database, encryptionKey()).at(newKey(t, database))
	r := newReceiver(t, ok)
	delivery := c.delivery(t, r.url)
	c.qualify(t, delivery, "comp_1")
	c.awaitCount(t, delivery, "delivered", 1)
	c.awaitCaughtUp(t)

	out, errs, err := verb(t, "", "verify", "--projections", "--database-url", database)
	require.NoError(t, err)
	require.Contains(t, out, "The log is sound: ")
	for _, p := range projections.All() {
		require.Regexp(t, "Read model "+p.Name+" is what the log makes it: [0-9]+ rows?\\.\n", out)
		require.Contains(t, errs, p.Name+": ")
	}

	execute(t, pool, `UPDATE companies SET score = 99`)
	execute(t, pool, `DELETE FROM stats WHERE destination_id = ''`)
	out, errs, err = ledger(t, "verify", "--projections", "companies", "stats", "history", "--database-url", database)
	require.Equal(t, 1, exitCode(t, err))
	require.Contains(t, out, "The log is sound: ")
	require.Contains(t, out, "Read model history is what the log makes it: ")
	require.Regexp(t, `ledger: read model companies is not what the log makes it at position \d+: `+
		`table companies, row delivery_id=`+delivery+` delivery_number=1: its score is "99", and must be "85"\n`, errs)
	require.Regexp(t, `\nread model stats is not what .*: table stats, row delivery_id=`+delivery+` destination_id= hour=.*: it is missing\n`, errs)

	_, errs, err = ledger(t, "rebuild", "companies", "stats", "--database-url", database)
	require.NoError(t, err, errs)
	_, errs, err = ledger(t, "verify", "--projections", "--database-url", database)
	require.NoError(t, err, errs)
}
