package webhooks_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

func TestReadModelThatIsBehindOffersTheSameHeadNeverTheNext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stop := projectionstest.FollowOpened(t, b.pool, b.store, b.subjects)
	dst := ordered("http://127.0.0.1:1")
	d := b.delivery(t, dst)
	head := domain.DispatchIDFor(b.qualify(t, d, names(3)...)[0], dst.ID)
	b.settle(t)
	stop()
	leased := func() []domain.DispatchID {
		_, err := webhooks.Claim(t.Context(), b.pool, 64, 64)
		require.NoError(t, err)
		var ids []domain.DispatchID
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT array_agg(dispatch_id) FROM leases WHERE ends_at > now()`).Scan(&ids))
		return ids
	}
	require.Equal(t, []domain.DispatchID{head}, leased())
	execute(t, b, domain.RecordAttempt{Attempt: domain.Attempt{
		Dispatch: head, Delivery: d.ID, Destination: dst.ID, Number: 1, Status: http.StatusOK,
	}})
	require.Equal(t, []domain.DispatchID{head}, leased(), "the lease stands, and the next is not offered")
	_, err := b.pool.Exec(t.Context(), `DELETE FROM leases`)
	require.NoError(t, err)
	require.Equal(t, []domain.DispatchID{head}, leased())
}

// A statement is what a batch sent last that reads what is owed.
type statement struct {
	sql  string
	args []any
}

func (s *statement) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (s *statement) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	if strings.Contains(data.SQL, "dispatches") {
		s.sql, s.args = data.SQL, data.Args
	}
}

func (s *statement) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// The trace of a batch needs one of single statements beside it.
func (s *statement) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (s *statement) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestClaimReadsNothingOfWhatWaitsBehindAHead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stop := projectionstest.FollowOpened(t, b.pool, b.store, b.subjects)
	dst := ordered("http://127.0.0.1:1")
	d := b.delivery(t, dst)
	b.qualify(t, d, "comp_1")
	b.settle(t)
	stop()
	for _, statement := range []string{
		`ALTER TABLE dispatches SET (autovacuum_enabled = false)`,
		`INSERT INTO dispatches (id, sequence, position, due, ordered, destination_id, delivery_id, handover_id)
			SELECT 'dsp_' || n, n, position, due, true, destination_id, delivery_id, handover_id
			FROM dispatches, generate_series(2, 100000) AS n`,
	} {
		_, err := b.pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	var last statement
	config := b.pool.Config()
	config.ConnConfig.Tracer = &last
	traced, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	claimed, err := webhooks.Claim(t.Context(), traced, 64, 64)
	require.NoError(t, err)
	require.Equal(t, map[domain.DestinationID]int{dst.ID: 1}, claimed)

	for _, state := range []string{
		`DELETE FROM leases`,
		`UPDATE dispatches SET due = now() + interval '1 hour' WHERE sequence = 1`,
		`ANALYZE`,
		`UPDATE dispatches SET due = now() WHERE sequence = 1`,
	} {
		_, err := b.pool.Exec(t.Context(), state)
		require.NoError(t, err)
		require.Less(t, b.reads(t, last), 20, "after %s", state)
	}
}

// reads returns how many rows and index entries of dispatches a claim's statement reads.
func (b *bundle) reads(t *testing.T, claim statement) (read int) {
	t.Helper()
	const query = `
		SELECT sum(pg_stat_get_xact_tuples_returned(relation))
		FROM (
			SELECT 'dispatches'::regclass::oid AS relation
			UNION ALL
			SELECT indexrelid FROM pg_index WHERE indrelid = 'dispatches'::regclass
		) AS r`
	conn, err := pgx.ConnectConfig(t.Context(), b.pool.Config().ConnConfig)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	tx, err := conn.Begin(t.Context()) // rolled back with its connection
	require.NoError(t, err)
	for _, set := range []string{`SET LOCAL plan_cache_mode = force_generic_plan`, `SET LOCAL enable_seqscan = off`} {
		_, err := tx.Exec(t.Context(), set)
		require.NoError(t, err)
	}
	_, err = tx.Exec(t.Context(), claim.sql, claim.args...)
	require.NoError(t, err)
	require.NoError(t, tx.QueryRow(t.Context(), query).Scan(&read))
	require.Positive(t, read)
	return read
}
