package projections_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/follower"
	"github.com/openprospect/delivery-ledger/eventstore/follower/followertest"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
)

// fillLog appends n hand-overs of about 700 bytes, under a delivery with one webhook.
func fillLog(b *testing.B, l *bundle, n int) {
	b.Helper()
	d := l.delivery(b, "7f9d1c3e-4a5b-4c6d-8e7f-901234567890", webhook())
	for done := 0; done < n; done += 1000 {
		appends := make([]eventstore.Append, min(1000, n-done))
		for i := range appends {
			id := domain.CompanyID(fmt.Sprintf("comp_%08d", done+i))
			appends[i] = eventstore.Append{Stream: domain.HandOverStream(d.ID, id), Events: []eventstore.Event{domain.CompanyQualified{
				HandOver: domain.NewHandOverID(), Organisation: d.Organisation, Delivery: d.ID, Search: d.Search, CompanyID: id,
				Company: json.RawMessage(`{"id":"` + string(id) + `","name":"TechCorp Inc","domain":"techcorp.example","industry":"SaaS",` +
					`"size":"50-200","location":"San Francisco, CA","technologies":["HubSpot","AWS","React"]}`),
				Prospects: json.RawMessage(`[{"id":"pros_` + string(id) + `","first_name":"Jane","last_name":"Smith","title":"VP Marketing",` +
					`"email":"jane@techcorp.example","linkedin_url":"https://linkedin.example/in/janesmith"}]`),
				Score: 85, MatchReasons: []string{"Uses HubSpot", "Series B funded"},
			}}}
		}
		for _, r := range l.store.AppendEach(b.Context(), appends) {
			require.NoError(b, r.Err)
		}
	}
}

// copyRows writes the rows of a table to another, with the same indexes, by a bare INSERT … SELECT. It returns how many
// there are, and how long that took.
func copyRows(b *testing.B, l *bundle, table string) (rows int64, took time.Duration) {
	b.Helper()
	const columns = `
		SELECT column_name FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER' ORDER BY ordinal_position`
	found, _ := l.pool.Query(b.Context(), columns, table) // CollectRows reports the error
	names, err := pgx.CollectRows(found, pgx.RowTo[string])
	require.NoError(b, err)
	_, err = l.pool.Exec(b.Context(), `DROP TABLE IF EXISTS again; CREATE TABLE again (LIKE `+table+` INCLUDING ALL)`)
	require.NoError(b, err)
	list := strings.Join(names, ", ")
	began := time.Now()
	tag, err := l.pool.Exec(b.Context(), `INSERT INTO again (`+list+`) SELECT `+list+` FROM `+table)
	require.NoError(b, err)
	return tag.RowsAffected(), time.Since(began)
}

// BenchmarkFollow measures how fast a backlog is followed, and what that is of a bare insert
// of the same rows.
func BenchmarkFollow(b *testing.B) {
	const events = 50_000
	for _, p := range []projections.Projection{projections.Companies(), projections.Dispatches()} {
		b.Run(p.Name, func(b *testing.B) {
			l := newBundle(testdb.New(b))
			fillLog(b, l, events)
			head, err := l.store.Head(b.Context())
			require.NoError(b, err)
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				_, err := l.pool.Exec(b.Context(), `TRUNCATE cursors, `+strings.Join(p.Tables, ", "))
				require.NoError(b, err)
				store := newStore(l.pool) // whose marks are at 0
				b.StartTimer()
				process := followertest.Start(b, l.pool, store, []follower.Config{p.Follower(projections.NewTail(store.Registry()))})
				require.NoError(b, store.Await(b.Context(), p.Name, head))
				b.StopTimer()
				process.Stop()
				b.StartTimer()
			}
			b.StopTimer()
			rate := float64(b.N) * events / b.Elapsed().Seconds()
			b.ReportMetric(rate, "events/s")
			rows, took := copyRows(b, l, p.Name)
			b.ReportMetric(rate/(float64(rows)/took.Seconds()), "xINSERT")
		})
	}
}

// BenchmarkRebuild measures how fast each projection is rebuilt from a log of as many hand-overs as -benchtime says, such as
// 1000000x, what that is of the speed of a bare insert of all its rows, and the most memory that the process had in use.
func BenchmarkRebuild(b *testing.B) {
	logs := map[int]*bundle{} // by length
	for _, p := range projections.All() {
		b.Run(p.Name, func(sub *testing.B) {
			l := logs[sub.N]
			if l == nil {
				l = newBundle(testdb.New(b))
				fillLog(sub, l, sub.N)
				logs[sub.N] = l
			}
			head, err := l.store.Head(sub.Context())
			require.NoError(sub, err)
			_, err = l.pool.Exec(sub.Context(), `CHECKPOINT`)
			require.NoError(sub, err)
			peak := testdb.PeakMemory(sub)
			sub.ResetTimer()
			l.rebuild(sub, p)
			sub.StopTimer()
			sub.ReportMetric(peak(), "MiB")
			sub.ReportMetric(float64(head)/sub.Elapsed().Seconds(), "events/s")
			var bare time.Duration
			for _, table := range p.Tables {
				_, took := copyRows(sub, l, table)
				bare += took
			}
			sub.ReportMetric(bare.Seconds()/sub.Elapsed().Seconds(), "xINSERT")
		})
	}
}
